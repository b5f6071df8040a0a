r"""Display untrusted text safely: characters that act on a terminal are escaped (`\x1b`, `\u202e`).

These move the cursor, ring the bell, or colour, hide or reorder the text around them. A question,
an answer, a key, a file name or a server's message may contain any of them. A backslash is not
escaped, since LaTeX is full of them and the text is only for reading. Marks and joiners that
scripts need (ZWJ, ZWNJ, LRM, RLM) stay, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_CONTROLS = "\x7f-\x9f"  # DEL and C1, which includes a one-byte form of ESC [
_INVISIBLE = (
    "\u2028\u2029"  # line separators
    "\u202a-\u202e\u2066-\u2069"  # overrides and isolates of direction
    "\u206a-\u206f\ufff9-\ufffb"  # deprecated format characters, annotations
    "\U000e0000-\U000e007f"  # tags, which can spell an invisible text
)
_SHOWN_AS_ESCAPES = re.compile(f"[\x00-\x1f{_CONTROLS}{_INVISIBLE}\ufeff\ud800-\udfff]")
# The same without C0, which a JSON string cannot contain, and the byte order mark, which may start
# a file. A carriage return occurs only between values; it would overwrite the start of its line.
_IN_JSON = re.compile(f"[\r{_CONTROLS}{_INVISIBLE}]")
_MAYBE_IN_JSON = re.compile(
    rb"[\r\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xaf]"
    rb"|\xef\xbf[\xb9-\xbb]|\xf3\xa0[\x80\x81]"
)


def printable(text: str, *, lines: bool = False) -> str:
    """Return `text` with each character that a terminal obeys or hides escaped.

    Args:
        text: any text.
        lines: keep line feeds, for text that is displayed on several lines.
    """
    if text.isprintable():
        return text
    return _SHOWN_AS_ESCAPES.sub(
        lambda m: "\n" if lines and m[0] == "\n" else m[0].encode("unicode_escape").decode(), text
    )


def plain(text: str, style: str = "") -> Text:
    """Return `printable` text for rich, which would read markup in a `str` (`[red]`, `:x:`)."""
    from rich.text import Text  # most commands do not need it

    return Text(printable(text), style=style)


def json_on_terminal(data: bytes) -> bytes:
    r"""Return equivalent JSON lines that are safe for a terminal, with `\u009b` for that character.

    C0 characters cannot occur in a JSON string, so the colours of our own tables are kept.
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
