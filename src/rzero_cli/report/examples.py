"""An iteration's questions: metrics, the largest clusters, and examples with their votes.

`labeled.jsonl` is read once, in bounded memory, for `analysis.diversity`, which also gives the
clusters, and for the examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from rzero_cli.analysis.diversity import check, statistics
from rzero_cli.data.json_text import read_object
from rzero_cli.data.jsonl import Line, read_lines
from rzero_cli.data.records import p_hat_of
from rzero_cli.data.whole_files import file_meta_path
from rzero_cli.method.filtering import Band, band, keep
from rzero_cli.report.parts import Questions, number, shown

_CLUSTERS = 5
_QUESTION, _LINES = 600, 14  # characters, lines
_ANSWER = 80
_MOST_ANSWERS = 32
_MOST_VOTES = 6
_MOST_OPENINGS = 5

Record = dict[str, Any]


def kept_band(folder: Path) -> Band:
    """Return the interval of an iteration's filter from its record; by default the paper's."""
    settings: Record = {}
    meta = file_meta_path(folder / "train.jsonl")
    if meta.is_file():
        settings = read_object(meta).get("settings", {})
    low, high = settings.get("low"), settings.get("high")
    if low is not None or high is not None:
        return Decimal(str(low or 0)), Decimal(str(1 if high is None else high))
    return band(Decimal(str(settings.get("delta", "0.25"))))


def read_questions(
    folder: Path, name: str, remark: Callable[[str], object], **measure: Any
) -> tuple[dict[str, Any], Questions]:
    """Return the metrics of an iteration's `labeled.jsonl`, and the questions to show.

    Args:
        folder: the iteration's folder.
        name: the iteration's name.
        remark: receives a message about lines that cannot be read.
        measure: `bleu` and `tau_bleu` of `analysis.diversity`.

    Raises:
        DataError, UsageError, OSError: the file cannot be read at all.
    """
    path, interval = folder / "labeled.jsonl", kept_band(folder)
    bad: list[int] = []
    picked: dict[str, Record] = {}
    sample: list[tuple[str, int]] = []

    def watched(lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            _pick(picked, line, interval)
            yield line

    lines = read_lines(
        [str(path)], exact=True, check=check, reject=lambda source, line, raw, why: bad.append(line)
    )
    metrics = statistics(watched(lines), band=interval, clustered=sample, **measure)
    metrics["band"] = tuple(map(float, interval))
    if bad:
        remark(f"{path}: skipped {len(bad):,} lines that cannot be read, the first is {bad[0]}")
    for one, record in _same(folder / "graded.jsonl", picked):
        one["correct"], one["reference"] = record.get("correct"), record.get("reference")
    # `filter` may have dropped questions within the interval.
    if (train := folder / "train.jsonl").is_file():
        for one in picked.values():
            one["kept"] = False
        for one, _ in _same(train, picked):
            one["kept"] = True
    total = metrics.get("questions", 0)
    return metrics, Questions(
        title=name,
        clusters=_clusters(sample),
        clustered=f"{len(sample):,} of {total:,} questions" if len(sample) < total else "",
        examples=[_example(found, what) for what, found in _in_order(picked)],
        openings=[
            (shown(words, 60), f"{share:.0%}")
            for words, share in metrics.get("openings", ())[:_MOST_OPENINGS]
        ],
    )


def _pick(picked: dict[str, Record], line: Line, interval: Band) -> None:
    """Store the record if it is the best example of a kind so far."""
    record = line.record
    if record.get("p_hat") is None or not isinstance(record.get("question"), str):
        return
    p_hat = p_hat_of(line)
    distances = {"dropped": Decimal(0)}
    if keep(record.get("answer"), p_hat, interval):
        distances = {"highest": -p_hat, "middle": abs(p_hat - Decimal("0.5")), "lowest": p_hat}
    for what, distance in distances.items():
        if what not in picked or distance < picked[what]["distance"]:
            picked[what] = {"distance": distance, "line": line.number, "record": record}


_WHAT = {
    "highest": "highest p_hat",
    "middle": "p_hat closest to one half",
    "lowest": "lowest p_hat",
}
_KEPT = {
    None: "within the interval",
    True: "kept",
    False: "within the interval, dropped by another guard",
}


def _in_order(picked: dict[str, Record]) -> list[tuple[str, Record]]:
    """Return each record once, even if it is the example of several kinds."""
    chosen: dict[int, tuple[str, Record]] = {}
    for what, words in _WHAT.items():
        if what in picked:
            which = _KEPT[picked[what].get("kept")]
            chosen.setdefault(picked[what]["line"], (f"{which}, {words}", picked[what]))
    if "dropped" in picked:
        chosen[picked["dropped"]["line"]] = ("outside the interval", picked["dropped"])
    return list(chosen.values())


def _same(path: Path, picked: dict[str, Record]) -> Iterator[tuple[Record, Record]]:
    """Yield each picked record with its first match in another file, if that file exists."""
    if not path.is_file():
        return
    waiting = {_key(found["record"]) for found in picked.values()}
    for line in read_lines([str(path)], reject=lambda *bad: None):
        if (key := _key(line.record)) in waiting:
            waiting.remove(key)
            for found in picked.values():
                if _key(found["record"]) == key:
                    yield found, line.record
            if not waiting:
                return


def _key(record: Record) -> tuple[str, str]:
    return str(record.get("question")), str(record.get("answer"))


def _example(found: Record, what: str) -> Record:
    """Return a record for display, with every text truncated."""
    record = found["record"]
    answers = record.get("answers") if isinstance(record.get("answers"), list) else []
    votes = record.get("votes") if isinstance(record.get("votes"), dict) else {}
    counts = [(shown(k, _ANSWER), n) for k, n in votes.items() if number(n) is not None]
    m = number(record.get("m")) or len(answers) or sum(n for _, n in counts) or 1
    unread = sum(answer is None for answer in answers)
    rest = sum(n for _, n in counts[_MOST_VOTES:])
    shares = [*counts[:_MOST_VOTES], ("other answers", rest), ("no answer read", unread)]
    given = [shown("none" if a is None else a, _ANSWER) for a in answers[:_MOST_ANSWERS]]
    if len(answers) > len(given):
        given.append(f"and {len(answers) - len(given)} more")
    reference, correct = found.get("reference"), found.get("correct")
    label = record.get("answer")
    return {
        "what": what,
        "line": found["line"],
        "question": _few_lines(shown(record["question"], _QUESTION)),
        "label": None if label is None else shown(label, _ANSWER),
        "p_hat": float(record["p_hat"]),
        "m": int(m),
        "votes": [
            {"answer": answer, "n": int(n), "share": min(100, round(100 * n / m))}
            for answer, n in shares
            if n
        ],
        "answers": given,
        "correct": correct if isinstance(correct, bool) else None,
        "reference": None if reference is None else shown(reference, _ANSWER),
    }


def _few_lines(text: str) -> str:
    lines = text.split("\n", _LINES)
    return "\n".join([*lines[:_LINES], "…"] if len(lines) > _LINES else lines)


def _clusters(sample: list[tuple[str, int]]) -> list[Record]:
    """Return the largest clusters, each with its first question."""
    members: dict[int, list[str]] = {}
    for question, cluster in sample:
        members.setdefault(cluster, []).append(question)
    largest = sorted(members.values(), key=len, reverse=True)
    return [
        {
            "n": len(questions),
            "share": round(100 * len(questions) / len(sample)),
            "question": shown(questions[0], 160),
            "of": len(members),
        }
        for questions in largest[:_CLUSTERS]
    ]
