"""The records passed between stages: their keys, and functions that read them.

| stage  | adds                                                                  |
|--------|-----------------------------------------------------------------------|
| sample | id, question, proposed_answer                                          |
| label  | answer, p_hat, m, majority, answers, votes                             |
| score  | r_unc, r_rep, reward, cluster, and label's keys                        |
| grade  | correct, extracted                                                     |
| oracle | reference                                                              |
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rzero_cli.data.jsonl import Line


def p_hat_of(line: Line) -> Decimal:
    """Return the record's `p_hat`; exact if the line was read with `exact`.

    Raises:
        DataError: missing, not a number, or outside [0, 1].
    """
    value = line.value("p_hat", "a number from 0 to 1")
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise line.error('key "p_hat" must be a number from 0 to 1')
    p_hat = value if isinstance(value, Decimal) else Decimal(str(value))
    if not 0 <= p_hat <= 1:
        raise line.error(f'key "p_hat" must be between 0 and 1, not {value}')
    return p_hat


def group_of(line: Line, key: str) -> str | None:
    """Return the name of the record's group as text, or None.

    Raises:
        DataError: the group is an object or a list.
    """
    group = line.record.get(key)
    if isinstance(group, (dict, list)):
        raise line.error(f'key "{key}" must be a name or a number')
    return None if group is None else str(group)


def texts_of(line: Line, key: str) -> list[str | None]:
    """Return the list of texts under `key`, with None for an unreadable answer.

    Raises:
        DataError: missing, not a list, or an item is neither a string nor null.
    """
    values = line.value(key, "a list of texts")
    if not isinstance(values, list):
        raise line.error(f'key "{key}" must be a list of texts, one for each answer')
    for value in values:
        if not (isinstance(value, str) or value is None):
            raise line.error(f'key "{key}" must hold texts or null, not {value!r}: quote it')
    return values


def votes_of(line: Line) -> dict[str, int]:
    """Return label -> size of each class of equal answers.

    Raises:
        DataError: missing, not an object, or a size is not a positive integer.
    """
    votes = line.value("votes", "an object of counts")
    if not isinstance(votes, dict):
        raise line.error('key "votes" must be an object: how often each answer was given')
    for answer, count in votes.items():
        if type(count) is not int or count < 1:
            raise line.error(
                f'key "votes" must hold whole numbers from 1: {answer!r} has {count!r}'
            )
    return votes


def vote_metrics(lines: Iterable[Line]) -> dict[str, float]:
    """Return the metrics of a labelled file for its record."""
    count = unlabelled = 0
    total = 0.0
    for count, line in enumerate(lines, 1):  # noqa: B007 - the count is reported
        unlabelled += line.record["answer"] is None
        total += line.record["p_hat"]
    return {"questions": count, "unlabelled": unlabelled, "p_hat_mean": total / max(1, count)}
