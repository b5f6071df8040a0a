"""Difficulty and diversity of questions and labels, the metrics that show a collapse.

p_hat can stay near one half while the questions collapse to a few templates. This module therefore
also measures distinct questions and answers, the most frequent answers, near-duplicates, clusters,
self-BLEU and openings. With true answers it also measures the accuracy of the labels and of the
Solver that made them, as in the paper's table of difficulty and label accuracy.

Memory is bounded for any file size, by the sketches and samples of `analysis.sketches`.
docs/records.md lists the metrics: definition, exact or estimated, memory.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from rzero_cli.analysis.intervals import sums_interval
from rzero_cli.analysis.near_duplicates import near_duplicates
from rzero_cli.analysis.sketches import EXACT, Distinct, Frequent, Sample, digest, same_text
from rzero_cli.answers import canonical_key, full_key
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.data.jsonl import Line, parse_line
from rzero_cli.data.records import p_hat_of, texts_of, votes_of
from rzero_cli.method.filtering import Band, keep, only_p_hat, quick_keep

MOST_COMPARED = 10_000
"""Questions sampled to find near-duplicates: more than one iteration of the paper has; 20 MB with
the index."""
MOST_SAMPLED = 1_000
"""Of these, questions that are compared pair by pair: half a million pairs, which take a second if
most are similar."""
_LONGEST = 2_000
"""Characters of a question that are compared; AIME's longest has half as many."""
_MOST_WORDS = 4_096
"""The largest length that is counted; longer questions count as this long in the quantiles."""
_QUANTILES = (0.05, 0.5, 0.95)
_OPENING, _OPENING_LONGEST = 3, 60  # words, characters
_BINS = 10
_SEED = 0  # of the samples: the same file gives the same metrics
_ACCURACIES = ("label_accuracy", "label_accuracy_kept", "solver_accuracy")


def check(line: Line, question_key: str = "question") -> None:
    """Raise DataError if a key that the metrics use has a value of the wrong type.

    These are the question, `answer`, `reference` and `p_hat`, and `votes` and `answers` where a
    metric uses them.
    """
    record = line.record
    for key in ("answer", "reference", question_key):
        if type(record.get(key, "")) is not str:
            line.text_or_none(key)
    if (p_hat := record.get("p_hat")) is not None:
        if type(p_hat) is not float or not 0 < p_hat < 1:
            _exact(line)
        if record.get("answer") is not None:
            _class_sizes(line)
    if record.get("reference") is not None and record.get("answers"):
        texts_of(line, "answers")


def statistics(
    lines: Iterable[Line],
    *,
    band: Band,
    question_key: str = "question",
    tau_bleu: float = 0.5,
    bleu: str = "13a",
    equivalence: Equivalence | None = None,
    earlier: Distinct | None = None,
    clustered: list[tuple[str, int]] | None = None,
) -> dict[str, Any]:
    """Return the metrics of one file, in one pass.

    Args:
        lines: records that pass `check`, read with `exact` or not; whether a p_hat is kept is
            always decided on its decimal text.
        band: the interval of p_hat that `filter` keeps.
        question_key: key of the question.
        tau_bleu, bleu: define near-duplicates, clusters and self-BLEU, see
            `analysis.near_duplicates` and `method.similarity`.
        equivalence: compares answers with a record's `reference`; without it references are
            ignored. Its worker starts only if an answer has no canonical key.
        earlier: the questions of earlier files; this file's are added at the end.
        clustered: receives the `sampled` questions, in order, each with its cluster's number.

    Returns:
        `records`, and:

        - with questions: `questions`, `malformed` (null ones), `valid` (fraction that is not
          null), `distinct_questions`, `near_duplicates` (fraction of the `compared` ones that have
          an earlier near-duplicate), `self_bleu`, `clusters`, `largest_cluster` (of the `sampled`
          ones), `words` (mean length), `words_quantiles` (5, 50 and 95 %), `openings` (the most
          frequent first three words, [text, fraction]), and `seen_before` (fraction in `earlier`,
          unless that is empty);
        - with `p_hat`: `p_hat_mean`, `p_hat_histogram` (ten bins, the last closed) and `kept`
          (fraction that `filter` keeps); with votes as well, `vote_entropy` (mean, in bits);
        - with `answer`: `labelled`, `distinct_answers`, `top_answer` and `top_10_answers`
          (fractions of the labelled);
        - with `reference`: `with_reference` (known ones), `label_accuracy` (fraction of the labels
          with a reference that equal it), `label_accuracy_kept` (of those that `filter` keeps) and
          `solver_accuracy` (mean fraction of `answers` that equal it), each with its `..._ci95`;
        - `approximate`, unless all is exact: key of an estimated metric -> its standard error, in
          the unit of the metric; for `openings`, `top_answer` and `top_10_answers` the largest
          possible shortfall.

        All fractions are from 0 to 1.

    Raises:
        DataError: as `check`.
    """
    records = 0
    questions, labels, truth = _Questions(earlier, clustered), _Labels(band), _Truth(equivalence)
    for line in lines:
        records += 1
        if question_key in line.record:
            questions.add(line.record[question_key])
        kept = labels.add(line)
        if equivalence and "reference" in line.record:
            truth.add(line, kept, equivalence)
    errors: dict[str, float] = {}
    metrics = {
        "records": records,
        **questions.metrics(errors, tau_bleu, bleu),
        **labels.metrics(errors),
        **truth.metrics(),
    }
    approximate = {key: error for key, error in errors.items() if error}
    return metrics | ({"approximate": approximate} if approximate else {})


