"""Which questions to keep: those the Solver is unsure of (paper, section 3.3).

`paper` keeps a question iff |p_hat - 1/2| <= delta, `official` iff 0.3 <= p_hat <= 0.8; both are
an interval, boundaries included. The comparison is between decimals, so that 0.25 and 0.75 are in
and the float next to them is not.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

from rzero_cli.errors import UsageError

Band = tuple[Decimal, Decimal]
_MOST_PLACES = 1000
"""1/2 - 1e-999999999 has a billion digits."""


def band(delta: Decimal) -> Band:
    """The interval [1/2 - delta, 1/2 + delta], exact."""
    with localcontext() as context:
        context.prec = 2 + max(1, -int(delta.as_tuple().exponent))
        return Decimal("0.5") - delta, Decimal("0.5") + delta


def interval(delta: str, low: str | None = None, high: str | None = None) -> Band:
    """What `filter` keeps with these options: `low` and `high` where one is there, else `delta`.

    Raises:
        UsageError: one is no number, or out of its range.
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
    """Whether a labelled question goes on to training. One without a label never does."""
    # Decimal comparisons never round, whatever the number of digits.
    return answer is not None and interval[0] <= p_hat <= interval[1]


def quick_keep(interval: Band) -> Callable[[bytes, Any], bool | None]:
    """`keep` of a raw line and what it was parsed to, mostly decided between floats.

    The function says None of a record that is wrong, and where it cannot tell: then only the exact
    reading of the line can.
    """
    low, high = map(float, interval)

    def decide(raw: bytes, record: Any) -> bool | None:
        try:
            answer, p_hat = record["answer"], record["p_hat"]
        except (KeyError, TypeError):
            return None
        if type(p_hat) is not float or not (answer is None or type(answer) is str):
            return None
        # Rounding to a float keeps the order: what lies beside the rounded bounds lies beside the
        # bounds, and only what rounds to one of them has to be looked at.
        if low < p_hat < high:
            return answer is not None
        if 0 < p_hat < low or high < p_hat < 1:
            return False
        exact = only_p_hat(raw)
        return keep(answer, exact, interval) if exact is not None and 0 <= exact <= 1 else None

    return decide


def only_p_hat(raw: bytes) -> Decimal | None:
    """The p_hat of a line of JSON in which it is a float, exact; None where it has to be parsed."""
    _, _, behind = raw.partition(b'"p_hat":')
    text, end, _ = behind[:40].replace(b"}", b",").partition(b",")
    # Written with an escape, the key itself could hide while one in an inner object is found.
    if not end or raw.count(b"p_hat") > 1 or b"\\u" in raw:
        return None
    try:
        return Decimal(text.decode())
    except InvalidOperation:  # an exponent of twenty digits
        return None
