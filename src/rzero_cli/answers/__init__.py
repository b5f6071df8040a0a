r"""A completion's boxed answer, reduced to an exact canonical key; one module for each arrow.

    text -> boxes -> answer -> tokens -> items -> parser -> keys

A tokenizer and a recursive-descent parser turn an answer into a polynomial with rational
coefficients whose atoms are variables, pi, e, i and roots of primes. It has one normal form (roots
of distinct primes are linearly independent over the rationals: Besicovitch, 1940), so equal keys
mean equal answers and different keys different ones. What lies outside (`\sin x`, `2^n`,
`1/(x+1)`) has no key and is left to `answers.equivalence`. What is no mathematics, is ambiguous or
is too large to compute is its own text. Nothing here evaluates an answer as code.

The paper groups answers by mathematical equivalence and leaves the rules open; those taken here
are listed in the tests, a golden case each. They hold for answers to *one* question: an open
interval and an ordered pair share a spelling and so a key, and `\{5\}` is 5.
"""

from rzero_cli.answers.boxes import extract_boxed, is_blank_box
from rzero_cli.answers.conventions import DEFAULT, Conventions
from rzero_cli.answers.extraction import EXTRACTIONS, extract_answer
from rzero_cli.answers.keys import canonical_key, latex_form

__all__ = [
    "DEFAULT",
    "EXTRACTIONS",
    "Conventions",
    "canonical_key",
    "extract_answer",
    "extract_boxed",
    "is_blank_box",
    "latex_form",
]
