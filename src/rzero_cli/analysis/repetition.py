"""Which questions of those near p_hat = 1/2 to train on: none twice, and not too many alike.

| guard             | drops a question                                                        |
|-------------------|-------------------------------------------------------------------------|
| dedup exact       | whose text was seen before, white space and case apart                  |
| dedup near        | that is a near-duplicate of one seen before (`near_duplicates`), or as  |
|                   | exact                                                                   |
| max_per_answer    | whose answer that many kept ones have, by its canonical key             |
| max_per_cluster   | whose cluster has that many kept ones                                   |

Seen are the questions of earlier files and those kept so far, so what one guard drops never stands
in the way of a later question.

A cluster here is a leader, the first kept question that was near no leader before it, and the kept
ones near that leader: leader clustering, in one pass. Where a question is near several leaders it
goes to the one that it shares most n-grams with, as the index counts them. The repetition penalty
(`method.rewards`) has all questions of a batch before it and merges the two nearest clusters, by
the mean distance between their members, until none are nearer than tau_bleu. That cannot be done in
a stream. Here every member is near its leader, two members need not be near each other, and which
one leads depends on the order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from rzero_cli.analysis.near_duplicates import NearIndex
from rzero_cli.analysis.sketches import digest, same_text
from rzero_cli.answers import canonical_key

_BYTES = 16  # of a digest: a question that is taken for another is lost


def guards(
    *,
    dedup: str | None = None,
    seen: Iterable[str] = (),
    max_per_answer: int | None = None,
    max_per_cluster: int | None = None,
    tau_bleu: float = 0.5,
    bleu: str = "13a",
) -> Callable[[str, str], str | None]:
    """A function that is asked about each question in turn, with its answer.

    It says None of one that is to be kept, and takes it for kept from then on; else what it is
    dropped as, the first of "duplicates", "over_max_per_answer", "near_duplicates" (with `near`) or
    "over_max_per_cluster" that holds. Memory grows with what is kept: about 2 kB for a question of
    `seen` or a kept one that is near no other (with `near` or `max_per_cluster`), and about 100
    bytes for one of either (with `dedup`), for a distinct answer and for a cluster.

    Args:
        dedup: "exact", "near" or None.
        seen: questions of earlier files, which `dedup` looks at, too.
        max_per_answer, max_per_cluster: 1 or more, or None. After `near` a cluster has one member.
        tau_bleu, bleu: of near-duplicates, see `analysis.near_duplicates`.
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
        key = digest(canonical_key(answer) or answer, _BYTES) if max_per_answer else 0
        if max_per_answer and answers[key] == max_per_answer:
            return "over_max_per_answer"
        if most and index is not None:  # the last one: a new leader that is entered here is kept
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
