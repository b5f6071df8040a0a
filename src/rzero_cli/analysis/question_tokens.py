r"""Tokens of questions, the same for two copies of a question however they are typeset.

- Lower-case words, numbers and operators, which distinguish one question of arithmetic from
  another. Punctuation, brackets, dollar signs and underscores are dropped, since LaTeX adds them
  freely. A number is one token, so a changed number breaks every n-gram that contains it.
- LaTeX by its meaning: `\dfrac{1}{2}`, `½` and `1/2` are equal, and so are `\times`, `\cdot` and
  `×`. Layout commands are dropped, others are words. Compatibility forms such as full-width digits
  are folded (NFKC); x² becomes x ^ 2 first, since NFKC would make it x2.
- One token per character in scripts written without spaces (Chinese, Japanese, Thai, Lao, Burmese,
  Khmer). Thirteen Chinese characters are about eight words, so stock phrases match more easily than
  in English: use a larger n.
- Code of pictures (`[asy]...[/asy]`) is dropped, since many questions share it.
"""

from __future__ import annotations

import re
import unicodedata


def _words(table: str) -> set[str]:
    return set(table.split())


_LAYOUT = _words("""
    left right big bigg bigl bigr biggl biggr displaystyle textstyle limits nolimits quad qquad
    text textbf textit textrm mathrm mathbf mathit mathbb mathcal mathsf boldsymbol operatorname
    mbox emph frac dfrac tfrac cfrac begin end hspace
""")
_SAME = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "le": "<=", "leq": "<=", "leqslant": "<=",
    "ge": ">=", "geq": ">=", "geqslant": ">=", "ne": "!=", "neq": "!=", "lt": "<", "gt": ">",
    "pm": "±", "approx": "≈", "infty": "∞", "in": "∈", "cup": "∪", "cap": "∩", "to": "→",
    "rightarrow": "→", "degree": "°", "mid": "|", "vert": "|", "lvert": "|", "rvert": "|",
    "varepsilon": "ε", "varphi": "φ", "vartheta": "θ", "lambda": "λ",
} | {
    unicodedata.name(chr(code)).split()[-1].lower(): chr(code)
    for code in range(ord("α"), ord("ω") + 1)
    if code != ord("ς")
}  # fmt: skip
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("×·⋅∗∙", "*"),
        **dict.fromkeys("÷⁄∕", "/"),
        "\u2212": "-",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "√": " sqrt ",
    }
)
_POWER = re.compile("[⁰¹²³⁴-⁹]+")
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_DEGREES = re.compile(r"\^ ?\{? ?\\circ ?\}?")
_SHORT_FRACTION = re.compile(r"\\[dtc]?frac ?(\d) ?(\d)")
_BETWEEN_ARGUMENTS = re.compile(r"\} ?\{")
_COMMAND = re.compile(r"\\([a-z]+|.)", re.S)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NO_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
)
_GREEK = "\u0370-\u03ff"
_LETTER = rf"(?:(?![{_GREEK}{_NO_SPACES}])[^\W\d_])"
_FIGURE = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.S | re.I)
_TOKEN = re.compile(
    r"\d+(?:\.\d+)?|\.\d+"
    rf"|[a-z]+(?!{_LETTER})|{_LETTER}+"
    # Greek letters next to others are separate symbols: 2πr.
    rf"|[{_GREEK}]+|[{_NO_SPACES}]"
    r"|[<>!]=|[+/=<>^%|°±]|[\u2190-\u22ff]"
    # Doubled signs are bold type or a dash, and a hyphen joins words.
    rf"|(?<!\*)\*(?!\*)|(?<!-)-(?!-|{_LETTER}{{2}})"
)


def tokens(text: str) -> list[str]:
    """Return the tokens of a question."""
    if "[" in text:
        text = _FIGURE.sub(" ", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _VULGAR.sub(r" \g<0>", _POWER.sub(r"^\g<0>", text)))
        text = text.translate(_SIGNS)
    text = text.casefold()
    if "\\" in text:
        text = " ".join(text.split()).replace("{,}", ",")
        text = _BETWEEN_ARGUMENTS.sub(" / ", text)
        text = _SHORT_FRACTION.sub(r" \1/\2 ", _DEGREES.sub("°", text))
        text = _COMMAND.sub(_meaning, text)
    return _TOKEN.findall(_THOUSANDS.sub("", text))


def _meaning(command: re.Match[str]) -> str:
    """Return the text that a LaTeX command stands for."""
    name = command[1]
    if not name.isalpha():
        return {"%": "%", "!": "", "|": "|"}.get(name, " ")
    return " " if name in _LAYOUT else f" {_SAME.get(name, name)} "
