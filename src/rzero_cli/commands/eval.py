"""`rzero eval`: what a model can do, with intervals (`evaluation/`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._input import Input
from rzero_cli.commands._output import hashed, made_from
from rzero_cli.commands._progress import means, progress
from rzero_cli.commands._run import Clock, check_served, parents_of, say, settings_of
from rzero_cli.data.journal import Output, check_output, open_journal
from rzero_cli.data.json_text import dumps
from rzero_cli.data.jsonl import Line, read_lines
from rzero_cli.data.provenance import content_hash, describe
from rzero_cli.data.records import group_of
from rzero_cli.data.whole_files import check_new_file, open_copy, write_json
from rzero_cli.engines import derived_seed, open_engine
from rzero_cli.engines.ahead import Ahead
from rzero_cli.engines.models import require
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.prompts import SOLVER, load_prompt
from rzero_cli.system.stdout import protect_stdout

TEMPERATURE, TOP_P, TOP_K, MAX_TOKENS = opt.drawing("eval")
EXTRACT, UNITS, PERCENT = opt.answers("eval")


def eval_(
    ctx: typer.Context,
    output: opt.OutFile,
    model: opt.Model = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="JSONL questions with their true answers.",
            rich_help_panel=opt.INPUT,
            metavar="FILE",
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            help="rzero_math, rzero_general, or tasks of lm-eval's, with commas between.",
            rich_help_panel=opt.INPUT,
            metavar="NAMES",
        ),
    ] = None,
    include_path: Annotated[
        str | None,
        typer.Option(
            "--include-path",
            help="A folder of lm-eval task files of your own.",
            rich_help_panel=opt.INPUT,
            metavar="DIR",
        ),
    ] = None,
    data_file: Annotated[
        list[str] | None,
        typer.Option(
            "--data-file",
            help="A task's data: a local file with its hub's columns.",
            rich_help_panel=opt.INPUT,
            metavar="TASK=PATH",
        ),
    ] = None,
    num_fewshot: Annotated[
        int | None,
        typer.Option(
            "--num-fewshot",
            help="Examples in the prompts of lm-eval's tasks.",
            rich_help_panel=opt.INPUT,
            min=0,
            show_default="as the task says",
        ),
    ] = None,
    chat: Annotated[
        bool | None,
        typer.Option(
            "--chat/--no-chat",
            help="Put the prompts of lm-eval's tasks into the chat template.",
            rich_help_panel=opt.INPUT,
            show_default="with servers only",
        ),
    ] = None,
    k: Annotated[
        int,
        opt.from_preset(
            "eval",
            "--k",
            help="Samples of a question; 0 is greedy alone. Typed, in place of a task's own.",
            panel=opt.DRAWING,
            min=0,
        ),
    ] = opt.PRESET,
    temperature: Annotated[float, TEMPERATURE] = opt.PRESET,
    top_p: Annotated[float, TOP_P] = opt.PRESET,
    top_k: Annotated[int, TOP_K] = opt.PRESET,
    max_tokens: Annotated[int, MAX_TOKENS] = opt.PRESET,
    stop: opt.Stop = None,
    extract: Annotated[str, EXTRACT] = opt.PRESET,
    units: Annotated[str, UNITS] = opt.PRESET,
    percent: Annotated[str, PERCENT] = opt.PRESET,
    prompt_file: opt.PromptFile = None,
    question_key: opt.QuestionKey = "question",
    reference_key: opt.ReferenceKey = "reference",
    group_key: opt.GroupKey = "group",
    limit: opt.Limit = None,
    strict: opt.Strict = False,
    on_error: opt.OnError = "stop",
    rejects: opt.Rejects = None,
    log_samples: Annotated[
        str | None,
        typer.Option(
            "--log-samples",
            help="Write every raw completion here, as JSONL.",
            rich_help_panel=opt.OUTPUT,
            metavar="FILE",
        ),
    ] = None,
    judge_endpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--judge-endpoint",
            help="Base URL of a server whose model looks at wrong answers, for scores of its own.",
            rich_help_panel=opt.ANSWERS,
            metavar="URL",
        ),
    ] = None,
    judge_model: Annotated[
        str | None,
        typer.Option(
            "--judge-model",
            help="The judge's name at its server; one that has a single model need not be asked.",
            rich_help_panel=opt.ANSWERS,
            metavar="NAME",
        ),
    ] = None,
    engine: opt.Engine = "auto",
    endpoint: opt.Endpoint = None,
    batch_size: opt.BatchSize = opt.PRESET,
    dtype: opt.Dtype = None,
    tensor_parallel_size: opt.TensorParallelSize = None,
    data_parallel_size: opt.DataParallelSize = None,
    gpu_memory_utilization: opt.GpuMemoryUtilization = None,
    max_model_len: opt.MaxModelLen = None,
    quantization: opt.Quantization = None,
    engine_arg: opt.EngineArg = None,
    chat_template_arg: opt.ChatTemplateArg = None,
    seed: opt.Seed = opt.PRESET,
    resume: opt.Resume = False,
    force: opt.Force = False,
    log_file: opt.LogFile = None,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    preset: opt.Preset = opt.PRESET,
    config: opt.Config = None,
) -> None:
    """Examine a model: pass@1 greedy, mean@k by sampling, maj@k, with 95 % intervals.

    --data takes questions with a `reference`; with a `group` key there is a line for each group.
    --tasks rzero_math and rzero_general are the paper's benchmarks by the paper's protocol. An
    answer is the last box of a completion; one that cannot be read is wrong. Any other task of
    lm-eval's is prompted and scored as lm-eval does it.

    [bold]Examples[/]

      rzero eval --model runs/demo/iter-3/solver --data heldout.jsonl -o results.json

      rzero eval --model Qwen/Qwen3-4B-Base --tasks rzero_math -o results.json

      rzero eval --model M --tasks rzero_gsm8k --data-file rzero_gsm8k=test.jsonl -o results.json
    """
    clock = Clock()
    how = opt.engine_options(ctx)
    opt.stops(stop)
    opt.answer_rules(ctx.params)
    checkpoint = check_served("--model", model, how)
    asked = parents_of(checkpoint, how)
    if (data is None) == (tasks is None):
        raise UsageError("give either --data FILE or --tasks NAMES")
    only_tasks = {"include-path": include_path, "data-file": data_file, "num-fewshot": num_fewshot}
    for name, given in (only_tasks | {"chat": chat}).items():
        if data is not None and given is not None:
            raise UsageError(f"--{name} goes with --tasks")
    if data is None and on_error != "stop":
        raise UsageError("--on-error goes with --data")
    target = Path(output)
    check_output(target, force=force, resume=resume)
    if include_path is not None and not Path(include_path).is_dir():
        raise UsageError(f"--include-path {include_path}: no such folder")
    files = _data_files(data_file or [])
    if judge_model and not judge_endpoint:
        raise UsageError("--judge-model needs --judge-endpoint URL")
    judges = opt.server_options(ctx, "--judge-endpoint", judge_endpoint) if judge_endpoint else None
    if log_samples:
        if Path(log_samples).absolute() == target.absolute():
            raise UsageError(f"--log-samples {log_samples}: is the results' own file")
        check_new_file(Path(log_samples), force=force or resume)
    load_prompt(prompt_file, SOLVER)
    read = [data] if data else list(files.values())
    settings = settings_of(ctx)
    if tasks is not None and not opt.chosen(ctx, "k"):
        settings["k"] = None  # each task has its own
    records = Input(
        ctx,
        [data] if data else [],
        lambda line: (line.text(question_key), line.text(reference_key), group_of(line, group_key)),
    )
    lines = []
    if data is not None:  # before what takes long to import
        with records.rejecting():
            lines = list(records.lines())
    require("eval", "lm_eval")
    benchmarks, others = _questions(ctx, files, lines)
    if judges:
        _check_judged(benchmarks, others, quiet)
    parents = hashed(*asked, *read)
    made_with = settings | made_from(parents) | {"own_tasks": _own_tasks(include_path)}
    with (
        _judge(judge_model, judges) as judge,
        open_journal(
            target, settings=made_with | _judged_by(judge), force=force, resume=resume
        ) as (journal, part),
        protect_stdout() as stdout,
        open_engine(model=checkpoint, seed=derived_seed(seed, journal.done), **how) as loaded,
        _log(log_samples) as report,
    ):
        results = _evaluate(ctx, loaded, judge, benchmarks, others, journal, part, report)
        record = describe(
            "eval",
            output=output,
            settings=settings,
            parents=parents,
            seconds=clock.seconds,
            metrics={name: task["score"] for name, task in results["tasks"].items()},
        )
        record |= {} if records.rejected is None else {"rejected": records.rejected}
        write_json(target, results | {"config": _config(ctx, loaded, checkpoint), "origin": record})
        if as_json:
            shown = {name: results[name] for name in ("tasks", "averages")}
            shown["tasks"] = {
                name: {key: value for key, value in task.items() if key != "samples"}
                for name, task in results["tasks"].items()
            }
            stdout.write(json.dumps(shown).encode() + b"\n")
    if not (as_json or quiet):
        _print_table(results, output)


def _own_tasks(folder: str | None) -> str | None:
    """A hash of the task files in --include-path: other tasks do not go on with a journal."""
    if folder is None:
        return None
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix in (".yaml", ".py") and path.is_file():
            digest.update(f"{path.relative_to(folder)} {content_hash(path)}\n".encode())
    return digest.hexdigest()


def _data_files(given: list[str]) -> dict[str, str]:
    """By TASK or TASK:SPLIT, the file with its data. Raises UsageError."""
    files = {}
    for text in given:
        name, sign, path = text.partition("=")
        if not (name and sign and path):
            raise UsageError(f"--data-file {text}: expected TASK=PATH")
        if not Path(path).is_file():
            raise UsageError(f"--data-file {text}: no such file")
        if name in files:
            raise UsageError(f"--data-file {name}: named twice")
        files[name] = path
    return files


def _questions(
    ctx: typer.Context, files: dict[str, str], lines: list[Line]
) -> tuple[list[Any], dict[str, Any]]:
    """The benchmarks, one of the `lines` of --data, and the tasks that are lm-eval's own."""
    options = ctx.params
    drawn = options["k"] if options["temperature"] > 0 else 0
    if options["data"] is not None:
        from rzero_cli.evaluation.benchmark import benchmark_of

        keys = {name: options[name] for name in ("question_key", "reference_key", "group_key")}
        return [benchmark_of(lines, Path(options["data"]).stem, drawn, **keys)], {}
    from rzero_cli.evaluation.loading import load_tasks

    named = load_tasks(
        [name.strip() for name in options["tasks"].split(",")],
        include_path=options["include_path"],
        data_files=files,
        num_fewshot=options["num_fewshot"],
        limit=options["limit"],
    )
    if named.others["tasks"]:
        for name in ("prompt_file", "stop"):
            if options[name]:
                others = ", ".join(named.others["tasks"])
                raise UsageError(f"--{name.replace('_', '-')}: {others}: has its own")
    # A task says itself how often it is answered, unless somebody has typed something else.
    typed = opt.chosen(ctx, "k") or not drawn
    return [one.with_k(drawn) if typed else one for one in named.benchmarks], named.others


