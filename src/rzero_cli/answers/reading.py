"""Read an answer as a tree of values, with the names and units that may be dropped next to it.

    members -> relations -> values

A leaf is one expression, with a key if it has a canonical form. Order, multiplicity, brackets,
connectives and names are the tree's, so that only single expressions reach the equivalence worker.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from rzero_cli.answers.algebra import (
    POSITIVE,
    Monomial,
    NotMaths,
    Poly,
    Undecided,
    add,
    constant,
    key_of,
    negative,
    times,
)
from rzero_cli.answers.conventions import Conventions
from rzero_cli.answers.items import (
    RELATIONS,
    kinds_of,
    letters_of,
    name_of,
    split_at,
    strip_unit,
    text_of,
)
from rzero_cli.answers.parser import Parser, as_poly, number_of
from rzero_cli.answers.tokens import Token

_SEPARATORS = {",", ";", "and", "or"}
_SIGNS = {r"\pm", r"\mp"}
_TIMES = Token("*", r"\cdot")
_BRACKETS = {"(": (")", "]"), "[": (")", "]"), "{": ("}",), r"\{": (r"\}",)}
# What an expression for the worker may hold: no word, no list, no relation but in a sum's index.
_PLAIN = frozenset(
    ("n", "s", "S", "w", "f", "+", "-", "*", "/", "^", "_", "(", ")", "[", "]", "{", "}", ",", "!",
     "=", ":to", r"\frac", r"\sqrt", r"\binom", r"\choose", r"\over", r"\infty")
)  # fmt: skip
_HIDDEN_PRODUCT = re.compile(r"[sS)}\]!]n\^")
# An answer of these alone is one expression.
_SIMPLE = {"n", "s", "+", "-", "*", "/", "^", "(", ")", "{", "}", "!", r"\frac", r"\sqrt"}
# over kinds of tokens: digits with or without brackets, then a base after an underscore or "base"
_BASED = re.compile(
    r"(?:\([nS]+\)|n|[nS]{2,}|n?w(?=_))(?:_(?:[nw]|\{n\}|\{\(n\)\}|\{w?[nw]\})|w{1,2}n|ww)"
)
_BASES = {
    name: base
    for base, name in enumerate(
        ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
         "twelve", "thirteen", "fourteen", "fifteen", "sixteen"), start=2,
    )
}  # fmt: skip


class Leaf(NamedTuple):
    """One expression, or the difference of a relation's sides.

    Attributes:
        key: its canonical key, None if it needs the worker.
        tokens: the expression; empty if it must not be compared by the worker.
        sign: the relation of the expression to 0, "" for a value.
        unit: the unit or noun of the value.
    """

    key: str | None
    tokens: tuple[Token, ...] = ()
    sign: str = ""
    unit: str = ""


class Group(NamedTuple):
    """Several values.

    Attributes:
        head: the brackets; "list" without any; "matrix" and its columns; ":" of a ratio; "product"
            of quantities; "all" or "any" of relations; a name and " :" of a labelled one.
        parts: the members.
        unit: the unit of all members without one of their own.
    """

    head: str
    parts: tuple[Node, ...]
    unit: str = ""


Node = Leaf | Group
UNORDERED = ("list", "{}", "all", "any", "product")


class Reading(NamedTuple):
    """An answer.

    Attributes:
        node: its value.
        name: what the value was said to be, "" if nothing.
        relation: an equation in several variables, which may be spelled with other names.
        kind: "value", "bound" (of an inequality), "in" (a set) or "relation".
    """

    node: Node
    name: str = ""
    relation: Leaf | None = None
    kind: str = "value"


INFINITY, MINUS_INFINITY = (
    Leaf(key, (*sign, Token(r"\infty", r"\infty")))
    for key, sign in (("infinity", ()), ("-infinity", (Token("-", "-"),)))
)


def latex_of(tokens: Iterable[Token]) -> str:
    """Return LaTeX with decimals as fractions, so that the worker sees no floats."""
    return " ".join(
        "\\frac{{{}}}{{{}}}".format(*number_of(t.text).as_integer_ratio())
        if t.kind == "n" and not t.text.isdigit()
        else t.text
        for t in tokens
    ).replace("*", r"\cdot")


class Reader:
    """Reads answers under some conventions."""

    def __init__(self, conventions: Conventions) -> None:
        self.conventions = conventions

    # ------------------------------------------------------------ lists

    def read(self, tokens: list[Token]) -> Reading:
        """Return the reading of an answer.

        Raises:
            NotMaths: it is not mathematics, ambiguous or too large.
        """
        if all(token.kind in _SIMPLE for token in tokens):
            return Reading(_leaf(tokens))
        if _enclosed(tokens) == "{" and split_at(tokens[1:-1], set(RELATIONS))[1]:
            tokens = tokens[1:-1]
        tokens = _conditions(tokens)
        alternatives, found = split_at(tokens, {"or"})
        if found and split_at(tokens, set(RELATIONS))[1]:
            return _any_of([self.all_of(part) for part in alternatives])
        return self.all_of(tokens)

    def all_of(self, tokens: list[Token]) -> Reading:
        """Return the reading of a list, of values or of relations that all hold."""
        parts = _members(tokens)
        readings = [reading for part in parts for reading in self.signed(part)]
        if len(readings) == 1:
            return readings[0]
        names = {reading.name for reading in readings} - {""}
        bases = {re.sub(r" _ (?:\w|\d+|\{.*\})$", "", name) for name in names}
        if {reading.kind for reading in readings} == {"value"}:
            if len(bases) <= 1:
                name = names if len(names) == 1 else bases
                return Reading(_listed("list", readings), "".join(name))
            if sum(any(t.kind in _SIGNS for t in part) for part in parts) > 1:
                raise NotMaths("independent or linked signs")
            if len(names) == len(readings):
                readings.sort(key=lambda reading: reading.name)
                nodes = tuple(reading.node for reading in readings)
                return Reading(Group("()", nodes), ", ".join(r.name for r in readings))
        if len(readings) == 2 and (interval := _both(*readings)):
            return interval
        return _labelled("all", readings)

    def signed(self, tokens: list[Token]) -> list[Reading]:
        """Return a member's readings: two if it holds a plus-minus sign."""
        signs = sum(t.kind in _SIGNS for t in tokens)
        if not signs or _enclosed(tokens) == r"\{":
            return [self.member(tokens)]
        if signs > 1:
            raise NotMaths("independent or linked signs")
        plus, minus = Token("+", "+"), Token("-", "-")
        return [
            self.member([{r"\pm": one, r"\mp": other}.get(t.kind, t) for t in tokens])
            for one, other in ((plus, minus), (minus, plus))
        ]

    # ------------------------------------------------------------ relations

    def member(self, tokens: list[Token]) -> Reading:
        """Return the reading of a value or of one relation."""
        sides, found = split_at(tokens, set(RELATIONS))
        signs = [RELATIONS[token.kind] for token in found]
        if signs and not sides[0] and signs[0] in "=≈":
            sides, signs = sides[1:], signs[1:]
        if not all(sides):
            raise NotMaths("a side is missing")
        if not signs:
            return Reading(self.value(sides[0]))
        if set(signs) <= {"=", "≈"}:
            return self.equation(sides, signs)
        if signs == ["in"]:
            if name := name_of(sides[0]):
                return Reading(self.value(sides[1]), name, kind="in")
            raise NotMaths("an element that is not a name")
        if all(sign[0] in "<>" for sign in signs):
            return self.inequality(sides, signs)
        if len(signs) == 1:
            return Reading(self.relation(sides[0], sides[1], signs[0]), kind="relation")
        raise NotMaths("chain of relations")

    def equation(self, sides: list[list[Token]], signs: list[str]) -> Reading:
        if "≈" in signs:
            at = signs.index("≈")
            if letters_of(sides[at]) or any(t.kind in ("w", "f") for t in sides[at]):
                if not any(map(name_of, sides[: at + 1])):
                    return Reading(self.relation(sides[at], sides[at + 1], "≈"), kind="relation")
                sides = sides[: at + 2]
            else:  # the exact value before the sign is the answer
                sides = sides[: at + 1]
        named = [(name_of(side) is not None, _is_letter(side)) for side in sides]
        if len(sides) == 2 and named[1] > named[0]:  # 5 = x
            sides = sides[::-1]
        names = []
        while len(sides) > 1 and (name := name_of(sides[0])) and not _recurs(*sides[:2]):
            names.append((name, sides[0]))
            sides = sides[1:]
        is_closed = len(sides) == 2 and not letters_of(sides[0] + sides[1])
        if not names and is_closed and not all(map(self.is_keyed, sides)):  # 2 \ln e = 2
            names, sides = [(text_of(sides[0]), sides[0])], sides[1:]
        if not names:
            if len(sides) == 1 or self.agree(sides):  # 2 + 3 = 5
                return Reading(self.value(sides[-1]))
            if len(sides) > 2:
                raise NotMaths("chain of equations")
            return self.solved(*sides)
        if not self.agree(sides):
            raise NotMaths("a chain whose sides may differ")
        node = self.value(sides[-1])
        name = " = ".join(name for name, _ in names)
        relation = None
        if (
            isinstance(node, Leaf)
            and letters_of(sides[-1])
            and len(names) == 1
            and _is_letter(names[0][1])
        ):
            relation = self.relation(names[0][1], sides[-1], "=")
        return Reading(node, name, relation)

    def is_keyed(self, tokens: list[Token]) -> bool:
        node = self.value(tokens)
        return isinstance(node, Leaf) and node.key is not None

    def agree(self, sides: list[list[Token]]) -> bool:
        """Return True if no side of a chain may differ from the last: `S = 2 + 3 = 5`."""
        nodes = [self.value(side) for side in sides]
        keys = {node.key if isinstance(node, Leaf) else None for node in nodes}
        if None not in keys:
            return len(keys) == 1
        return len(sides) == 1 or not letters_of([t for side in sides for t in side])

    def solved(self, left: list[Token], right: list[Token]) -> Reading:
        """Return the reading of an equation that is not about a name."""
        relation = self.relation(left, right, "=")
        if relation.key is not None:
            difference = _difference(self.plain(left), self.plain(right))
            if solution := _solution(difference):
                name, value = solution
                several = any(not _is_constant(x) for m in value for x, _ in m)
                leaf = Leaf(key_of(value), tuple(left) if several else _spelled(value))
                return Reading(leaf, name, relation if several else None)
        return Reading(relation, relation=relation, kind="relation")

    def plain(self, tokens: list[Token]) -> list[Token]:
        """Return an expression without its unit."""
        return strip_unit(tokens, self.conventions)[0]

    def relation(self, left: list[Token], right: list[Token], sign: str) -> Leaf:
        """Return a relation as the difference of its sides."""
        left, right = self.plain(left), self.plain(right)
        if "<" in sign:
            left, right, sign = right, left, sign.replace("<", ">")
        try:
            difference = _difference(left, right)
        except Undecided:
            return Leaf(None, _worker_tokens([*left, Token("-", "-"), *_bracketed(right)]), sign)
        if not set(difference) - {()}:
            raise NotMaths("a relation between numbers")
        return Leaf(_normal_relation(difference, sign), (), sign)

    def inequality(self, sides: list[list[Token]], signs: list[str]) -> Reading:
        if "<" in signs[0]:
            sides, signs = sides[::-1], [sign.replace("<", ">") for sign in signs[::-1]]
        if len(sides) > 3 or not all(">" in sign for sign in signs):
            raise NotMaths("chain of relations")
        bounds = [
            self.bound(one, other, sign)
            for (one, other), sign in zip(pairwise(sides), signs, strict=True)
        ]
        if len(bounds) == 1:
            return bounds[0] or Reading(
                self.relation(sides[0], sides[1], signs[0]), kind="relation"
            )
        if None in bounds:
            raise NotMaths("chain of inequalities")
        interval = _both(*(bound for bound in bounds if bound))
        if interval is None:
            raise NotMaths("chain of inequalities")
        return interval

    def bound(self, greater: list[Token], less: list[Token], sign: str) -> Reading | None:
        """Return a single inequality as an interval of its only variable, or None."""
        greater, less = self.plain(greater), self.plain(less)
        try:
            found = _half_line(_difference(greater, less))
        except Undecided:
            for letter, other, is_lower in ((greater, less, True), (less, greater, False)):
                name = name_of(letter)
                if name and len(letter) < 8 and letter[0] not in other:
                    return _half(name, is_lower, _leaf(other), sign)
            return None
        if found is None:
            return None
        name, is_lower, value = found
        return _half(name, is_lower, Leaf(key_of(value), _spelled(value)), sign)

    # ------------------------------------------------------------ values

    def value(self, tokens: list[Token]) -> Node:
        """Return a value: an expression, or a list in brackets, matrix, union or ratio."""
        if opening := _enclosed(tokens):
            return self.brackets(opening, tokens)
        tokens, unit = strip_unit(tokens, self.conventions)
        node = self.unitless(tokens)
        return node._replace(unit=node.unit or unit)

    def unitless(self, tokens: list[Token]) -> Node:
        kinds = kinds_of(tokens)
        if len(tokens) == 1 and len(tokens[0].text) > 1 and kinds == "w":
            return Leaf(WORDS.get(tokens[0].text, "text:" + tokens[0].text))
        if len(kinds) > 1 and kinds == "S" * len(kinds):  # a segment, or an order of finish
            return Leaf("text:" + "".join(token.text for token in tokens).casefold())
        if _BASED.fullmatch(kinds) and (based := _based_key(tokens)):
            return Leaf(based)
        if any(t.kind in ("w", "u") and len(t.text) > 1 for t in tokens):
            return self.dimensions(tokens)
        if opening := _enclosed(tokens):
            return self.brackets(opening, tokens)
        parts, found = split_at(tokens, {r"\cup"})
        if found:
            return Group("{}", tuple(node for part in parts for node in self.elements(part)))
        parts, found = split_at(tokens, {":"})
        if found:
            return Group(":", tuple(self.value(part) for part in parts))
        if tokens and tokens[0].kind == r"\begin" and _end_of(tokens) == len(tokens) - 1:
            return self.matrix(tokens)
        return self.combination(tokens) or _leaf(tokens)

    def dimensions(self, tokens: list[Token]) -> Group:
        """Return a product of values with units, which is not multiplied: `5 cm x 3 cm`."""
        parts, found = split_at(tokens, {"*"})
        nodes = tuple(self.value(part) for part in parts) if found else ()
        if not nodes or not all(isinstance(node, Leaf) and node.unit for node in nodes):
            raise NotMaths("words")
        return Group("product", nodes)

    def elements(self, tokens: list[Token]) -> tuple[Node, ...]:
        """Return what a part of a union adds: the elements of a finite set, or an interval."""
        node = self.value(tokens)
        if _enclosed(tokens) == r"\{":
            return node.parts if isinstance(node, Group) and node.head == "{}" else (node,)
        if isinstance(node, Leaf) and node.key == "{}":
            return ()
        if isinstance(node, Leaf) or node.head not in ("()", "(]", "[)", "[]", "{}"):
            raise NotMaths("union of something that is not a set")
        return node.parts if node.head == "{}" else (node,)

    def brackets(self, opening: str, tokens: list[Token]) -> Node:
        inner, closing = tokens[1:-1], tokens[-1].kind
        if opening == r"\{":
            return self.braces(inner)
        parts, found = split_at(inner, {",", ";"})
        if not found:
            bars = [i for i, t in enumerate(inner) if t.text == "|"]
            if len(bars) == 1 and 0 < bars[0] < len(inner) - 1:  # (3|-4)
                parts, found = [inner[: bars[0]], inner[bars[0] + 1 :]], [inner[bars[0]]]
        if not found and opening + closing in ("()", "[]", "{}"):
            return self.value(inner)
        nodes = tuple(self.value(part) for part in parts)
        if opening == "{":
            return Group("{}", nodes)
        if len(nodes) != 2 and opening + closing in ("(]", "[)"):
            raise NotMaths("an interval has two ends")
        return Group(opening + closing, nodes)

    def braces(self, inner: list[Token]) -> Node:
        """Return a set: listed, or with a condition after a bar or colon."""
        if not inner:
            return Leaf("{}")
        for bar in (r"\mid", "|", ":"):
            parts, found = split_at(inner, {bar})
            if len(found) == 1 and all(parts) and split_at(parts[1], set(RELATIONS))[1]:
                of, condition = parts[0], self.read(parts[1])
                sides, signs = split_at(of, {r"\in"})
                if name_of(sides[0]) == condition.name and condition.kind == "bound":
                    if not signs or text_of(sides[1]) == r"( - \infty , \infty )":
                        return condition.node
                    raise NotMaths("a restricted set")
                return _labelled("all", [self.member(of), condition]).node
        members = [reading for part in _members(inner) for reading in self.signed(part)]
        if any(reading.name or reading.kind != "value" for reading in members):
            raise NotMaths("a set of relations")
        return _listed("{}", members)

    def matrix(self, tokens: list[Token]) -> Node:
        rows = _rows(tokens)
        if len({len(row) for row in rows}) != 1:
            raise NotMaths("ragged matrix")
        return Group(
            f"matrix {len(rows[0])}", tuple(self.value(cell) for row in rows for cell in row)
        )

    def combination(self, tokens: list[Token]) -> Node | None:
        """Return a sum of multiples of matrices or tuples, added up member by member, or None."""
        if not any(t.kind in (r"\begin", ",") for t in tokens):
            return None
        terms, signs = split_at(tokens, {"+", "-"})
        if not terms[0]:
            terms = terms[1:]
        else:
            signs = [Token("+", "+"), *signs]
        head, size = "", 0
        sums: list[list[Token]] = []
        for sign, term in zip(signs, terms, strict=True):
            start = next((i for i, t in enumerate(term) if i + _end_of(term[i:]) == len(term) - 1
                          and t.kind in (r"\begin", "(")), None)  # fmt: skip
            if start is None:
                return None
            factor, array = term[:start], term[start:]
            if factor and factor[-1].kind == "*":
                factor = factor[:-1]
            if array[0].kind == "(":
                cells, commas = split_at(array[1:-1], {","})
                shape = "()"
                if not commas and array[1].kind == r"\begin":
                    array = array[1:-1]
            if array[0].kind == r"\begin":
                rows = _rows(array)
                shape, cells = f"matrix {len(rows[0])}", [cell for row in rows for cell in row]
            if len(cells) < 2 or (sums and (shape != head or len(cells) != size)):
                return None
            head, size = shape, len(cells)
            sums = sums or [[] for _ in cells]
            for total, cell in zip(sums, cells, strict=True):
                product = (
                    [*_bracketed(factor), _TIMES, *_bracketed(cell)] if factor else _bracketed(cell)
                )
                total += [sign, *product]
        return Group(head, tuple(self.value(total) for total in sums))


