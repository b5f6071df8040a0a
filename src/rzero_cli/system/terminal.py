r"""Text that nobody here has written, shown to a person: what would move a cursor, ring, colour,
hide or turn round what stands beside it is spelled out (`\x1b`, `\u202e`).

A question, an answer, a key, a file's name or a server's message may hold anything. A backslash
stays as it is, since LaTeX is full of them: what is shown is for reading, and records hold the text
itself. Marks and joiners that scripts are written with (ZWJ, ZWNJ, LRM, RLM) stay, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_CONTROLS = "\x7f-\x9f"  # DEL and C1, among them the one byte that begins a sequence as ESC [ does
_INVISIBLE = (
    "\u2028\u2029"  # ends of lines
    "\u202a-\u202e\u2066-\u2069"  # overrides and isolates of direction
    "\u206a-\u206f\ufff9-\ufffb"  # deprecated format characters, annotations
    "\U000e0000-\U000e007f"  # tags: a whole text that is not seen
)
_SHOWN_AS_ESCAPES = re.compile(f"[\x00-\x1f{_CONTROLS}{_INVISIBLE}\ufeff\ud800-\udfff]")
# The same but for C0, which a JSON string cannot hold, and a byte order mark, which may begin a
# file. A carriage return stands between values alone, and has a line written over its beginning.
_IN_JSON = re.compile(f"[\r{_CONTROLS}{_INVISIBLE}]")
_MAYBE_IN_JSON = re.compile(
    rb"[\r\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xaf]"
    rb"|\xef\xbf[\xb9-\xbb]|\xf3\xa0[\x80\x81]"
)


def printable(text: str, *, lines: bool = False) -> str:
    """`text` with each character that a terminal obeys or hides as an escape.

    Args:
        lines: leave line feeds: the text is of several lines, and ours are told from others'
            otherwise, as by an indent.
    """
    if text.isprintable():
        return text
    return _SHOWN_AS_ESCAPES.sub(
        lambda match: match[0] if lines and match[0] == "\n" else _escape(match[0]), text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def plain(text: str, style: str = "") -> Text:
    """`printable` text for rich, which takes a `str` for markup (`[red]`, `[link=...]`, `:x:`)."""
    from rich.text import Text  # most commands start without

    return Text(printable(text), style=style)


def json_on_terminal(data: bytes) -> bytes:
    r"""JSON lines as a terminal can be given them: `\u009b` is the same JSON as that character.

    C0 cannot stand in a JSON string, so colours of our own tables come through.
    """
    if not _MAYBE_IN_JSON.search(data):
        return data
    return _IN_JSON.sub(_json_escape, data.decode("utf-8", "replace")).encode()


def _json_escape(match: re.Match[str]) -> str:
    character = match[0]
    if character == "\r":
        return " "
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