def _evaluate(
    ctx: typer.Context,
    engine: Any,
    judge: Any,
    benchmarks: list[Any],
    others: dict[str, Any],
    journal: Output,
    part: Path,
    report: Any,
) -> dict[str, Any]:
    from rzero_cli.answers.equivalence import Equivalence
    from rzero_cli.evaluation.passes import evaluate_benchmarks
    from rzero_cli.evaluation.results import averages, joined
    from rzero_cli.evaluation.tasks import evaluate_tasks

    options = ctx.params
    names = ("temperature", "top_p", "top_k", "seed")
    how = {name: options[name] for name in names}
    earlier = iter([line.record for line in read_lines([str(part)])])
    how |= {"done": earlier, "log": journal.write}
    how["report"] = report
    rules = opt.answer_rules(options)
    answers = sum(len(one.questions) * (one.greedy + one.k) for one in benchmarks)
    requests = sum(len(one.questions) * (one.greedy + (one.k > 0)) for one in benchmarks)
    ahead = Ahead(journal.ahead)
    parts = []
    seen = _Answers()
    how["on_progress"] = seen.add
    total = None if others.get("tasks") else answers
    with progress(ctx, total, seen.look, unit="answers"):
        if benchmarks:
            with Equivalence(conventions=rules.conventions) as equivalence:
                parts.append(
                    evaluate_benchmarks(
                        engine,
                        benchmarks,
                        max_tokens=options["max_tokens"],
                        equivalence=equivalence,
                        rules=rules,
                        prompt=load_prompt(options["prompt_file"], SOLVER),
                        stop=options["stop"],
                        ahead=ahead,
                        **how,
                    )
                )
        if others.get("tasks"):
            parts.append(
                evaluate_tasks(
                    engine,
                    others,
                    # As above; and how long an answer may be.
                    k=options["k"] if opt.chosen(ctx, "k") else 0,
                    max_tokens=options["max_tokens"] if opt.chosen(ctx, "max_tokens") else None,
                    num_fewshot=options["num_fewshot"],
                    limit=options["limit"],
                    chat=options["chat"],
                    ahead=ahead.after(requests),
                    **how,
                )
            )
    results = joined(parts)
    for result in results["tasks"].values():
        result["protocol"]["engine"] = _name(engine)
    if judge is not None:
        asked = [results["tasks"][one.name] for one in benchmarks if not one.choices]
        _judge_answers(judge, ctx, asked, journal, earlier)
    return results | {"averages": averages(results["tasks"])}


