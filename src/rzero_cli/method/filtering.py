"""The filter: keep the questions on which the Solver is uncertain (paper, section 3.3).

`paper` keeps a question iff |p_hat - 1/2| <= delta, `official` iff 0.3 <= p_hat <= 0.8. Both are
closed intervals. p_hat is compared as a decimal: 0.25 and 0.75 are kept, the next float outside is
not.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

from rzero_cli.errors import UsageError

Band = tuple[Decimal, Decimal]
_MOST_PLACES = 1000
"""A limit on decimal places: 1/2 - 1e-999999999 would have a billion digits."""


def band(delta: Decimal) -> Band:
    """Return the exact interval [1/2 - delta, 1/2 + delta]."""
    with localcontext() as context:
        context.prec = 2 + max(1, -int(delta.as_tuple().exponent))
        return Decimal("0.5") - delta, Decimal("0.5") + delta


def interval(delta: str, low: str | None = None, high: str | None = None) -> Band:
    """Return the interval of p_hat to keep: [low, high] if either is given, else 1/2 +- delta.

    Args:
        delta: decimal text from 0 to 1/2; ignored if `low` or `high` is given.
        low, high: decimal texts from 0 to 1; a missing one is 0 or 1.

    Raises:
        UsageError: a value is not a number or is out of range, or `low` is above `high`.
    """
    if low is None and high is None:
        return band(_number("--delta", delta, Decimal("0.5")))
    bounds = _number("--low", low or "0"), _number("--high", high or "1")
    if bounds[0] > bounds[1]:
        raise UsageError(f"--low {low} is above --high {high}")
    return bounds


def _number(option: str, text: str, largest: Decimal = Decimal(1)) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"{option} {text}: not a number") from None
    if value.is_nan() or not 0 <= value <= largest:
        raise UsageError(f"{option} {text}: must be between 0 and {largest}")
    if value.adjusted() < -_MOST_PLACES or len(value.as_tuple().digits) > _MOST_PLACES:
        raise UsageError(f"{option} {text}: more than {_MOST_PLACES} decimal places")
    return value


def keep(answer: str | None, p_hat: Decimal, interval: Band) -> bool:
    """Return True if a labelled question is kept for training; one without a label never is."""
    # Decimal comparisons never round, whatever the number of digits.
    return answer is not None and interval[0] <= p_hat <= interval[1]


def quick_keep(interval: Band) -> Callable[[bytes, Any], bool | None]:
    """Return a fast `keep` that takes a raw line and its parsed record and mostly compares floats.

    The function returns None for an invalid record and for one that needs exact parsing.
    """
    low, high = map(float, interval)

    def decide(raw: bytes, record: Any) -> bool | None:
        try:
            answer, p_hat = record["answer"], record["p_hat"]
        except (KeyError, TypeError):
            return None
        if type(p_hat) is not float or not (answer is None or type(answer) is str):
            return None
        # Rounding to a float preserves order: only a p_hat that rounds to a bound needs its exact
        # text.
        if low < p_hat < high:
            return answer is not None
        if 0 < p_hat < low or high < p_hat < 1:
            return False
        exact = only_p_hat(raw)
        return keep(answer, exact, interval) if exact is not None and 0 <= exact <= 1 else None

    return decide


def only_p_hat(raw: bytes) -> Decimal | None:
    """Return the exact p_hat of a JSON line that holds it as a float; None if parsing is needed."""
    _, _, rest = raw.partition(b'"p_hat":')
    text, end, _ = rest[:40].replace(b"}", b",").partition(b",")
    # An escaped spelling of the key could hide it, and an inner object's p_hat would be found.
    if not end or raw.count(b"p_hat") > 1 or b"\\u" in raw:
        return None
    try:
        return Decimal(text.decode())
    except InvalidOperation:  # an exponent of twenty digits
        return None
