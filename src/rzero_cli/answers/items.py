"""Split an answer into its members; read the names and units next to values."""

from __future__ import annotations

import re

from rzero_cli.answers.algebra import NotMaths
from rzero_cli.answers.conventions import DEFAULT, Conventions
from rzero_cli.answers.spelling import CURRENCIES
from rzero_cli.answers.tokens import Token
from rzero_cli.answers.units import KNOWN, unit_name

# One character per token, so that small grammars are regular expressions over kinds.
_LETTER = r"[sSd]'*(?:_(?:[snSw]|\{[^{}]*\}))?'*(?:\^(?:\*|\{\*\}))?"
_ARGUMENTS = r"(?:\([^()]*\)|\[[^\[\]]*\])"
_INDEXED = rf"{_LETTER}{_ARGUMENTS}?(?:_(?:[sSwf]|\{{[^{{}}]*\}}))?"  # also f(x)_{\min}
_INVERSE = r"[sS]\^\{-n\}\([^()]*\)"
_QUANTITY = rf"(?:{_INDEXED}|[Dw]\([^()]*\)|{_INVERSE}|d[sS]|S{{2,4}}|w+)"
_NAME = re.compile(
    rf"{_QUANTITY}|\((?:{_LETTER},)+{_LETTER}\)|\|{_QUANTITY}\||{_QUANTITY}(?:[:/]{_QUANTITY})+"
    rf"|F\{{{_QUANTITY}\}}\{{{_QUANTITY}\}}"
)
# Marks of a name: `\angle ABC = 60`, `\overline{AB} = 10`, `\Pr(X) = 1/6`.
_MARKS = {"\\" + mark for mark in ("angle", "measuredangle", "overline", "vec", "overrightarrow")}
_ACCENTS = {"\\" + mark for mark in ("bar", "hat", "dot", "ddot", "tilde", "triangle")}
_ONE_NAME = {r"\Pr": "P", r"\mathbb{P}": "P", r"\mathbb{E}": "E", "[": "(", "]": ")"}
_OPERATORS = {"\\" + name for name in ("int", "iint", "sum", "prod", "lim", "max", "min")}
_POWER = r"(?:\^\{-?n\})?"
_UNIT_PHRASE = re.compile(
    rf"[/*]?(?:(?:w|(?<=/)s){_POWER}[/*-]?){{1,6}}|w{_POWER}/\((?:w{_POWER}\*?)+\)|F\{{w{_POWER}\}}\{{[ws]{_POWER}\}}"
)
RELATIONS = {"=": "=", "<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", r"\ne": "!=",
              r"\approx": "≈", r"\in": "in", r"\equiv": "≡"}  # fmt: skip
_OPEN, _CLOSE = {"(", "[", "{", r"\{", r"\begin"}, {")", "]", "}", r"\}", r"\end"}
_SHORT = {r"\frac": "F"}
_SINGLE = re.compile(r"\{ (\S+) \}")
CONSTANTS = {r"\pi", "e", "i"}


def kinds_of(tokens: list[Token]) -> str:
    return "".join([t.kind if len(t.kind) == 1 else _SHORT.get(t.kind, "?") for t in tokens])


def split_at(tokens: list[Token], separators: set[str]) -> tuple[list[list[Token]], list[Token]]:
    """Split at separators outside all brackets."""
    parts: list[list[Token]] = [[]]
    found: list[Token] = []
    depth = 0
    for token in tokens:
        kind = token.kind
        if kind in _OPEN:
            depth += 1
        elif kind in _CLOSE:
            depth -= 1
        if depth == 0 and (kind in separators or (kind == "w" and token.text in separators)):
            found.append(token)
            parts.append([])
        else:
            parts[-1].append(token)
    return parts, found


def letters_of(tokens: list[Token]) -> set[str]:
    """Return the letters that stand for something unknown."""
    return {t.text for t in tokens if t.kind in ("s", "S")} - CONSTANTS


def name_of(tokens: list[Token]) -> str | None:
    r"""Return a name in its plain spelling (`\overline{AB}` is AB), or None if it is not a name.

    A name is a letter with indices and arguments, a segment, words, a ratio of names, or one
    function or sum with its argument: `\gcd(12,18) = 6`.
    """
    if tokens and tokens[0].text in ("m", "\\Delta", "d") and len(tokens) > 1:
        if tokens[0].text == "m" and tokens[1].text in ("\\angle", "\\measuredangle"):
            tokens = tokens[1:]
        elif tokens[1].kind in ("s", "S") and name_of(tokens[1:]):
            return f"{tokens[0].text} {name_of(tokens[1:])}"
    if tokens and tokens[0].kind in _ACCENTS:  # a mean is not the value
        name = name_of([t for t in tokens[1:] if t.kind not in ("{", "}")])
        return name and f"{tokens[0].text} {name}"
    marked = any(t.kind in _MARKS for t in tokens)
    if marked:
        tokens = [t for t in tokens if t.kind not in _MARKS and t.kind not in ("{", "}")]
    if not tokens or (len(tokens) == 1 and tokens[0].text in ("i", r"\pi")):
        return None
    kinds = "".join(
        {"|": "|", r"\|": "|", r"\Pr": "D", "d": "d"}.get(t.text, kind)
        for t, kind in zip(tokens, kinds_of(tokens), strict=True)
    )
    if _NAME.fullmatch(kinds) or (marked and re.fullmatch(r"[sS]+", kinds)):
        if re.fullmatch(r"\|S{2,4}\|", kinds):  # a length
            tokens = tokens[1:-1]
        name = text_of([Token("", _ONE_NAME.get(t.text, t.text)) for t in tokens])
        parts = name[1:-1].split(",") if kinds[0] == "(" else []
        return ", ".join(map(str.strip, parts)) if parts and parts == sorted(parts) else name
    return text_of(tokens) if _is_application(tokens) else None


