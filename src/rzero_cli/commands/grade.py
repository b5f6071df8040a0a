"""`rzero grade`: check answers against references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.references import reading_in_words
from rzero_cli.answers.rules import Rules
from rzero_cli.answers.unread import count_unread, hints, unread_in_words
from rzero_cli.data.jsonl import Line
from rzero_cli.data.shards import parse_shard
from rzero_cli.fields import option
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import (
    QuestionKey,
    ResumableTarget,
    ShardedSource,
    Workers,
)
from rzero_cli.options.general import Logged
from rzero_cli.options.method_groups import Reading, References
from rzero_cli.options.panels import INPUT
from rzero_cli.options.source import Input
from rzero_cli.options.stage_progress import progress
from rzero_cli.options.target import open_records
from rzero_cli.system.pool import in_order
from rzero_cli.system.progress import means


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Graded:
    """The keys of the graded answers, and the source of the references."""

    PANEL: ClassVar = INPUT
    answer_key: str = option("Key of the answer.", default="answer", unset=True)
    completion_key: str = option(
        "Key of the raw completion, used if a record has no answer.",
        default="completion",
        unset=True,
    )
    truth: bool = option("Compute the references of tiny-base questions.", default=False)


@command("grade", Logged)
def grade(
    call: Call,
    source: ShardedSource,
    graded: Graded,
    references: References,
    questions: QuestionKey,
    reading: Reading,
    pool: Workers,
    target: ResumableTarget,
) -> None:
    r"""Check whether each answer is equivalent to its reference.

    Adds `extracted` (the compared answer: `answer`, or the one --extract finds in `completion`) and
    `correct`. Unreadable answers and comparisons that time out count as wrong. A reference may be a
    solution that ends with `#### 18` or has its answer in a box (--reference-extract). --truth
    computes the references of `rzero tiny-base` questions, to check pseudo-labels. Runs on all
    cores.

    [bold]Examples[/]

      rzero grade outputs.jsonl --completion-key output --reference-key gold

      rzero grade gsm8k.jsonl --reference-key answer --extract boxed,hashes,phrase | jq .correct

      rzero grade --truth runs/demo/iter-1/train.jsonl
    """
    rules = reading.rules()
    names = call.stdin_or_help(source.files)
    reference_key, question_key = references.reference_key, questions.question_key
    # A reference is not compared with itself if there is a completion; --truth replaces it.
    not_answer = None if graded.truth else reference_key
    reading_counts, reference_counts = Counter[str](), Counter[str]()
    truth = _truth_of(question_key) if graded.truth else None
    checked = truth or references.reader()
    known = truth or references.reader(reference_counts)
    given = Input(
        call,
        names,
        source,
        lambda line: (checked(line), _answer(line, graded, not_answer)),
        target=target,
    )
    part = parse_shard(source.shard)
    lines = part.of(given.lines())
    count = right = timeouts = 0

    def look() -> dict[str, float]:
        return {"done": out.earlier + count, **means(count, right=right)}

    with (
        open_records(call, target, *names, metrics=_metrics, given=given) as out,
        progress(call, lambda: given.at_most(part), look, unit="answers", out=out),
    ):

        def inputs() -> Iterator[tuple[tuple[int, Line], Job]]:
            for number, line in enumerate(lines):
                if number in out.done:
                    continue
                # Read first: the reference may replace it under the same key.
                answer, raw = _answer(line, graded, not_answer)
                reference = known(line)
                if graded.truth:
                    line.record[reference_key] = reference
                yield (number, line), (answer, raw, reference)

        results = in_order(partial(open_grader, rules), inputs(), workers=pool.workers)
        for (number, line), (extracted, correct, timed_out, counts) in results:
            out.write(number, line.record | {"extracted": extracted, "correct": correct})
            count, right = count + 1, right + correct
            timeouts += timed_out
            reading_counts += counts
    call.say(
        f"{right} of {count} correct ({right / max(1, count):.1%}), "
        f"{timeouts} comparisons timed out, {unread_in_words(reading_counts)}"
    )
    for message in (*hints(reading_counts, rules.extract), *reading_in_words(reference_counts)):
        call.say(message)


def _truth_of(question_key: str) -> Callable[[Line], str]:
    """Return a function that computes the true answer of a tiny-base question."""
    from rzero_cli.world.questions import truth

    return lambda line: truth(line.text(question_key))


def _answer(line: Line, keys: Graded, reference_key: str | None) -> tuple[str | None, bool]:
    """Return a record's answer, and True if it is a raw completion.

    A completion is preferred if the answer's key is `reference_key`.
    """
    is_answer = keys.answer_key in line.record and keys.answer_key != reference_key
    if not is_answer and keys.completion_key in line.record:
        return line.text(keys.completion_key), True
    return line.text_or_none(keys.answer_key), False


def _metrics(lines: Iterable[Line]) -> dict[str, int]:
    verdicts = [line.record["correct"] for line in lines]
    return {"graded": len(verdicts), "correct": sum(verdicts)}


Job = tuple[str | None, bool, str]
"""An answer, True if it is a raw completion, and its reference."""
Result = tuple[str | None, bool, int, Counter[str]]
"""The extracted answer, True if it is correct, the number of comparisons that timed out, and the
counts of `count_unread`."""


@contextmanager
def open_grader(rules: Rules) -> Iterator[Callable[[Job], Result]]:
    """Open a worker's function, which grades one answer."""
    with Equivalence(conventions=rules.conventions) as equivalence:

        def work(job: Job) -> Result:
            text, raw, reference = job
            answer = rules.read(text or "") if raw else text
            counts = count_unread([text], [answer], rules.extract if raw else None)
            if not answer or answer.isspace():
                return None, False, 0, counts
            before = equivalence.timeouts
            correct = equivalence.equal(answer, reference)
            return answer, correct, equivalence.timeouts - before, counts

        yield work
