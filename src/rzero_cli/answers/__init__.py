r"""Reduce a completion's boxed answer to an exact canonical key, with one module per step.

    text -> boxes -> answer -> spelling -> tokens -> items, units -> reading -> trees -> keys

`reading` uses `token_groups`, `relations`, `expressions` and `parser`.

An answer is read as a tree of values and relations, with the names and units next to them. A
recursive-descent parser turns each expression into a polynomial with rational coefficients over
variables, pi, e, i and roots of primes. Its normal form is unique, since roots of distinct primes
are linearly independent over the rationals (Besicovitch, 1940). Two answers with keys are therefore
equal iff their keys are and their names and units do not disagree. Other expressions (`\sin x`,
`2^n`, `1/(x+1)`) have no key and are left to `answers.equivalence`. An answer that is not
mathematics, is ambiguous or is too large to compute is equal only to its own text. Answers are
never evaluated as code.

The paper groups answers by mathematical equivalence but does not define it; the tests list our
rules with a golden case each. They apply to answers to *one* question: an open interval and an
ordered pair share a spelling and therefore a key, and `\{5\}` is 5.
"""

from rzero_cli.answers.boxes import extract_boxed, is_blank_box
from rzero_cli.answers.conventions import DEFAULT, Conventions
from rzero_cli.answers.extraction import EXTRACTIONS, extract_answer
from rzero_cli.answers.keys import canonical_key, full_key, latex_form

__all__ = [
    "DEFAULT",
    "EXTRACTIONS",
    "Conventions",
    "canonical_key",
    "extract_answer",
    "extract_boxed",
    "full_key",
    "is_blank_box",
    "latex_form",
]
