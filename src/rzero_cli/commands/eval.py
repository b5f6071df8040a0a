"""`rzero eval`: evaluation of a model, with intervals (`evaluation/`)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, ClassVar

from rzero_cli.answers.references import reading_in_words
from rzero_cli.data.journal import check_output, open_journal
from rzero_cli.data.json_text import dumps
from rzero_cli.data.jsonl import Line
from rzero_cli.data.provenance import content_hash
from rzero_cli.data.records import group_of
from rzero_cli.data.whole_files import check_new_file, open_copy, write_json
from rzero_cli.engines import derived_seed
from rzero_cli.engines.models import offline_without_hub, require
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.method.prompts import SOLVER
from rzero_cli.options.command import Call, command
from rzero_cli.options.engine import choose_engine, choose_servers
from rzero_cli.options.file_groups import (
    Json,
    Lines,
    QuestionKey,
    Resuming,
    Seed,
    output_option,
)
from rzero_cli.options.general import Logged
from rzero_cli.options.method_groups import Completions, Reading, References, checked_stops
from rzero_cli.options.model_groups import EngineOptions, model_option, servers_option
from rzero_cli.options.panels import ANSWERS, MODEL, OUTPUT
from rzero_cli.options.source import Input
from rzero_cli.options.stage_progress import progress
from rzero_cli.options.target import (
    check_not_input,
    hashed,
    made_from,
    origin_of,
    reporting_interruption,
)
from rzero_cli.system.messages import say
from rzero_cli.system.stdout import protect_stdout


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Evaluated:
    """The model to evaluate."""

    PANEL: ClassVar = MODEL
    model: str | None = model_option("model")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Questions(References, QuestionKey):
    """The questions: those of a file or of benchmarks."""

    data: str | None = option(
        "JSONL file of questions with true answers.", default=None, unset=True, metavar="FILE"
    )
    tasks: str | None = option(
        "Benchmarks: rzero_math, rzero_general or lm-eval tasks, separated by commas.",
        default=None,
        unset=True,
        metavar="NAMES",
    )
    include_path: str | None = option(
        "Folder of additional lm-eval task files.", default=None, unset=True, metavar="DIR"
    )
    data_file: list[str] | None = option(
        "Local file to use as a task's data, with the same columns as on the hub. May be repeated.",
        default=None,
        unset=True,
        metavar="TASK=PATH",
    )
    num_fewshot: int | None = option(
        "Few-shot examples in the prompts of lm-eval tasks.",
        default=None,
        unset="the task's own",
        min=0,
    )
    chat: bool | None = option(
        "Apply the chat template to the prompts of lm-eval tasks.",
        "--chat/--no-chat",
        default=None,
        unset="with servers only",
    )
    group_key: str = option("Key of the question's group, if it has one.", default="group")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Sampled(Completions):
    """The number of samples per question and their sampling settings."""

    k: int = option(
        "Samples per question; 0 is greedy only. If given, it replaces a task's own k.", min=0
    )
    log_samples: str | None = option(
        "Write every raw completion to this JSONL file.",
        default=None,
        unset=True,
        panel=OUTPUT,
        metavar="FILE",
        recorded=False,
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Judged:
    """The judge model."""

    PANEL: ClassVar = ANSWERS
    judge_endpoint: list[str] | None = servers_option(
        "Base URL of a server whose model judges wrong answers, reported as separate scores.",
        unset=True,
    )
    judge_model: str | None = option(
        "Model name of the judge; not needed if its server has only one model.",
        default=None,
        unset=True,
        metavar="NAME",
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ResultsFile(Resuming):
    """The results file of an evaluation."""

    output: str = output_option("JSON file for the results.", "FILE", default=MISSING)


@command("eval", Logged)
def eval_(
    call: Call,
    evaluated: Evaluated,
    questions: Questions,
    sampled: Sampled,
    reading: Reading,
    source: Lines,
    judging: Judged,
    engine: EngineOptions,
    seeded: Seed,
    target: ResultsFile,
    form: Json,
) -> None:
    """Evaluate a model: greedy pass@1, mean@k and maj@k, with 95 % intervals.

    --data takes questions with a `reference`; if they have a `group`, each group gets its own row.
    --tasks rzero_math and rzero_general are the paper's benchmarks with the paper's protocol. The
    answer is the last box of a completion; an unreadable answer counts as wrong. All other lm-eval
    tasks are prompted and scored by lm-eval.

    [bold]Examples[/]

      rzero eval --model runs/demo/iter-3/solver --data heldout.jsonl -o results.json

      rzero eval --model Qwen/Qwen3-4B-Base --tasks rzero_math -o results.json

      rzero eval --model M --tasks rzero_gsm8k --data-file rzero_gsm8k=test.jsonl -o results.json
    """
    choice = choose_engine(call, engine)
    checked_stops(sampled.stop)
    rules = reading.rules()
    model = choice.check("--model", evaluated.model)
    _check_questions(questions, source)
    output, force = Path(target.output), target.force
    check_output(output, force=force, resume=target.resume)
    if questions.include_path is not None and not Path(questions.include_path).is_dir():
        raise UsageError(f"--include-path {questions.include_path}: no such folder")
    files = _data_files(questions.data_file or [])
    if judging.judge_model and not judging.judge_endpoint:
        raise UsageError("--judge-model requires --judge-endpoint URL")
    judges = None
    if judging.judge_endpoint:
        judges = choose_servers(call, engine, "--judge-endpoint", judging.judge_endpoint)
    if log := sampled.log_samples:
        if Path(log).absolute() == output.absolute():
            raise UsageError(f"--log-samples {log}: is also the -o file")
        check_new_file(Path(log), force=force or target.resume)
    prompt = sampled.prompt(SOLVER)
    # Each task has its own k.
    unset = {"k": None} if questions.tasks is not None and "k" not in call.chosen else {}
    records, lines = _records(call, questions, source, target)
    require("eval", "lm_eval")
    benchmarks, others = _load_questions(call, questions, sampled, source.limit, files, lines)
    if judges:
        _check_judged(call, benchmarks, others)
    from rzero_cli.evaluation.carrying_out import evaluate, judged_by, name_of, open_judge

    read = [questions.data] if questions.data else list(files.values())
    check_not_input(str(output), *read)
    parents = hashed(*choice.parents(model), *read)
    made_with = call.compared | unset | made_from(parents)
    made_with["own_tasks"] = _own_tasks(questions.include_path)
    with (
        open_judge(judging.judge_model, judges.endpoints if judges else []) as judge,
        reporting_interruption(call, str(output)),
        open_journal(
            output,
            settings=made_with | judged_by(judge),
            force=force,
            resume=target.resume,
            refused=call.refused,
        ) as journal,
        protect_stdout() as stdout,
        choice.open(model, seed=derived_seed(seeded.seed, len(journal))) as loaded,
        open_copy(log, force=True) if log else nullcontext() as stream,
    ):
        results = evaluate(
            loaded,
            judge,
            benchmarks,
            others,
            sampling=sampled,
            seed=seeded.seed,
            rules=rules,
            prompt=prompt,
            stop=sampled.stop,
            # An lm-eval task uses its own values unless the user gave others.
            own_k=sampled.k if "k" in call.chosen else None,
            own_max_tokens=sampled.max_tokens if "max_tokens" in call.chosen else None,
            num_fewshot=questions.num_fewshot,
            limit=source.limit,
            chat=questions.chat,
            journal=journal,
            report=(lambda sample: stream.write(dumps(sample) + b"\n")) if stream else None,
            watch=lambda total, look, title: progress(
                call, total, look, unit="answers", title=title
            ),
            stopwatch=call.spent,
        )
        scores = {name: task["score"] for name, task in results["tasks"].items()}
        record = origin_of(call, target.output, parents, scores, unset)
        record |= records.rejected
        config = {  # the run configuration, as lm-eval records it
            "model": name_of(loaded),
            "model_args": {"pretrained": model},
            "batch_size": engine.batch_size,
            "limit": source.limit,
            "random_seed": seeded.seed,
            "fewshot_seed": seeded.seed,
        }
        write_json(output, results | {"config": config, "origin": record})
        if form.as_json:
            shown = {name: results[name] for name in ("tasks", "averages")}
            shown["tasks"] = {
                name: {key: value for key, value in task.items() if key != "samples"}
                for name, task in results["tasks"].items()
            }
            stdout.write(json.dumps(shown).encode() + b"\n")
    if not (form.as_json or call.quiet):
        _print_table(results, target.output)


def _check_questions(questions: Questions, source: Lines) -> None:
    """Raise UsageError if options of --data and --tasks are mixed."""
    if (questions.data is None) == (questions.tasks is None):
        raise UsageError("give either --data FILE or --tasks NAMES")
    for name in ("include_path", "data_file", "num_fewshot", "chat"):
        if questions.data is not None and getattr(questions, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} requires --tasks")
    if questions.data is None and source.on_error != "stop":
        raise UsageError("--on-error requires --data")


def _records(
    call: Call, questions: Questions, source: Lines, target: ResultsFile
) -> tuple[Input, list[Line]]:
    """Read the lines of --data, before the slow imports."""
    counts = Counter[str]()
    question_key, reference_of = questions.question_key, questions.reader(counts)

    def check(line: Line) -> object:
        group = group_of(line, questions.group_key)
        return line.text(question_key), reference_of(line), group

    records = Input(call, [questions.data] if questions.data else [], source, check, target=target)
    if questions.data is None:
        return records, []
    with records.rejecting():
        lines = list(records.lines())
    for message in reading_in_words(counts):
        call.say(message)
    return records, lines


def _own_tasks(folder: str | None) -> str | None:
    """Return a hash of the task files in --include-path, so that --resume refuses changed ones."""
    if folder is None:
        return None
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix in (".yaml", ".py") and path.is_file():
            digest.update(f"{path.relative_to(folder)} {content_hash(path)}\n".encode())
    return digest.hexdigest()


def _data_files(given: list[str]) -> dict[str, str]:
    """Return the data file for each TASK or TASK:SPLIT. Raises UsageError."""
    files = {}
    for text in given:
        name, sign, path = text.partition("=")
        if not (name and sign and path):
            raise UsageError(f"--data-file {text}: must be TASK=PATH")
        if not Path(path).is_file():
            raise UsageError(f"--data-file {text}: no such file")
        if name in files:
            raise UsageError(f"--data-file {name}: given twice")
        files[name] = path
    return files


def _load_questions(
    call: Call,
    questions: Questions,
    sampled: Sampled,
    limit: int | None,
    files: dict[str, str],
    lines: list[Line],
) -> tuple[list[Any], dict[str, Any]]:
    """Return the benchmarks (for --data one, made of `lines`) and the tasks left to lm-eval."""
    drawn = sampled.k if sampled.temperature > 0 else 0
    if questions.data is not None:
        from rzero_cli.evaluation.benchmark import benchmark_of

        return [
            benchmark_of(
                lines,
                Path(questions.data).stem,
                drawn,
                question_key=questions.question_key,
                reference_key=questions.reference_key,
                group_key=questions.group_key,
                reference_extract=questions.ways(),
            )
        ], {}
    offline_without_hub()
    from rzero_cli.evaluation.loading import load_tasks

    named = load_tasks(
        [name.strip() for name in str(questions.tasks).split(",")],
        include_path=questions.include_path,
        data_files=files,
        num_fewshot=questions.num_fewshot,
        limit=limit,
    )
    if named.others["tasks"]:
        for name in ("prompt_file", "stop"):
            if getattr(sampled, name):
                others = ", ".join(named.others["tasks"])
                option_name = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option_name}: cannot be set for the lm-eval tasks {others}")
    # A task has its own k unless the user gave one.
    typed = "k" in call.chosen or not drawn
    return [one.with_k(drawn) if typed else one for one in named.benchmarks], named.others


def _check_judged(call: Call, benchmarks: list[Any], others: dict[str, Any]) -> None:
    """Report which tasks are not judged: multiple choice, which is exact, and lm-eval's own tasks.

    Raises:
        UsageError: no task is left to judge.
    """
    left = [one.name for one in benchmarks if one.choices] + list(others.get("tasks", {}))
    if all(one.choices for one in benchmarks):
        raise UsageError(f"--judge-endpoint: nothing to judge in {', '.join(left)}")
    if left:
        call.say(f"not judged: {', '.join(left)}")


def _print_table(results: dict[str, Any], output: str) -> None:
    from rich.console import Console

    from rzero_cli.evaluation.tables import results_table

    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = 200
    shown = results_table(results["tasks"], results["averages"], width=console.width)
    console.print(shown)
    say(f"eval: {output}")
