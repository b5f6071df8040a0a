"""Guards against repetition in the training set: no duplicates, not too many similar questions.

| guard             | drops a question                                                        |
|-------------------|-------------------------------------------------------------------------|
| dedup exact       | whose text was seen before, ignoring white space and case               |
| dedup near        | that is a near-duplicate of one seen before (`near_duplicates`), or as  |
|                   | exact                                                                   |
| max_per_answer    | whose answer, by its full key, that many kept questions have            |
| max_per_cluster   | whose cluster has that many kept questions                              |

The questions of earlier files and those kept so far count as seen. A dropped question does not, so
it never blocks a later one.

Clusters are made in one pass by leader clustering. A leader is the first kept question that is near
no earlier leader; its cluster is the kept questions near it. A question near several leaders joins
the one with which it shares most n-grams in the index. The repetition penalty (`method.rewards`)
uses average linkage over a whole batch instead, which a stream does not allow. Here every member is
near its leader, but two members need not be near each other, and the leaders depend on the order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from rzero_cli.analysis.near_duplicates import NearIndex
from rzero_cli.analysis.sketches import digest, same_text
from rzero_cli.answers import full_key

_BYTES = 16  # of a digest: a collision would lose a question


def guards(
    *,
    dedup: str | None = None,
    seen: Iterable[str] = (),
    max_per_answer: int | None = None,
    max_per_cluster: int | None = None,
    tau_bleu: float = 0.5,
    bleu: str = "13a",
) -> Callable[[str, str], str | None]:
    """Return a function that decides on each question in turn, from the question and its answer.

    The function returns None for a question to keep, which then counts as kept. Otherwise it
    returns why the question is dropped, the first that applies of "duplicates",
    "over_max_per_answer", "near_duplicates" (with `near`) and "over_max_per_cluster".

    Memory: with `near` or `max_per_cluster` about 2 kB per question of `seen` and per kept question
    that is near no other; with `dedup` about 100 bytes per question of either; about 100 bytes per
    distinct answer and per cluster.

    Args:
        dedup: "exact", "near" or None.
        seen: questions of earlier files, for `dedup`.
        max_per_answer, max_per_cluster: 1 or more, or None. With `near` a cluster has one member.
        tau_bleu, bleu: define near-duplicates, see `analysis.near_duplicates`.
    """
    texts: set[int] = set()
    answers: Counter[int] = Counter()
    members: Counter[int] = Counter()
    near = dedup == "near"
    most = 1 if near else max_per_cluster
    index = NearIndex(tau_bleu=tau_bleu, bleu=bleu) if most else None
    for question in seen if dedup else ():
        texts.add(digest(same_text(question), _BYTES))
        if near and index is not None:
            members[len(index)] = 1
            index.look(question, enter="always")

    def look(question: str, answer: str) -> str | None:
        text = digest(same_text(question), _BYTES) if dedup else 0
        if text in texts:
            return "duplicates"
        key = digest(full_key(answer) or answer, _BYTES) if max_per_answer else 0
        if max_per_answer and answers[key] == max_per_answer:
            return "over_max_per_answer"
        if most and index is not None:  # last, since a leader entered here must be kept
            number = len(index)
            found = index.look(question, enter="new")
            leader = number if found is None else found
            if members[leader] == most:
                return "near_duplicates" if near else "over_max_per_cluster"
            members[leader] += 1
        if dedup:
            texts.add(text)
        if max_per_answer:
            answers[key] += 1
        return None

    return look