# ---------------------------------------------------------------- parts of tokens


def _members(tokens: list[Token]) -> list[list[Token]]:
    """Split a list, without the empty member in "1, 2, and 3" and behind a last comma."""
    parts, found = split_at(tokens, _SEPARATORS)
    kinds = kinds_of(found)
    kept = [
        part
        for i, part in enumerate(parts)
        if part or (kinds[max(i - 1, 0) : i + 1] != ",w" and kinds[i - 1 :] != ",")
    ]
    if not all(kept):
        raise NotMaths("an empty member")
    return kept


def _conditions(tokens: list[Token]) -> list[Token]:
    r"""Turn a condition in brackets at the end into a member: `2k (k \in \mathbb{Z})`."""
    if not tokens or tokens[-1].kind != ")":
        return tokens
    opened = (i for i in range(1, len(tokens)) if tokens[i].kind == "(")
    start = next((i for i in opened if i + _end_of(tokens[i:]) == len(tokens) - 1), 0)
    inside = tokens[start + 1 : -1]
    relations = split_at(inside, set(RELATIONS))[1]
    if not (start and relations and name_of(inside[: inside.index(relations[0])])):
        return tokens
    is_argument = re.search(r"[sSwD]$|=$", kinds_of(tokens[:start])) is not None  # P(X = 2)
    if is_argument and relations[0].kind != r"\in":
        return tokens
    return [*tokens[:start], Token(",", ","), *inside]