class _Answers:
    """What there is so far, for the person who waits."""

    def __init__(self) -> None:
        self.done = self.before = self.tokens = self.graded = self.right = 0

    def add(self, answered: Any) -> None:
        self.done += answered.answers
        self.before += answered.answers if answered.earlier else 0
        self.tokens += 0 if answered.earlier else answered.tokens
        if answered.right is not None:
            self.right += answered.right
            self.graded += answered.answers

    def look(self) -> dict[str, float]:
        counts = {"done": self.done, "before": self.before, "tokens": self.tokens}
        return counts | means(self.graded, right=self.right)


def _judge(name: str | None, judges: dict[str, Any] | None) -> AbstractContextManager[Any]:
    """The judge's engine, opened before anything is answered; None where none is asked for."""
    if judges is None:
        return nullcontext()
    try:
        return open_engine("openai", name, endpoints=judges["endpoints"], notify=say)
    except RzeroError as error:  # it speaks of the model's own server
        message = str(error).replace("--endpoint", "--judge-endpoint")
        raise type(error)(message.replace("--model", "--judge-model")) from error


def _judged_by(judge: Any) -> dict[str, Any]:
    """What a journal has to have been begun with, since it holds the judge's verdicts, too."""
    if judge is None:
        return {}
    from rzero_cli.evaluation.judge import prompt_sha256

    return {"judge": judge.model, "judge_prompt": prompt_sha256()}


