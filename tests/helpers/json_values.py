"""JSON values for tests, and forms of them that preserve types and key order."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def exact_text(value: Any) -> str:
    """Return a text that is equal only for equal types, signs, digits and key order."""
    return repr(value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # any code point, lone surrogates included: JSON can write them all
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def typed_pairs(value: Any) -> Any:
    """Return a form of a JSON value whose equality respects key order and number types."""
    if isinstance(value, dict):
        return [(key, typed_pairs(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [typed_pairs(inner) for inner in value]
    return (type(value), value)
