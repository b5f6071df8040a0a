"""Read an answer as a tree of values, with the names and units that may be dropped next to it.

A `Reader` splits an answer into members, members into relations, and these into values.
"""

from __future__ import annotations

import re
from itertools import pairwise

from rzero_cli.answers.algebra import NotMaths, Undecided, key_of
from rzero_cli.answers.conventions import Conventions
from rzero_cli.answers.expressions import leaf_of, worker_tokens
from rzero_cli.answers.items import (
    RELATIONS,
    kinds_of,
    letters_of,
    name_of,
    split_at,
    strip_unit,
    text_of,
)
from rzero_cli.answers.relations import (
    any_of,
    both,
    difference_of,
    half,
    half_line,
    is_constant,
    labelled,
    list_of_words,
    listed,
    modular,
    normal_relation,
    quantity_of,
    solution_of,
    spelled,
    united,
)
from rzero_cli.answers.token_groups import (
    BASED,
    based_key,
    bracketed,
    enclosed,
    end_of,
    is_letter,
    is_permutation,
    is_set,
    members_of,
    recurs,
    rows_of,
    split_conditions,
    weighted_sum,
)
from rzero_cli.answers.tokens import Token
from rzero_cli.answers.trees import WORDS, Group, Leaf, Node, Reading

_SIGNS = {r"\pm", r"\mp"}
# Numbered solutions of one equation; v_1 and v_2, or F_x and F_y, are quantities of their own.
_SOLUTION = re.compile(r"^(x|y|z|\\lambda) _ \d+$")
# An answer of these alone is one expression.
_SIMPLE = {"n", "s", "+", "-", "*", "/", "^", "(", ")", "{", "}", "!", r"\frac", r"\sqrt"}


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
        if all(token.kind in _SIMPLE for token in tokens) and not is_permutation(tokens):
            return Reading(leaf_of(tokens))
        if enclosed(tokens) == "{" and split_at(tokens[1:-1], set(RELATIONS))[1]:
            tokens = tokens[1:-1]
        tokens = split_conditions(tokens)
        alternatives, found = split_at(tokens, {"or"})
        if found and split_at(tokens, set(RELATIONS))[1]:
            return any_of([self.all_of(part) for part in alternatives])
        return self.all_of(tokens)

    def all_of(self, tokens: list[Token]) -> Reading:
        """Return the reading of a list, of values or of relations that all hold."""
        parts = members_of(tokens)
        readings = [reading for part in parts for reading in self.signed(part)]
        if len(readings) == 1:
            return readings[0]
        if quantity := quantity_of([reading.node for reading in readings]):
            return Reading(quantity)
        names = {reading.name for reading in readings} - {""}
        bases = {_SOLUTION.sub(r"\1", name) for name in names}
        if {reading.kind for reading in readings} == {"value"}:
            if len(bases) <= 1:
                name = names if len(names) == 1 else bases
                group = listed("list", readings)
                is_choice = all(len(part) == 3 and enclosed(part) == "(" for part in parts)
                head = list_of_words(group, is_choice, any(t.text == "or" for t in tokens))
                return Reading(group._replace(head=head), "".join(name))
            if sum(any(t.kind in _SIGNS for t in part) for part in parts) > 1:
                raise NotMaths("independent or linked signs")
            if len(names) == len(readings):
                readings.sort(key=lambda reading: reading.name)
                nodes = tuple(reading.node for reading in readings)
                return Reading(Group("()", nodes), ", ".join(r.name for r in readings))
        if len(readings) == 2 and (interval := both(*readings)):
            return interval
        return labelled("all", readings)

    def signed(self, tokens: list[Token]) -> list[Reading]:
        """Return a member's readings: two if it holds a plus-minus sign."""
        signs = sum(t.kind in _SIGNS for t in tokens)
        if not signs or enclosed(tokens) == r"\{":
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
        if signs == ["≡"] and sides[1][-1].kind == "}" and (name := name_of(sides[0])):
            node = self.value(sides[1])
            if isinstance(node, Group) and node.head == "mod":
                return Reading(node, name)
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
        named = [(name_of(side) is not None, is_letter(side)) for side in sides]
        if len(sides) == 2 and named[1] > named[0]:  # 5 = x
            sides = sides[::-1]
        names = []
        while len(sides) > 1 and (name := name_of(sides[0])) and not recurs(*sides[:2]):
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
            and (is_letter(names[0][1]) or names[0][1][0].kind == "f")
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
            difference = difference_of(self.plain(left), self.plain(right))
            if solution := solution_of(difference):
                name, value = solution
                several = any(not is_constant(x) for m in value for x, _ in m)
                leaf = Leaf(key_of(value), tuple(left) if several else spelled(value))
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
            difference = difference_of(left, right)
        except Undecided:
            return Leaf(None, worker_tokens([*left, Token("-", "-"), *bracketed(right)]), sign)
        if not set(difference) - {()}:
            raise NotMaths("a relation between numbers")
        return Leaf(normal_relation(difference, sign), (), sign)

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
        interval = both(*(bound for bound in bounds if bound))
        if interval is None:
            raise NotMaths("chain of inequalities")
        return interval

    def bound(self, greater: list[Token], less: list[Token], sign: str) -> Reading | None:
        """Return a single inequality as an interval of its only variable, or None."""
        greater, less = self.plain(greater), self.plain(less)
        try:
            found = half_line(difference_of(greater, less))
        except Undecided:
            for letter, other, is_lower in ((greater, less, True), (less, greater, False)):
                name = name_of(letter)
                if name and len(letter) < 8 and letter[0] not in other:
                    return half(name, is_lower, leaf_of(other), sign)
            return None
        if found is None:
            return None
        name, is_lower, value = found
        return half(name, is_lower, Leaf(key_of(value), spelled(value)), sign)

    # ------------------------------------------------------------ values

    def value(self, tokens: list[Token]) -> Node:
        """Return a value: an expression, or a list in brackets, matrix, union or ratio."""
        if opening := enclosed(tokens):
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
        if is_permutation(tokens):
            return Leaf("text:" + text_of(tokens))
        parts, found = split_at(tokens, {r"\pmod"})
        if found:
            return modular([self.value(part) for part in parts])
        if BASED.fullmatch(kinds) and (based := based_key(tokens)):
            return Leaf(based)
        if any(t.kind in ("w", "u") and len(t.text) > 1 for t in tokens):
            return self.dimensions(tokens)
        if opening := enclosed(tokens):
            return self.brackets(opening, tokens)
        parts, found = split_at(tokens, {r"\cup"})
        if found:
            nodes = tuple(node for part in parts for node in self.elements(part))
            is_finite = any(enclosed(part) == r"\{" for part in parts)
            return Group("{}", nodes) if is_finite else united(nodes)
        parts, found = split_at(tokens, {":"})
        if found:
            return Group(":", tuple(self.value(part) for part in parts))
        if tokens and tokens[0].kind == r"\begin" and end_of(tokens) == len(tokens) - 1:
            return self.matrix(tokens)
        if combined := weighted_sum(tokens):
            head, members = combined
            return Group(head, tuple(map(self.value, members)))
        return leaf_of(tokens)

    def dimensions(self, tokens: list[Token]) -> Group:
        """Return values with units side by side: `5 cm x 3 cm`, or `3 h 20 min`."""
        starts = [i for i, t in enumerate(tokens) if t.kind == "n"]
        if starts[:1] == [0] and re.fullmatch("(?:nw){2,4}", kinds_of(tokens)):
            ends = [*starts[1:], len(tokens)]
            quantity = quantity_of(
                [self.value(tokens[a:b]) for a, b in zip(starts, ends, strict=True)]
            )
            if quantity:
                return quantity
        parts, found = split_at(tokens, {"*"})
        nodes = tuple(self.value(part) for part in parts) if found else ()
        if not nodes or not all(isinstance(node, Leaf) and node.unit for node in nodes):
            raise NotMaths("words")
        return Group("product", nodes)

    def elements(self, tokens: list[Token]) -> tuple[Node, ...]:
        """Return what a part of a union adds: the elements of a finite set, or an interval."""
        node = self.value(tokens)
        if enclosed(tokens) == r"\{":
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
        if opening == "[" and len(inner) == 1 and inner[0].kind == "s":
            raise NotMaths("[x] may be a floor")
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
                return labelled("all", [self.member(of), condition]).node
        if any(is_set(part) for part in members_of(inner)):
            sets = (self.value(part) for part in members_of(inner))
            nodes = zip(map(is_set, members_of(inner)), sets, strict=True)
            return Group("sets", tuple(Group("set", (n,)) if is_one else n for is_one, n in nodes))
        members = [reading for part in members_of(inner) for reading in self.signed(part)]
        if any(reading.name or reading.kind != "value" for reading in members):
            raise NotMaths("a set of relations")
        return listed("{}", members)

    def matrix(self, tokens: list[Token]) -> Node:
        rows = rows_of(tokens)
        if len({len(row) for row in rows}) != 1:
            raise NotMaths("ragged matrix")
        return Group(
            f"matrix {len(rows[0])}", tuple(self.value(cell) for row in rows for cell in row)
        )