def _check_judged(benchmarks: list[Any], others: dict[str, Any], quiet: bool) -> None:
    """Where an option's letter is the answer there is nothing to be lenient about, and the metrics
    of lm-eval's own tasks are theirs. Raises UsageError where nothing is left."""
    left = [one.name for one in benchmarks if one.choices] + list(others.get("tasks", {}))
    if all(one.choices for one in benchmarks):
        raise UsageError(f"--judge-endpoint: nothing to judge in {', '.join(left)}")
    if left:
        say(f"eval: not judged: {', '.join(left)}", quiet=quiet)


def _judge_answers(
    engine: Any,
    ctx: typer.Context,
    results: list[dict[str, Any]],
    journal: Output,
    done: Iterator[dict[str, Any]],
) -> None:
    """Put the scores that a judge would give beside those of the grader, which stay."""
    from rzero_cli.evaluation.judge import cases_of, judge, judged, prompt_sha256

    cases = [case for result in results for case in cases_of(result["samples"])]
    seen = _Answers()
    with progress(ctx, len(set(cases)), seen.look, unit="answers", title="judge"):
        verdicts = judge(engine, cases, on_progress=seen.add, done=done, log=journal.write)
    said = dict(zip(cases, verdicts, strict=True))
    for result in results:
        samples = result.pop("samples")
        by = {"model": engine.model, "prompt_sha256": prompt_sha256()}
        result["judged"] = by | judged(samples, said)
        result["samples"] = samples


def _name(engine: Any) -> str:
    """Which engine it is that `auto` has chosen."""
    return type(engine).__name__.removesuffix("Engine").lower()


def _config(ctx: typer.Context, engine: Any, checkpoint: str | None) -> dict[str, Any]:
    """lm-eval's record of how it was run."""
    options = ctx.params
    return {
        "model": _name(engine),
        "model_args": {"pretrained": checkpoint},
        "batch_size": options["batch_size"],
        "limit": options["limit"],
        "random_seed": options["seed"],
        "fewshot_seed": options["seed"],
    }


@contextmanager
def _log(path: str | None) -> Iterator[Any]:
    """Takes the records of --log-samples, whose file appears whole; None where none is wanted."""
    if path is None:
        yield None
        return
    with open_copy(path, force=True) as stream:
        yield lambda record: stream.write(dumps(record) + b"\n")


def _print_table(results: dict[str, Any], output: str) -> None:
    from rich.console import Console

    from rzero_cli.evaluation.tables import results_table

    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = 200
    shown = results_table(results["tasks"], results["averages"], width=console.width)
    console.print(shown)
    say(f"eval: {output}")
