"""The items of a list, the name before an equals sign, the unit behind a value."""

from __future__ import annotations

import re

from rzero_cli.core.answers.tokens import NOT_UNITS, Token

# Tokens as one character each, so that small grammars are regular expressions over kinds.
_NAME = re.compile(
    r"(?:[sS]'*(?:_(?:[snS]|\{[^{}]*\}))?(?:\([^()]*\))?|S{2,4}|w+|\((?:[sS],)+[sS]\))"
)
_UNIT_PHRASE = re.compile(r"(?:(?:w|(?<=/)s)(?:\^\{-?n\})?[/*-]?){1,5}")
RELATIONS = {"=": "=", "<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", r"\ne": "!=",
              r"\approx": "≈", r"\in": "="}  # fmt: skip
_OPEN, _CLOSE = {"(", "[", "{", r"\{", r"\begin"}, {")", "]", "}", r"\}", r"\end"}


def kinds_of(tokens: list[Token]) -> str:
    return "".join(t.kind if len(t.kind) == 1 else "?" for t in tokens)


def split_at(tokens: list[Token], separators: set[str]) -> tuple[list[list[Token]], list[Token]]:
    """Split at separators that stand outside all brackets."""
    parts: list[list[Token]] = [[]]
    found: list[Token] = []
    depth = 0
    for token in tokens:
        depth += (token.kind in _OPEN) - (token.kind in _CLOSE)
        if depth == 0 and (token.kind in separators or token.text in separators):
            found.append(token)
            parts.append([])
        else:
            parts[-1].append(token)
    return parts, found


def items_of(tokens: list[Token]) -> list[tuple[str, list[Token]]]:
    """The members of a list, each (name, tokens) without its name, equals sign and unit."""
    parts, separators = split_at(tokens, {",", ";", "and", "or"})
    kinds = kinds_of(separators)
    return [
        strip_item(part)
        for i, part in enumerate(parts)
        if part or kinds[max(i - 1, 0) : i + 1] != ",w"  # "1, 2, and 3"
    ]


def strip_item(tokens: list[Token]) -> tuple[str, list[Token]]:
    sides, relations = split_at(tokens, set(RELATIONS))
    signs = [RELATIONS[token.kind] for token in relations]
    name = ""
    if signs == ["="] and not _is_name(sides[0]):  # 5 = x
        sides.reverse()
    while signs and signs[0] in "=≈" and _is_name(sides[0]) and not _recurs(*sides[:2]):
        name, sides, signs = text_of(sides[0]), sides[1:], signs[1:]
    if "≈" in signs:  # exact beats approximate: what stands before the sign is the answer
        sides, signs = sides[: signs.index("≈") + 1], signs[: signs.index("≈")]
    if name and len(set(signs)) == 1 and "=" in signs:  # S = 2 + 3 = 5
        sides, signs = sides[-1:], []
    sides = [_without_unit(side) for side in sides]
    joined = sides[0]
    for sign, side in zip(signs, sides[1:], strict=True):
        joined = [*joined, next(t for t in relations if RELATIONS[t.kind] == sign), *side]
    return name, joined


def _is_name(tokens: list[Token]) -> bool:
    constant = len(tokens) == 1 and tokens[0].text in ("i", r"\pi")
    return not constant and _NAME.fullmatch(kinds_of(tokens)) is not None


def _recurs(name: list[Token], side: list[Token]) -> bool:
    """`x = x^2` is an equation."""
    return name[0].kind in ("s", "S") and name[0] in side


def _without_unit(tokens: list[Token]) -> list[Token]:
    start = next((i for i, token in enumerate(tokens) if token.kind == "w"), 0)
    words = {token.text for token in tokens[start:] if token.kind == "w"}
    if start and not words & NOT_UNITS and _UNIT_PHRASE.fullmatch(kinds_of(tokens[start:])):
        return tokens[:start]
    return tokens


def text_of(tokens: list[Token]) -> str:
    joined = " ".join(token.text for token in tokens)
    return re.sub(r"\{ (\S+) \}", r"\1", joined)