def _end_of(tokens: list[Token]) -> int:
    """Return the index of the bracket that closes the first token, or -1."""
    depth = 0
    for i, token in enumerate(tokens):
        depth += (token.kind in ("(", "[", "{", r"\{", r"\begin")) - (
            token.kind in (")", "]", "}", r"\}", r"\end")
        )
        if depth == 0:
            return i if i else -1
    return -1


def _enclosed(tokens: list[Token]) -> str:
    """Return the opening bracket if one pair of brackets holds everything, else ""."""
    if len(tokens) < 2 or tokens[0].kind not in _BRACKETS or _end_of(tokens) != len(tokens) - 1:
        return ""
    return tokens[0].kind if tokens[-1].kind in _BRACKETS[tokens[0].kind] else ""


def _bracketed(tokens: list[Token]) -> list[Token]:
    if len(tokens) == 1 and tokens[0].kind in ("n", "s", "S"):
        return tokens
    return [Token("(", "("), *tokens, Token(")", ")")]


def _rows(tokens: list[Token]) -> list[list[list[Token]]]:
    """Return the cells of a matrix."""
    if not re.search(r"\{(?:small|[pbB])?matrix\}", tokens[0].text):
        raise NotMaths("unknown environment")
    lines = split_at(tokens[1:-1], {"\\"})[0]
    rows = [split_at(line, {"&"})[0] for line in (lines if lines[-1] else lines[:-1])]
    if not rows or not all(cell for row in rows for cell in row):
        raise NotMaths("an empty cell")
    return rows