class _Questions:
    """Metrics of the questions: number, diversity and length."""

    def __init__(self, earlier: Distinct | None, clustered: list[tuple[str, int]] | None) -> None:
        self.total = self.valid = self.words = 0
        self.clustered = clustered
        self.distinct, self.earlier = Distinct(), earlier
        self.looked_for = self.seen_before = 0
        self.lengths = [0] * (_MOST_WORDS + 1)
        self.openings: Frequent[str] = Frequent(EXACT // 8)
        self.sample: Sample[str] = Sample(MOST_COMPARED, _SEED)

    def add(self, question: str | None) -> None:
        self.total += 1
        if question is None:
            return
        self.valid += 1
        text = same_text(question)
        count = text.count(" ") + 1 if text else 0
        self.words += count
        self.lengths[count if count < _MOST_WORDS else _MOST_WORDS] += 1
        self.openings.add(" ".join(text.split(" ", _OPENING)[:_OPENING])[:_OPENING_LONGEST])
        self.sample.add(question[:_LONGEST])
        found = digest(text)
        self.distinct.add(found)
        if self.earlier and found < self.earlier.limit:
            self.looked_for += 1
            self.seen_before += found in self.earlier.kept

    def metrics(self, errors: dict[str, float], tau_bleu: float, bleu: str) -> dict[str, Any]:
        if not self.total:
            return {}
        n = max(1, self.valid)
        metrics = {
            "questions": self.valid,
            "malformed": self.total - self.valid,
            "valid": self.valid / self.total,
            "distinct_questions": self.distinct.count,
            **self._compared(errors, tau_bleu, bleu),
            "words": self.words / n,
            "words_quantiles": [self._quantile(share) for share in _QUANTILES],
            "openings": [[text, count / n] for text, count in self.openings.most(10)],
        }
        errors["distinct_questions"] = self.distinct.count * self.distinct.error
        errors["openings"] = self.openings.short / n
        if self.earlier is not None:
            if self.earlier.kept:
                metrics["seen_before"] = share = self.seen_before / max(1, self.looked_for)
                if self.earlier.error:
                    found = sum(one < self.earlier.limit for one in self.distinct.kept)
                    errors["seen_before"] = _share_error(share, found)
            self.earlier.update(self.distinct)
        return metrics

    def _compared(self, errors: dict[str, float], tau_bleu: float, bleu: str) -> dict[str, Any]:
        """Return the metrics that compare questions with each other, from samples."""
        from rzero_cli.method.rewards import clusters_of
        from rzero_cli.method.similarity import condensed_distances, self_bleu

        compared = self.sample.in_order()
        found = near_duplicates(compared, tau_bleu=tau_bleu, bleu=bleu)
        near = sum(number is not None for number in found)
        smaller: Sample[str] = Sample(MOST_SAMPLED, _SEED)
        for question in compared:
            smaller.add(question)
        sampled = smaller.in_order()
        similarity, error, clusters = 0.0, 0.0, [0] * len(sampled)
        if len(sampled) > 1:
            distances = condensed_distances(sampled, bleu)
            similarity, error = self_bleu(distances)
            clusters = clusters_of(distances, tau_bleu)
        if self.clustered is not None:
            self.clustered += zip(sampled, clusters, strict=True)
        sizes = Counter(clusters)
        largest = max(sizes.values(), default=0) / max(1, len(sampled))
        of_all = len(sampled) / max(1, self.valid)
        left = math.sqrt(1 - of_all)  # a sample of the whole has no error
        errors["self_bleu"] = (error or _share_error(similarity, len(sampled))) * left
        errors["largest_cluster"] = _share_error(largest, len(sampled)) * left
        return {
            "near_duplicates": near / max(1, len(compared)),
            "compared": len(compared),
            "self_bleu": similarity,
            "clusters": len(sizes),
            "largest_cluster": largest,
            "sampled": len(sampled),
        }

    def _quantile(self, share: float) -> int:
        """Return the smallest length that this fraction of the questions does not exceed."""
        count = 0
        for length, there in enumerate(self.lengths):
            count += there
            if count >= share * self.valid:
                return length
        return _MOST_WORDS


class _Labels:
    """Metrics of the labels: the Solver's confidence and their diversity."""

    def __init__(self, band: Band) -> None:
        self.band, self.decide = band, quick_keep(band)
        self.there = False
        self.labelled = self.p_hats = self.kept = self.voted = 0
        self.p_hat = self.entropy = 0.0
        self.bins = [0] * _BINS
        self.distinct = Distinct()
        self.answers: Frequent[int] = Frequent(EXACT // 2)

    def add(self, line: Line) -> bool:
        """Count a record; return True if `filter` would keep it."""
        record = line.record
        answer: str | None = ""  # only a null one is dropped
        if "answer" in record:
            self.there = True
            if (answer := record["answer"]) is not None:
                self.labelled += 1
                found = digest(full_key(answer) or answer)
                self.distinct.add(found)
                self.answers.add(found)
        if (p_hat := record.get("p_hat")) is None:
            return False
        kept = self.decide(line.raw, {"answer": answer, "p_hat": p_hat})
        if kept is None:
            kept = keep(answer, _exact(line), self.band)
        self.p_hats += 1
        self.kept += kept
        self.p_hat += (p_hat := float(p_hat))
        self.bins[min(int(p_hat * _BINS), _BINS - 1)] += 1
        if answer and (sizes := _class_sizes(line)):
            self.voted += 1
            self.entropy += _entropy(sizes)
        return kept

    def metrics(self, errors: dict[str, float]) -> dict[str, Any]:
        metrics: dict[str, Any] = {}
        if self.p_hats:
            metrics |= {
                "p_hat_mean": self.p_hat / self.p_hats,
                "p_hat_histogram": self.bins,
                "kept": self.kept / self.p_hats,
            }
        if self.voted:
            metrics["vote_entropy"] = self.entropy / self.voted
        if self.there:
            n = max(1, self.labelled)
            top = [count for _, count in self.answers.most(10)]
            metrics |= {
                "labelled": self.labelled,
                "distinct_answers": self.distinct.count,
                "top_answer": max(top, default=0) / n,
                "top_10_answers": sum(top) / n,
            }
            errors["distinct_answers"] = self.distinct.count * self.distinct.error
            errors["top_answer"] = self.answers.short / n
            errors["top_10_answers"] = 10 * self.answers.short / n
        return metrics


class _Truth:
    """Accuracy of the labels and of the Solver's answers."""

    def __init__(self, equivalence: Equivalence | None) -> None:
        self.there, self.known = False, 0
        self.sums = {name: [0, 0.0, 0.0] for name in _ACCURACIES}

    def add(self, line: Line, kept: bool, equivalence: Equivalence) -> None:
        """Compare a record's answers with its reference, unless that is null."""
        self.there = True
        if (reference := line.record["reference"]) is None:
            return
        self.known += 1
        if (label := line.record.get("answer")) is not None:
            true = equivalence.equal(label, reference)
            self._count("label_accuracy", true)
            if kept:
                self._count("label_accuracy_kept", true)
        if line.record.get("answers"):
            given = Counter(texts_of(line, "answers"))
            right = sum(
                n for answer, n in given.items() if answer and equivalence.equal(answer, reference)
            )
            self._count("solver_accuracy", right / given.total())

    def _count(self, name: str, value: float) -> None:
        sums = self.sums[name]
        sums[:] = sums[0] + 1, sums[1] + value, sums[2] + value**2

    def metrics(self) -> dict[str, Any]:
        metrics: dict[str, Any] = {"with_reference": self.known} if self.there else {}
        for name, (n, total, squares) in self.sums.items():
            if n:
                metrics[name], *metrics[f"{name}_ci95"] = sums_interval(int(n), total, squares)
        return metrics


def _exact(line: Line) -> Decimal:
    """Return the exact p_hat of a line that may have been read as a float. Raises DataError."""
    if type(line.record["p_hat"]) is not float:
        return p_hat_of(line)
    exact = only_p_hat(line.raw)
    if exact is None or not 0 <= exact <= 1:
        read = parse_line(line.source, line.number, line.raw, exact=True)
        exact = p_hat_of(read or line)
    return exact


def _class_sizes(line: Line) -> Collection[int]:
    """Return the sizes of the classes of readable answers, empty without `votes` and `answers`.

    `votes` has them; otherwise `answers` are grouped by their canonical keys. Raises DataError.
    """
    if line.record.get("votes") is not None:
        return votes_of(line).values()
    if not line.record.get("answers"):
        return ()
    answers = (answer for answer in texts_of(line, "answers") if answer and not answer.isspace())
    return Counter(canonical_key(answer) or answer for answer in answers).values()


def _entropy(sizes: Collection[int]) -> float:
    """Return the entropy of the class of a random answer, in bits."""
    total = sum(sizes)
    # Rounding may leave it just below 0 if there is one class.
    return max(0.0, math.log2(total) - sum([n * math.log2(n) for n in sizes]) / total)


def _share_error(share: float, n: int) -> float:
    """Return the standard error of a fraction of `n`, with two of each kind added.

    After Agresti and Coull (1998); otherwise a sample of one kind would have no error.
    """
    share = (share * n + 2) / (n + 4)
    return math.sqrt(share * (1 - share) / (n + 4))
