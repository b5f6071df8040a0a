"""Text for a terminal has no escape sequences, hidden text or markup."""

from __future__ import annotations

import io
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.pseudo_terminal import CONTROLS, FORBIDDEN, HOSTILE, MARKUP, SHOWN
from rzero_cli.data.json_text import dumps
from rzero_cli.system.terminal import json_on_terminal, plain, printable


def test_printable_escapes_control_characters() -> None:
    assert printable(HOSTILE) == f"{SHOWN} {MARKUP}"
    assert printable("a\x00b\b\t\n\ud800\u2066\ufeff") == r"a\x00b\x08\t\n\ud800\u2066\ufeff"
    assert printable("a\nb\rc", lines=True) == "a\nb\\rc"


@pytest.mark.parametrize(
    "text",
    [
        r"\frac{1}{2} + \sqrt{x} \\ $50 \% $",
        "Wie groß ist x² für y ≥ 0? ∑ ∫ √ ∞ ℝ",
        "עברית \u200f123\u200e العربية فارسی\u200cها हिन्दी ไทย ខ្មែរ\u200b 한국어 日本語 中文",
        "👩\u200d🔬 e\u0301 \u00a0 soft\u00adhyphen",
    ],
)
def test_printable_keeps_ordinary_text_of_any_script(text: str) -> None:
    assert printable(text) == text


@given(st.text())
def test_printable_of_any_text_is_harmless_and_idempotent(text: str) -> None:
    shown = printable(text)
    assert not FORBIDDEN.search(shown)
    shown.encode()  # no lone surrogates
    assert printable(shown) == shown
    if all(unicodedata.category(c)[0] in "LMNPS" or c == " " for c in text):
        assert shown == text


texts = st.text() | st.lists(st.sampled_from([*CONTROLS, "a", '"', "\\", "\u2066", "é"])).map(
    "".join
)


@given(st.dictionaries(texts, texts | st.lists(texts)))
def test_json_on_terminal_has_the_same_value(record: dict[str, Any]) -> None:
    line = dumps(record)
    shown = json_on_terminal(line)
    assert json.loads(shown) == json.loads(line)
    assert not FORBIDDEN.search(shown.decode())
    if not FORBIDDEN.search(line.decode()):
        assert shown == line


def test_json_on_terminal_keeps_foreign_formatting() -> None:
    line = '\ufeff{"a":\r1,\t"b": "\x9b \U000e0041"}\r\n'.encode()
    assert json_on_terminal(line) == '\ufeff{"a": 1,\t"b": "\\u009b \\udb40\\udc41"} \n'.encode()


def test_rich_does_not_interpret_plain_text() -> None:
    from rich.console import Console
    from rich.table import Table

    stream = io.StringIO()
    table = Table(box=None, show_header=False)
    table.add_row(plain(HOSTILE))
    Console(file=stream, width=200, force_terminal=True).print(table)
    assert stream.getvalue().strip() == f"{SHOWN} {MARKUP}"
