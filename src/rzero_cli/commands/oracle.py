"""`rzero oracle`: add true answers to questions (`data/references.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rzero_cli.answers.rules import Rules
from rzero_cli.data.journal import Output, check_output
from rzero_cli.data.jsonl import Line, read_lines
from rzero_cli.data.references import read_references
from rzero_cli.data.shards import parse_shard
from rzero_cli.engines import Sampling
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.method.prompts import SOLVER, Messages
from rzero_cli.options.command import Call, command
from rzero_cli.options.engine import EngineChoice, choose_servers
from rzero_cli.options.file_groups import (
    OracleData,
    QuestionKey,
    ReferenceKey,
    ResumableTarget,
    Seed,
    ShardedSource,
)
from rzero_cli.options.general import Logged
from rzero_cli.options.method_groups import Completions, Reading
from rzero_cli.options.model_groups import ServerOptions, servers_option
from rzero_cli.options.panels import DRAWING, INPUT, MODEL, OUTPUT
from rzero_cli.options.source import Input, part_seed
from rzero_cli.options.stage_progress import progress
from rzero_cli.options.target import open_records
from rzero_cli.system.progress import means

Asked = tuple[int, Line]
"""The number and the record of a question."""
Ask = Callable[[Iterable[tuple[Asked, str]], Output], Iterator[tuple[Asked, str | None, int]]]
"""Takes questions with their texts, and the output; yields each question that the output lacks,
with its true answer and the tokens generated for it."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Oracle(OracleData):
    """The source of the true answers."""

    oracle_question_key: str = option(
        "Key of the question in --oracle-data.", default="question", unset=True
    )
    oracle_reference_key: str = option(
        "Key of the true answer in --oracle-data.", default="reference", unset=True
    )
    oracle_endpoint: list[str] | None = servers_option(
        "Base URL of a server with a stronger model; repeat it to balance the load.", panel=MODEL
    )
    oracle_model: str | None = option(
        "Model name at --oracle-endpoint; not needed if the server has only one.",
        default=None,
        panel=MODEL,
        metavar="NAME",
    )
    world: bool = option(
        "Compute the true answers of tiny-base questions.", default=False, panel=INPUT
    )
    m: int = option(
        "Answers per question: 1 is greedy, more are sampled and the majority counts.",
        panel=DRAWING,
        min=1,
    )
    known: bool = option(
        "Drop questions without a known true answer, as `rzero eval` requires.",
        default=False,
        panel=OUTPUT,
    )