def _is_application(tokens: list[Token]) -> bool:
    """Return True for one function of one argument, such as `\\sin\\theta` or a sum."""
    if tokens[0].kind != "f" or tokens[0].text in ("|", r"\vert") or len(tokens) < 2:
        return False
    _, signs = split_at(tokens, {"+", "-", "=", ",", "f"})
    if tokens[0].text in _OPERATORS:
        return not [t for t in signs[1:] if t.kind in ("=", ",")]
    return len(signs) == 1


def strip_unit(tokens: list[Token], conventions: Conventions = DEFAULT) -> tuple[list[Token], str]:
    """Return a value without its unit, and the unit's name; by `keep`, the unit as a factor."""
    if not tokens or not any(t.kind in ("w", "u", "'", '"') or t.text == r"\Omega" for t in tokens):
        return tokens, ""
    if conventions.units == "keep":
        return _with_unit(tokens), ""
    start = _unit_start(tokens)
    unit = _phrase(tokens[start:])
    signs = [t.text for t in tokens[:start] if t.kind == "u"]
    value = [t for t in tokens[:start] if t.kind != "u"]
    name = unit_name([*dict.fromkeys(signs), *unit]) if signs or unit else ""
    return value, name


def _phrase(tokens: list[Token]) -> list[str]:
    """Return the words, divisions and powers of a unit as `unit_name` takes them."""
    parts: list[str] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.kind in ("w", "s", "/"):
            parts.append(token.text)
        elif token.kind == "{" and before is not None and before.kind == "}":
            parts.append("/")  # the second half of a fraction
        elif token.kind == "n":
            minus = "-" if before is not None and before.kind == "-" else ""
            parts.append(f"^{minus}{token.text}")
    return parts


def _unit_start(tokens: list[Token]) -> int:
    """Return the index where the unit after a value starts, or the end if there is none."""
    kinds = kinds_of(tokens)
    start = kinds.find("w")
    if start < 1 or tokens[start - 1].kind == "_":  # 101_\text{two}
        return len(tokens)
    words = [token.text for token in tokens[start:] if token.kind == "w"]
    is_known = all(word in KNOWN or word in ("squared", "cubed") for word in words)
    if tokens[start - 1].kind in ("/", "*") and is_known:  # 5 / \text{hour}
        start -= 1
    elif start > 1 and tokens[start - 2].kind == r"\frac" and is_known:  # but 2 \frac{Area}{h}
        start -= 2
    if start > 0 and _UNIT_PHRASE.fullmatch(kinds[start:]):
        try:
            unit_name(_phrase(tokens[start:]))
        except NotMaths:
            return len(tokens)
        return start
    return len(tokens)


def _with_unit(tokens: list[Token]) -> list[Token]:
    """Turn the unit into a product of symbols (`m/s` is m s^{-1}); move a currency to the end."""
    sign = bool(tokens) and tokens[0].kind in ("+", "-")
    currency = tokens[sign : sign + 1]
    if currency and currency[0].text in CURRENCIES and len(tokens) > sign + 1:
        value = _with_unit(tokens[:sign] + tokens[sign + 1 :])
        return [*value, Token("*", r"\cdot"), _symbol(currency[0].text)]
    start = _unit_start(tokens)
    unit: list[Token] = []
    for before, token in zip(tokens[start - 1 :], tokens[start:], strict=False):
        if token.text == "per":
            unit.append(Token("/", "/"))
        elif token.text in ("squared", "cubed"):
            power = {"squared": "2", "cubed": "3"}[token.text]
            unit += [Token("^", "^"), Token("{", "{"), Token("n", power), Token("}", "}")]
        elif token.kind != "-" or before.kind == "{":  # drops the hyphen of `foot-pounds`
            unit.append(_symbol(token.text) if token.kind == "w" else token)
    joint = [Token("*", r"\cdot")] if unit and unit[0].kind not in ("/", "*") else []
    return tokens[:start] + joint + unit


def _symbol(unit: str) -> Token:
    singular = unit[:-1] if len(unit) > 3 and unit.endswith("s") else unit
    name = {"deg": "degree"}.get(singular, singular)
    return Token("s", name if len(name) == 1 else rf"u_{{{name}}}")


def text_of(tokens: list[Token]) -> str:
    joined = " ".join(token.text for token in tokens)
    return _SINGLE.sub(r"\1", joined)