def _recurs(name: list[Token], side: list[Token]) -> bool:
    """Return True if a name occurs in its value: `x = x^2` is an equation."""
    return name[0].kind in ("s", "S") and name[0] in side


def _is_letter(name: list[Token]) -> bool:
    return re.fullmatch(r"[sS](?:_(?:[snSw]|\{[^{}]*\}))?", kinds_of(name)) is not None


def _based_key(tokens: list[Token]) -> str | None:
    """Return the key of a number in another base (`101_2`, `(101)_{two}`, `101 base 2`), or None.

    It is equal only to the same number in the same base.
    """
    *digits, base = (t.text for t in tokens if t.kind in "nSw" and t.text not in ("in", "base"))
    if any(t.kind == "w" for t in tokens[:-1]) and not any(t.text in ("base", "_") for t in tokens):
        return None
    number = "".join(digits).upper().lstrip("0") or "0"
    base = str(_BASES.get(base, base))
    try:
        int(number, int(base))
    except ValueError:
        return None
    return f"{number}_{int(base)}"


# ---------------------------------------------------------------- expressions


def _leaf(tokens: list[Token]) -> Leaf:
    if len(tokens) == 1 and tokens[0].kind == "n":
        return Leaf(key_of(constant(number_of(tokens[0].text))), tuple(tokens))
    tokens = _with_products(tokens)
    try:
        value = Parser(tokens).whole()
        return Leaf(key_of(value), tuple(tokens))
    except Undecided:
        return Leaf(None, _worker_tokens(tokens))


