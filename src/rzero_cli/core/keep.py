"""Which questions to keep: those the Solver is unsure of (paper, section 3.3).

`paper` keeps a question iff |p_hat - 1/2| <= delta, `official` iff 0.3 <= p_hat <= 0.8; both are
an interval, boundaries included. The comparison is between decimals, so that 0.25 and 0.75 are in
and the float next to them is not.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

__all__ = ["band", "keep"]

Band = tuple[Decimal, Decimal]


def band(delta: Decimal) -> Band:
    """The interval [1/2 - delta, 1/2 + delta], exact."""
    with localcontext() as context:
        context.prec = 2 + max(1, -int(delta.as_tuple().exponent))
        return Decimal("0.5") - delta, Decimal("0.5") + delta


def keep(answer: str | None, p_hat: Decimal, interval: Band) -> bool:
    """Whether a labelled question goes on to training. One without a label never does."""
    # Decimal comparisons never round, whatever the number of digits.
    return answer is not None and interval[0] <= p_hat <= interval[1]
