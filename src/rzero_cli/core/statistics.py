"""Difficulty and diversity of questions and labels: what a collapse is seen by.

p_hat can stay near one half while the questions shrink to a few templates; so distinct questions
and answers, the share of the commonest answers and near-duplicates are counted beside it. Where
true answers are known, so is how many labels are true, and how often the Solver that labelled was
right, as in the paper's table of difficulty and label accuracy.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Any

from rzero_cli.core.answers import canonical_key
from rzero_cli.core.equivalence import Equivalence
from rzero_cli.core.intervals import mean_interval
from rzero_cli.core.keep import Band, keep
from rzero_cli.core.near import near_duplicates
from rzero_cli.core.records import p_hat_of, texts_of
from rzero_cli.core.streams import Line

__all__ = ["MOST_COMPARED", "check", "falls", "statistics"]

MOST_COMPARED = 200_000
"""Questions among which near-duplicates are looked for: the first ones."""
_BINS = 10
_ACCURACIES = ("label_accuracy", "label_accuracy_kept", "solver_accuracy")


def check(line: Line, question_key: str = "question") -> None:
    """Raise DataError where a question, an answer, a reference or a p_hat is of the wrong type."""
    for key in ("answer", "reference", question_key):
        if key in line.record:
            line.text_or_none(key)
    if line.record.get("p_hat") is not None:
        p_hat_of(line)
    if line.record.get("reference") is not None and line.record.get("answers"):
        texts_of(line, "answers")


def statistics(
    lines: Iterable[Line],
    *,
    band: Band,
    question_key: str = "question",
    tau_bleu: float = 0.5,
    bleu: str = "13a",
    equivalence: Equivalence | None = None,
) -> dict[str, Any]:
    """The figures of one file, in one pass.

    Memory: 100 bytes or so for each distinct question and answer, and 2 kB for each of the first
    `MOST_COMPARED` questions.

    Args:
        lines: read with `exact`, and as `check` wants them.
        band: of p_hat, that of `filter`.
        question_key: where the question is.
        tau_bleu, bleu: of near-duplicates, see `core.near`.
        equivalence: compares answers with the `reference` of a record; by default it is not looked
            at. Its worker is started where some answer has no canonical key.

    Returns:
        `records`; where there are questions `questions`, `malformed` (null ones),
        `distinct_questions`, `near_duplicates` (share of the `compared` ones that have an earlier
        near-duplicate), `words` (mean length); where there is `p_hat` `p_hat_mean`,
        `p_hat_histogram` (ten bins, the last closed) and `kept` (share that `filter` keeps); where
        there is `answer` `labelled`, `distinct_answers`, `top_answer` and `top_10_answers` (shares
        of the labelled). Where there is `reference` `with_reference` (known ones),
        `label_accuracy` (share of the labels with a reference that equal it),
        `label_accuracy_kept` (of those that `filter` keeps) and `solver_accuracy` (mean share of
        `answers` that equal it), each with its `..._ci95`. All shares are from 0 to 1.

    Raises:
        DataError: as `check`.
    """
    seen: Counter[str] = Counter()
    bins = [0] * _BINS
    questions: set[bytes] = set()
    answers: Counter[bytes] = Counter()
    total, words = 0.0, 0
    accuracies = {name: array("d") for name in _ACCURACIES}

    def compare(line: Line, equivalence: Equivalence) -> None:
        """Compare a record's answers with its reference, if that is known."""
        if (reference := line.text_or_none("reference")) is None:
            return
        seen["with_reference"] += 1
        if (label := line.record.get("answer")) is not None:
            true = equivalence.equal(label, reference)
            accuracies["label_accuracy"].append(true)
            if line.record.get("p_hat") is not None and keep(label, p_hat_of(line), band):
                accuracies["label_accuracy_kept"].append(true)
        if line.record.get("answers"):
            drawn = Counter(texts_of(line, "answers"))
            right = sum(
                n for answer, n in drawn.items() if answer and equivalence.equal(answer, reference)
            )
            accuracies["solver_accuracy"].append(right / drawn.total())

    def texts() -> Iterator[str]:
        """Count each record, and pass its question on."""
        nonlocal total, words
        for line in lines:
            seen["records"] += 1
            answer: str | None = ""  # only a null one is dropped
            if "answer" in line.record:
                seen["answer"] += 1
                if (answer := line.text_or_none("answer")) is not None:
                    answers[_digest(canonical_key(answer) or answer)] += 1
            if line.record.get("p_hat") is not None:
                p_hat = p_hat_of(line)
                seen["p_hat"] += 1
                seen["kept"] += keep(answer, p_hat, band)
                bins[min(int(p_hat * _BINS), _BINS - 1)] += 1
                total += float(p_hat)
            if equivalence and "reference" in line.record:
                seen["reference"] += 1
                compare(line, equivalence)
            if question_key in line.record:
                seen["asked"] += 1
                if (question := line.text_or_none(question_key)) is not None:
                    questions.add(_digest(question))
                    seen["questions"] += 1
                    words += len(question.split())
                    yield question

    stream = texts()
    compared = near = 0
    for number in near_duplicates(islice(stream, MOST_COMPARED), tau_bleu=tau_bleu, bleu=bleu):
        compared, near = compared + 1, near + (number is not None)
    for _ in stream:
        pass
    figures: dict[str, Any] = {"records": seen["records"]}
    if seen["asked"]:
        figures |= {
            "questions": seen["questions"],
            "malformed": seen["asked"] - seen["questions"],
            "distinct_questions": len(questions),
            "near_duplicates": near / max(1, compared),
            "compared": compared,
            "words": words / max(1, seen["questions"]),
        }
    if seen["p_hat"]:
        figures |= {
            "p_hat_mean": total / seen["p_hat"],
            "p_hat_histogram": bins,
            "kept": seen["kept"] / seen["p_hat"],
        }
    if seen["answer"]:
        labelled = answers.total()
        top = [count for _, count in answers.most_common(10)]
        figures |= {
            "labelled": labelled,
            "distinct_answers": len(answers),
            "top_answer": max(top, default=0) / max(1, labelled),
            "top_10_answers": sum(top) / max(1, labelled),
        }
    if seen["reference"]:
        figures["with_reference"] = seen["with_reference"]
        for name, values in accuracies.items():
            if values:
                figures[name], *figures[f"{name}_ci95"] = mean_interval(values)
    return figures


def falls(first: dict[str, Any], last: dict[str, Any]) -> list[str]:
    """What of the diversity has fallen to less than half from one file to a later one, in words."""
    found = []
    for name, of in (("distinct_questions", "questions"), ("distinct_answers", "labelled")):
        before, after = (f[name] / f[of] if f.get(of) else None for f in (first, last))
        if before is not None and after is not None and after < before / 2:
            what = name.replace("_", " ")
            found.append(f"{what} fell from {before:.0%} to {after:.0%} of all")
    before, after = (
        1 - f["near_duplicates"] if f.get("questions") else None for f in (first, last)
    )
    if before is not None and after is not None and after < before / 2:
        found.append(f"near-duplicates rose from {1 - before:.0%} to {1 - after:.0%} of all")
    return found


def _digest(text: str) -> bytes:
    """Eight bytes for a text: among a million, two share theirs with a chance of 3e-8."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