def _worker_tokens(tokens: list[Token]) -> tuple[Token, ...]:
    """Return an expression with all its products written out, and nothing but an expression."""
    depth = 0
    for token in tokens:
        depth += (token.kind in ("(", "[", "{")) - (token.kind in (")", "]", "}"))
        if token.kind not in _PLAIN or (depth == 0 and token.kind in (",", "=", ":to")):
            raise NotMaths(f"{token.text} in an expression")
    latex_of(tokens)  # raises if a number is too large for the worker
    return tuple(_with_products(tokens))


def _with_products(tokens: list[Token]) -> list[Token]:
    r"""Write out the product before a power of a number: `(n+4)3^n`, `\frac25 7^n`."""
    if not _HIDDEN_PRODUCT.search(kinds_of(tokens)):
        return tokens
    written: list[Token] = []
    opened: list[str] = []  # what each open bracket belongs to
    closed = ""  # what the group before the token belongs to
    in_function = False
    for token, after in zip(tokens, [*tokens[1:], Token("end", "")], strict=True):
        before = written[-1].kind if written else ""
        in_function = (in_function and before not in ("+", "-")) or before == "f"
        if token.kind == "n" and after.kind == "^" and not in_function:
            is_argument = (before, closed) in (("}", r"\frac"), ("}", r"\binom"), ("]", r"\sqrt"))
            if before in ("s", "S", ")", "]", "}", "!") and not is_argument:
                written.append(_TIMES)
        if token.kind in ("{", "(", "["):
            opened.append("" if before == "}" else before)
        closed = opened.pop() if token.kind in ("}", ")", "]") and opened else ""
        written.append(token)
    return written


