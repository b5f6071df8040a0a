"""Relations: their normal form, the solution or interval they state, and their connectives."""

from __future__ import annotations

import re
from fractions import Fraction

from rzero_cli.answers.algebra import (
    POSITIVE,
    Monomial,
    NotMaths,
    Poly,
    add,
    constant,
    key_of,
    negative,
    times,
)
from rzero_cli.answers.parser import Parser, as_poly
from rzero_cli.answers.tokens import Token
from rzero_cli.answers.trees import INFINITY, MINUS_INFINITY, Group, Leaf, Node, Reading
from rzero_cli.answers.units import add_up


def spelled(value: Poly) -> tuple[Token, ...]:
    """Return tokens of a number for the worker, or none if it is not rational."""
    if set(value) - {()}:
        return ()
    number = value.get((), Fraction(0))
    numerator, denominator = str(abs(number.numerator)), str(number.denominator)
    sign = [Token("-", "-")] if number < 0 else []
    return (*sign, Token("n", numerator), Token("/", "/"), Token("n", denominator))


def difference_of(left: list[Token], right: list[Token]) -> Poly:
    return add([as_poly(Parser(left).whole()), negative(as_poly(Parser(right).whole()))])


def is_constant(atom: str) -> bool:
    return atom.isdigit() or atom in POSITIVE or atom == "i"


def solution_of(difference: Poly) -> tuple[str, Poly] | None:
    """Solve `difference = 0` for y, or for its only variable, if it is linear in that."""
    variables = {x for monomial in difference for x, _ in monomial if not is_constant(x)}
    unknown = "y" if "y" in variables or len(variables) != 1 else min(variables)
    linear: Monomial = ((unknown, Fraction(1)),)
    rest = {m: c for m, c in difference.items() if m != linear}
    if linear not in difference or any(x == unknown for m in rest for x, _ in m):
        return None
    return unknown, times(rest, constant(-1 / difference[linear]))


def normal_relation(difference: Poly, sign: str) -> str:
    """Return the key of `difference sign 0`, divided by its first coefficient or its size.

    An equation loses its denominators: `y = 1/x` is `xy = 1`.
    """
    if sign in ("=", "!="):
        lowest: dict[str, Fraction] = {}
        for monomial in difference:
            for atom, exponent in monomial:
                if not is_constant(atom):
                    lowest[atom] = min(lowest.get(atom, Fraction(0)), exponent)
        cleared = tuple(sorted((atom, -exponent) for atom, exponent in lowest.items() if exponent))
        difference = times(difference, {cleared: Fraction(1)})
    leading = difference[min(difference)]
    factor = constant(1 / (leading if sign in ("=", "!=", "≈") else abs(leading)))
    return f"{sign} {key_of(times(difference, factor))}"


def half_line(difference: Poly) -> tuple[str, bool, Poly] | None:
    """Return `difference > 0` as variable, whether it is a lower bound, and bound; or None."""
    constants = {m for m in difference if all(is_constant(x) and x != "i" for x, _ in m)}
    rest = [m for m in difference if m not in constants]
    if len(rest) != 1 or len(rest[0]) != 1 or rest[0][0][1] != 1 or rest[0][0][0] == "i":
        return None
    slope = difference[rest[0]]
    bound = times({m: difference[m] for m in constants}, constant(-1 / slope))
    return rest[0][0][0], slope > 0, bound


def half(name: str, is_lower: bool, end: Node, sign: str) -> Reading:
    strict = sign == ">"
    if is_lower:
        return Reading(Group("()" if strict else "[)", (end, INFINITY)), name, kind="bound")
    return Reading(Group("()" if strict else "(]", (MINUS_INFINITY, end)), name, kind="bound")


def both(one: Reading, other: Reading) -> Reading | None:
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


def listed(head: str, readings: list[Reading]) -> Group:
    parts: list[Node] = []
    for reading in readings:
        node = reading.node
        parts += node.parts if isinstance(node, Group) and node.head == "list" else [node]
    return Group(head, tuple(parts))


def united(nodes: tuple[Node, ...]) -> Group:
    """Return a union of intervals; open ones are spelled as points, but are not a list of them."""
    may_be_points = all(
        isinstance(node, Group)
        and node.head == "()"
        and not {INFINITY, MINUS_INFINITY} & {*node.parts}
        for node in nodes
    )
    return Group("union" if may_be_points else "{}", nodes)


def modular(nodes: list[Node]) -> Group:
    """Return a residue and its modulus."""
    residue, modulus = nodes if len(nodes) == 2 else (None, None)
    if not (isinstance(residue, Leaf) and isinstance(modulus, Leaf)):
        raise NotMaths("a residue without its modulus")
    try:
        key = str(int(residue.key or "") % int(modulus.key or ""))
        residue = Leaf(key, (Token("n", key),))
    except (ValueError, ZeroDivisionError):  # symbolic
        pass
    return Group("mod", (residue, modulus))


def quantity_of(nodes: list[Node]) -> Group | None:
    """Return one quantity in several units, which cannot lose them, or None."""
    if not add_up([node.unit for node in nodes]):
        return None
    return Group("all", tuple(Group(f"{n.unit} :", (n._replace(unit=""),)) for n in nodes))


_TRUTH = {"text:yes", "text:no", "text:true", "text:false", "1 T^1", "1 F^1"}


def list_of_words(group: Group, is_choice: bool, has_or: bool) -> str:
    """Return the head of a list: words and choices keep their "or", truth values their order."""
    keys = [part.key or "" if isinstance(part, Leaf) else "" for part in group.parts]
    if has_or and (is_choice or any(re.match(r"text:|1 [A-Z]\^1$", key) for key in keys)):
        return "any"
    return "()" if set(keys) <= _TRUTH else "list"


def any_of(readings: list[Reading]) -> Reading:
    """Return the reading of relations of which any may hold."""
    kinds = {reading.kind for reading in readings}
    names = {reading.name for reading in readings} - {""}
    if len(names) <= 1 and kinds <= {"value", "bound"}:
        if kinds == {"value"}:
            return Reading(listed("list", readings), "".join(names))
        node = united(listed("{}", readings).parts)
        return Reading(node, "".join(names), kind="bound")
    return labelled("any", readings)


def labelled(connective: str, readings: list[Reading]) -> Reading:
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
