"""`rzero oracle`: add true answers to questions (`data/references.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rzero_cli.answers.references import reading_in_words, reference_reader
from rzero_cli.data.journal import check_output
from rzero_cli.data.jsonl import Line, read_lines
from rzero_cli.data.references import read_references
from rzero_cli.data.shards import parse_shard
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.method.prompts import SOLVER
from rzero_cli.options.command import Call, command
from rzero_cli.options.engine import choose_servers
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
from rzero_cli.options.panels import INPUT, MODEL, OUTPUT, SAMPLING
from rzero_cli.options.source import Input, part_seed
from rzero_cli.options.stage_progress import progress
from rzero_cli.options.target import open_records
from rzero_cli.system.progress import means


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
        panel=SAMPLING,
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
    total = given.count(part)
    count = unknown = tokens = 0

    def look() -> dict[str, float]:
        figures = means(count, known=count - unknown)
        return {"done": out.earlier + count, "tokens": tokens, **figures}

    output = target.output
    if output and output != "-":
        check_output(Path(output), force=target.force, resume=target.resume)
    with ExitStack() as stack:
        enter = stack.enter_context
        solver: Any = None
        find, served = None, {}
        if servers:
            solver = enter(
                servers.open_solver(knows.oracle_model, sampling, prompt, rules, spent=call.spent)
            )
            served = {"oracle": str(solver.engine.model)}  # --oracle-model need not name it
        else:
            find = _lookup(call, knows, source.strict)
        out = enter(
            open_records(
                call,
                target,
                *names,
                *data,
                *(servers.parents(served["oracle"]) if servers else []),
                metrics=lambda lines: _metrics(reference_key, out.earlier + count, lines),
                given=given,
                made_with=served,
            )
        )
        enter(progress(call, total, look, unit="questions", out=out))
        pending = (
            ((number, line), line.text(question_key))
            for number, line in enumerate(part.of(given.lines()))
        )
        answered: Iterable[tuple[tuple[int, Line], str | None, int]]
        if find:
            answered = ((one, find(text), 0) for one, text in pending if one[0] not in out.done)
        else:
            answered = (
                (one, label.vote.answer, sum(c.tokens for c in label.completions))
                for one, label in solver.answer(pending, done=out.done, out=out)
            )
        for (number, line), reference, spent in answered:
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


def _lookup(call: Call, knows: Oracle, strict: bool) -> Callable[[str], str | None]:
    """Return a function that finds or computes the true answer of a question.

    Raises:
        DataError: --oracle-data is malformed.
    """
    if not knows.oracle_data:
        from rzero_cli.world.questions import truth

        return truth
    counts = Counter[str]()
    found = read_references(
        read_lines([knows.oracle_data], strict=strict),
        question_key=knows.oracle_question_key,
        reference_key=knows.oracle_reference_key,
        read=reference_reader(counts=counts),
    )
    for message in reading_in_words(counts):
        call.say(message)
    return found.get


def _metrics(reference_key: str, asked: int, lines: Iterator[Line]) -> dict[str, int]:
    references = [line.record[reference_key] for line in lines]
    known = len(references) - references.count(None)
    return {"questions": len(references), "known": known, "asked": asked}