def _spelled(value: Poly) -> tuple[Token, ...]:
    """Return tokens of a number for the worker, or none if it is not rational."""
    if set(value) - {()}:
        return ()
    number = value.get((), Fraction(0))
    numerator, denominator = str(abs(number.numerator)), str(number.denominator)
    sign = [Token("-", "-")] if number < 0 else []
    return (*sign, Token("n", numerator), Token("/", "/"), Token("n", denominator))


def _difference(left: list[Token], right: list[Token]) -> Poly:
    return add([as_poly(Parser(left).whole()), negative(as_poly(Parser(right).whole()))])


def _is_constant(atom: str) -> bool:
    return atom.isdigit() or atom in POSITIVE or atom == "i"


def _solution(difference: Poly) -> tuple[str, Poly] | None:
    """Solve `difference = 0` for y, or for its only variable, if it is linear in that."""
    variables = {x for monomial in difference for x, _ in monomial if not _is_constant(x)}
    unknown = "y" if "y" in variables or len(variables) != 1 else min(variables)
    linear: Monomial = ((unknown, Fraction(1)),)
    rest = {m: c for m, c in difference.items() if m != linear}
    if linear not in difference or any(x == unknown for m in rest for x, _ in m):
        return None
    return unknown, times(rest, constant(-1 / difference[linear]))