@command("oracle", Logged)
def oracle(
    call: Call,
    source: ShardedSource,
    knows: Oracle,
    questions: QuestionKey,
    references: ReferenceKey,
    completions: Completions,
    reading: Reading,
    engine: ServerOptions,
    seeded: Seed,
    target: ResumableTarget,
) -> None:
    """Add true answers to questions: from a file, from a stronger model, or computed.

    Adds `reference`; it is null if the question is not in --oracle-data, or if no answer of the
    model at --oracle-endpoint is readable. `rzero stats` then reports how many labels are true, and
    `rzero eval --data` how hard the questions are for a Solver. --limit 200 is the paper's sample
    size.

    [bold]Examples[/]

      rzero oracle labeled.jsonl --oracle-data answers.jsonl | rzero stats

      rzero oracle labeled.jsonl --limit 200 --oracle-endpoint http://127.0.0.1:8000/v1 -o t.jsonl

      rzero oracle runs/demo/iter-1/labeled.jsonl --world -o truth.jsonl
    """
    sources = {
        "--oracle-data": knows.oracle_data,
        "--oracle-endpoint": knows.oracle_endpoint,
        "--world": knows.world,
    }
    if sum(map(bool, sources.values())) != 1:
        raise UsageError(f"give exactly one source of true answers: {', '.join(sources)}")
    servers = None
    if knows.oracle_endpoint:
        servers = choose_servers(call, engine, "--oracle-endpoint", knows.oracle_endpoint)
    if knows.oracle_model and not servers:
        raise UsageError("--oracle-model requires --oracle-endpoint")
    part = parse_shard(source.shard)
    names = call.stdin_or_help(source.files)
    question_key, reference_key = questions.question_key, references.reference_key
    given = Input(call, names, source, lambda line: line.text(question_key), target=target)
    rules, prompt = reading.rules(), completions.prompt(SOLVER)
    # A single answer is greedy; a majority needs samples.
    temperature = None if knows.m > 1 else 0.0
    sampling = completions.sampling(knows.m, part_seed(seeded.seed, part), temperature=temperature)
    data = [knows.oracle_data] if knows.oracle_data else []
    total = given.count()
    count = unknown = tokens = 0

    def look() -> dict[str, float]:
        figures = means(count, known=count - unknown)
        return {"done": out.earlier + count, "tokens": tokens, **figures}

    output = target.output
    if output and output != "-":
        check_output(Path(output), force=target.force, resume=target.resume)
    with (
        _open(knows, servers, sampling, prompt, rules, source.strict) as (ask, answered_by),
        open_records(
            call,
            target,
            *names,
            *data,
            *(servers.parents(answered_by["oracle"]) if servers else []),
            metrics=lambda lines: _metrics(reference_key, out.earlier + count, lines),
            given=given,
            made_with=answered_by,
        ) as out,
        progress(
            call, None if total is None else part.size(total), look, unit="questions", out=out
        ),
    ):
        asked = (
            ((number, line), line.text(question_key))
            for number, line in enumerate(part.of(given.lines()))
        )
        for (number, line), reference, spent in ask(asked, out):
            record = line.record
            # Keep the reference an earlier oracle added if this one has none.
            reference = record.get(reference_key) if reference is None else reference
            record |= {reference_key: reference}
            out.write(number, None if knows.known and reference is None else record)
            count, unknown = count + 1, unknown + (reference is None)
            tokens += spent
    count += out.earlier
    if output and out.earlier:  # the file also has those of the interrupted run
        unknown = count - _metrics(reference_key, count, read_lines([output]))["known"]
    call.say(f"{count} questions, {unknown} without a known answer")


@contextmanager
def _open(
    knows: Oracle,
    servers: EngineChoice | None,
    sampling: Sampling,
    prompt: Messages,
    rules: Rules,
    strict: bool,
) -> Iterator[tuple[Ask, dict[str, str]]]:
    """Open the source of true answers.

    Also yields what the journal must match besides the settings: the server's model, which
    --oracle-model need not name.

    Raises:
        DataError: --oracle-data is malformed.
    """
    if servers is not None:
        with servers.open_solver(knows.oracle_model, sampling, prompt, rules) as solver:
            served: Any = solver.engine

            def ask(
                asked: Iterable[tuple[Asked, str]], out: Output
            ) -> Iterator[tuple[Asked, str | None, int]]:
                for question, one in solver.answer(asked, done=out.done, out=out):
                    yield question, one.vote.answer, sum(c.tokens for c in one.completions)

            yield ask, {"oracle": str(served.model)}
    elif knows.oracle_data:
        lines = read_lines([knows.oracle_data], strict=strict)
        found = read_references(
            lines,
            question_key=knows.oracle_question_key,
            reference_key=knows.oracle_reference_key,
        )
        yield _each(found.get), {}
    else:
        from rzero_cli.world.questions import truth

        yield _each(truth), {}


def _each(find: Callable[[str], str | None]) -> Ask:
    def ask(
        asked: Iterable[tuple[Asked, str]], out: Output
    ) -> Iterator[tuple[Asked, str | None, int]]:
        return (
            (question, find(text), 0) for question, text in asked if question[0] not in out.done
        )

    return ask


def _metrics(reference_key: str, asked: int, lines: Iterator[Line]) -> dict[str, int]:
    references = [line.record[reference_key] for line in lines]
    known = len(references) - references.count(None)
    return {"questions": len(references), "known": known, "asked": asked}
