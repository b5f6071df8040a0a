"""`rzero vote`: pseudo-labels from existing answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import Rules
from rzero_cli.answers.unread import count_unread, hints, unread_in_words
from rzero_cli.data.jsonl import Line
from rzero_cli.data.records import texts_of, vote_metrics
from rzero_cli.data.shards import parse_shard
from rzero_cli.fields import option
from rzero_cli.method import votes
from rzero_cli.method.votes import Vote, vote_keys
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import ResumableTarget, ShardedSource, Workers
from rzero_cli.options.general import Logged
from rzero_cli.options.method_groups import Reading, VoteRule
from rzero_cli.options.panels import INPUT
from rzero_cli.options.source import Input
from rzero_cli.options.stage_progress import kept_by_filter, progress
from rzero_cli.options.target import open_records
from rzero_cli.system.pool import in_order
from rzero_cli.system.progress import means


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AnswersKeys:
    """The keys of the answers."""

    PANEL: ClassVar = INPUT
    answers_key: str = option("Key of the answers.", default="answers", unset=True)
    completions_key: str = option(
        "Key of the raw completions, used if a record has no answers.",
        default="completions",
        unset=True,
    )


@command("vote", Logged)
def vote(
    call: Call,
    source: ShardedSource,
    keys: AnswersKeys,
    reading: Reading,
    variant: VoteRule,
    pool: Workers,
    target: ResumableTarget,
) -> None:
    """Label questions by majority vote over existing answers, without a model.

    Reads `answers` (a list of texts, null for an unreadable one) or raw `completions`, and adds the
    same keys as `label`: `answer`, `p_hat`, `m`, `majority`, `answers` and `votes`. The result does
    not depend on the order of the answers. Runs on all cores.

    [bold]Examples[/]

      rzero vote answers.jsonl > labeled.jsonl

      rzero vote outputs.jsonl --completions-key samples --extract boxed,phrase | rzero filter
    """
    rules = reading.rules(variant.rule)
    names = call.stdin_or_help(source.files)
    given = Input(call, names, source, lambda line: _answers(line, keys), target=target)
    part = parse_shard(source.shard)
    lines = part.of(given.lines())
    keeps = kept_by_filter(call)
    count = kept = unlabelled = timeouts = 0
    reading_counts = Counter[str]()
    p_hats = 0.0

    def look() -> dict[str, float]:
        figures = means(count, p_hat=p_hats, kept=kept, unreadable=unlabelled)
        return {"done": out.earlier + count, **figures}

    with (
        open_records(call, target, *names, metrics=vote_metrics, given=given) as out,
        progress(call, lambda: given.at_most(part), look, unit="questions", out=out),
    ):

        def inputs() -> Iterator[tuple[tuple[int, Line], Job]]:
            for number, line in enumerate(lines):
                if number not in out.done:
                    yield (number, line), _answers(line, keys)

        results = in_order(partial(open_voter, rules), inputs(), workers=pool.workers)
        for (number, line), (label, answers, timed_out, counts) in results:
            out.write(number, line.record | vote_keys(label, answers))
            count += 1
            unlabelled += label.answer is None
            p_hats += label.p_hat
            kept += keeps(label.answer, label.p_hat)
            timeouts += timed_out
            reading_counts += counts
    call.say(
        f"{count} questions, {unlabelled} without a readable answer, {timeouts} comparisons "
        f"timed out, {unread_in_words(reading_counts)}"
    )
    for hint in hints(reading_counts, rules.extract):
        call.say(hint)


def _answers(line: Line, keys: AnswersKeys) -> Job:
    """Return a record's answers, and True if they are raw completions. Raises DataError."""
    raw = keys.answers_key not in line.record and keys.completions_key in line.record
    return texts_of(line, keys.completions_key if raw else keys.answers_key), raw


Job = tuple[Sequence[str | None], bool]
"""The texts of one question, and True if they are raw completions."""
Result = tuple[Vote, list[str | None], int, Counter[str]]
"""The vote on one question, its answers, the number of comparisons that timed out, and the counts
of `count_unread`."""


@contextmanager
def open_voter(rules: Rules) -> Iterator[Callable[[Job], Result]]:
    """Open a worker's function, which takes the vote on one question."""
    with Equivalence(conventions=rules.conventions) as equivalence:

        def work(job: Job) -> Result:
            texts, raw = job
            answers = [rules.read(text or "") if raw else text for text in texts]
            before = equivalence.timeouts
            result = votes.vote(answers, equivalence, rule=rules.rule)
            counts = count_unread(texts, answers, rules.extract if raw else None)
            return result, answers, equivalence.timeouts - before, counts

        yield work