def _normal_relation(difference: Poly, sign: str) -> str:
    """Return the key of `difference sign 0`, divided by its first coefficient or its size.

    An equation loses its denominators: `y = 1/x` is `xy = 1`.
    """
    if sign in ("=", "!="):
        lowest: dict[str, Fraction] = {}
        for monomial in difference:
            for atom, exponent in monomial:
                if not _is_constant(atom):
                    lowest[atom] = min(lowest.get(atom, Fraction(0)), exponent)
        cleared = tuple(sorted((atom, -exponent) for atom, exponent in lowest.items() if exponent))
        difference = times(difference, {cleared: Fraction(1)})
    leading = difference[min(difference)]
    factor = constant(1 / (leading if sign in ("=", "!=", "≈") else abs(leading)))
    return f"{sign} {key_of(times(difference, factor))}"


def _half_line(difference: Poly) -> tuple[str, bool, Poly] | None:
    """Return `difference > 0` as variable, whether it is a lower bound, and bound; or None."""
    constants = {m for m in difference if all(_is_constant(x) and x != "i" for x, _ in m)}
    rest = [m for m in difference if m not in constants]
    if len(rest) != 1 or len(rest[0]) != 1 or rest[0][0][1] != 1 or rest[0][0][0] == "i":
        return None
    slope = difference[rest[0]]
    bound = times({m: difference[m] for m in constants}, constant(-1 / slope))
    return rest[0][0][0], slope > 0, bound


# ---------------------------------------------------------------- groups


def _half(name: str, is_lower: bool, end: Node, sign: str) -> Reading:
    strict = sign == ">"
    if is_lower:
        return Reading(Group("()" if strict else "[)", (end, INFINITY)), name, kind="bound")
    return Reading(Group("()" if strict else "(]", (MINUS_INFINITY, end)), name, kind="bound")


def _both(one: Reading, other: Reading) -> Reading | None:
    """Return the interval of two opposite bounds of one variable, or None."""
    if {one.kind, other.kind} != {"bound"} or one.name != other.name:
        return None
    for lower, upper in ((one, other), (other, one)):
        low, high = lower.node, upper.node
        assert isinstance(low, Group) and isinstance(high, Group)
        if low.parts[1] == INFINITY and high.parts[0] == MINUS_INFINITY:
            node = Group(low.head[0] + high.head[1], (low.parts[0], high.parts[1]))
            return Reading(node, one.name, kind="bound")
    return None


