"""Trees of values: their types, keys, shapes and leaves.

A leaf is one expression, with a key if it has a canonical form. Order, multiplicity, brackets,
connectives and names are the tree's, so that only single expressions reach the equivalence worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rzero_cli.answers.tokens import Token


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
        head: the brackets; "list" without any; "union" of open intervals; "sets" and "set" of a set
            of sets; "matrix" and its columns; ":" of a ratio; "mod" of a residue; "product" of
            quantities; "all" or "any" of relations or words; a name and " :" of a labelled one.
        parts: the members.
        unit: the unit of all members without one of their own.
    """

    head: str
    parts: tuple[Node, ...]
    unit: str = ""


Node = Leaf | Group
UNORDERED = ("list", "{}", "union", "sets", "all", "any", "product")


class Reading(NamedTuple):
    """An answer.

    Attributes:
        node: its value.
        name: the name given to the value, "" if none.
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
) | dict.fromkeys(("empty set", "the empty set"), "{}") | dict.fromkeys(
    ("all real numbers", "all reals", "the real numbers"), "(-infinity, infinity)",
)  # fmt: skip