def _listed(head: str, readings: list[Reading]) -> Group:
    parts: list[Node] = []
    for reading in readings:
        node = reading.node
        parts += node.parts if isinstance(node, Group) and node.head == "list" else [node]
    return Group(head, tuple(parts))


def _any_of(readings: list[Reading]) -> Reading:
    """Return the reading of relations of which any may hold."""
    kinds = {reading.kind for reading in readings}
    names = {reading.name for reading in readings} - {""}
    if len(names) <= 1 and kinds <= {"value", "bound"}:
        head = "list" if kinds == {"value"} else "{}"
        kind = "value" if kinds == {"value"} else "bound"
        return Reading(_listed(head, readings), "".join(names), kind=kind)
    return _labelled("any", readings)


def _labelled(connective: str, readings: list[Reading]) -> Reading:
    """Return relations under their connective; one value among conditions may lose its name."""
    values = [reading for reading in readings if reading.kind == "value"]
    free = values[0] if len(values) == 1 and connective == "all" else None
    parts = tuple(
        reading.node
        if reading is free or not reading.name
        else Group(f"{reading.name} :", (reading.node,))
        for reading in readings
    )
    return Reading(Group(connective, parts), free.name if free else "", kind="relation")


# ---------------------------------------------------------------- keys

Rendered = tuple[str, tuple[str, ...]]  # the key, and the units in the order of the key's members


def rendered(
    node: Node, key_of_leaf: Callable[[Leaf, str], str | None], path: str = ""
) -> Rendered | None:
    """Return the key of a node and its units, or None if a leaf has no key.

    Args:
        node: the value.
        key_of_leaf: returns the key of a leaf at a path.
        path: where the node is in its tree; the members of an unordered group share their path.
    """
    if isinstance(node, Leaf):
        key = node.key or key_of_leaf(node, path)
        return None if key is None else (key, (node.unit,))
    found = []
    for place, part in places(node, path):
        if (one := rendered(part, key_of_leaf, place)) is None:
            return None
        found.append((one[0], tuple(unit or node.unit for unit in one[1])))
    if node.head in UNORDERED:
        found = sorted(found if node.head in ("list", "product") else set(found))
    keys = [key for key, _ in found]
    units = tuple(unit for _, some in found for unit in some)
    joined = ", ".join(keys)
    if node.head in ("list", "{}"):
        if len(keys) == 1:
            return keys[0], units
        repeats = node.head == "list" and len(set(keys)) < len(keys)
        return f"list {joined}" if repeats else f"{{{joined}}}", units
    if node.head == ":":
        return " : ".join(keys), units
    if len(node.head) == 2 and node.head[0] in "([":
        return node.head[0] + joined + node.head[1], units
    return f"{node.head} {joined}", units


def places(group: Group, path: str) -> Iterator[tuple[str, Node]]:
    """Yield the members of a group with their paths."""
    for i, part in enumerate(group.parts):
        yield f"{path}/{skeleton(part) if group.head in UNORDERED else i}", part


def skeleton(node: Node) -> str:
    """Return the shape of a tree, which equal answers share."""
    if isinstance(node, Leaf):
        return "." + node.sign
    parts = map(skeleton, node.parts)
    head = "{}" if node.head == "list" else node.head
    return f"{head}<{' '.join(sorted(parts) if node.head in UNORDERED else parts)}>"


def leaves(node: Node, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """Yield the leaves of a tree with their paths."""
    if isinstance(node, Leaf):
        yield path, node
    else:
        for place, part in places(node, path):
            yield from leaves(part, place)


WORDS = {
    spelling: "text:" + spellings[0]
    for spellings in (
        ("no solution", "no solutions", "there is no solution", "there are no solutions",
         "no solution exists", "no solutions exist"),
        ("does not exist", "dne", "d n e", "the limit does not exist", "limit does not exist"),
        ("yes",), ("no",), ("true",), ("false",),
    )
    for spelling in spellings
} | dict.fromkeys(
    ("infinity", "infinite", "infinitely many", "infinitely many solutions",
     "there are infinitely many solutions", "an infinite number of solutions"), "infinity",
)  # fmt: skip
