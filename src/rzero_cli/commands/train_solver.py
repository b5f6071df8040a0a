"""`rzero train-solver`: train the Solver on pseudo-labels (`training/solver.py`)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._input import Input
from rzero_cli.commands._launch import relaunch
from rzero_cli.commands._plan import print_plan
from rzero_cli.commands._run import Clock, say, stdin_or_help
from rzero_cli.commands._training import check_training, grpo_options, plan_of, run_training
from rzero_cli.data.jsonl import Line
from rzero_cli.data.provenance import hashed_parents
from rzero_cli.engines.models import check_model, require
from rzero_cli.errors import DataError, UsageError
from rzero_cli.method.plan import Plan
from rzero_cli.method.prompts import SOLVER, Messages, load_prompt, prompt_for
from rzero_cli.method.rewards import REWARDED
from rzero_cli.system.processes import importing, rank
from rzero_cli.training.ranks import on_first

TEMPERATURE, TOP_P, TOP_K, MAX_TOKENS = opt.drawing("train-solver")
EXTRACT, UNITS, PERCENT = opt.answers("train-solver")
G = grpo_options("train-solver")


def train_solver(
    ctx: typer.Context,
    output: opt.OutDir,
    files: opt.Files = None,
    solver: opt.Solver = None,
    steps: Annotated[int, G["steps"]] = opt.PRESET,
    prompts: Annotated[int, G["prompts"]] = opt.PRESET,
    batch: Annotated[int, G["batch"]] = opt.PRESET,
    group: Annotated[int, G["group"]] = opt.PRESET,
    per_device: Annotated[int | None, G["per_device"]] = None,
    learning_rate: Annotated[float, G["learning_rate"]] = opt.PRESET,
    weight_decay: Annotated[float, G["weight_decay"]] = opt.PRESET,
    beta: Annotated[float, G["beta"]] = opt.PRESET,
    clip_low: Annotated[float, G["clip_low"]] = opt.PRESET,
    clip_high: Annotated[float, G["clip_high"]] = opt.PRESET,
    clip_dual: Annotated[float, G["clip_dual"]] = opt.PRESET,
    max_grad_norm: Annotated[float, G["max_grad_norm"]] = opt.PRESET,
    rule: Annotated[
        str,
        opt.from_preset(
            "train-solver",
            "--rule",
            help="Reward: paper (right or wrong) or official (0.9 right + 0.1 format).",
            panel=opt.REWARD,
        ),
    ] = opt.PRESET,
    reward: Annotated[
        str,
        typer.Option(
            "--reward",
            help="What is rewarded: label; or, as null controls, format (any answer that can be "
            "read) or random (the toss of a coin).",
            rich_help_panel=opt.REWARD,
            metavar="label|format|random",
        ),
    ] = "label",
    temperature: Annotated[float, TEMPERATURE] = opt.PRESET,
    top_p: Annotated[float, TOP_P] = opt.PRESET,
    top_k: Annotated[int, TOP_K] = opt.PRESET,
    max_tokens: Annotated[int, MAX_TOKENS] = opt.PRESET,
    extract: Annotated[str, EXTRACT] = opt.PRESET,
    units: Annotated[str, UNITS] = opt.PRESET,
    percent: Annotated[str, PERCENT] = opt.PRESET,
    prompt_file: opt.PromptFile = None,
    question_key: opt.QuestionKey = "question",
    answer_key: opt.AnswerKey = "answer",
    limit: opt.Limit = None,
    strict: opt.Strict = False,
    on_error: opt.OnError = "stop",
    rejects: opt.Rejects = None,
    shuffle_labels: Annotated[
        bool,
        typer.Option(
            "--shuffle-labels",
            help="Null control: give each question the label of another.",
            rich_help_panel=opt.INPUT,
        ),
    ] = False,
    allow_empty: Annotated[
        bool,
        typer.Option(
            "--allow-empty",
            help="With nothing to train on, write the Solver as it is instead of failing.",
            rich_help_panel=opt.INPUT,
        ),
    ] = False,
    batch_size: opt.BatchSize = opt.PRESET,
    chat_template_arg: opt.ChatTemplateArg = None,
    optim: Annotated[str, G["optim"]] = opt.PRESET,
    lora_r: Annotated[int, G["lora_r"]] = opt.PRESET,
    lora_alpha: Annotated[int, G["lora_alpha"]] = opt.PRESET,
    lora_targets: Annotated[str, G["lora_targets"]] = opt.PRESET,
    gradient_checkpointing: Annotated[bool | None, G["gradient_checkpointing"]] = None,
    rollouts: Annotated[str, G["rollouts"]] = opt.PRESET,
    rollout_endpoint: Annotated[str | None, G["rollout_endpoint"]] = None,
    rollout_memory: Annotated[float, G["rollout_memory"]] = opt.PRESET,
    rollout_tensor_parallel_size: Annotated[int, G["rollout_tensor_parallel_size"]] = opt.PRESET,
    accelerate: Annotated[str | None, G["accelerate"]] = None,
    processes: Annotated[int | None, G["processes"]] = None,
    save_every: Annotated[int, G["save_every"]] = opt.PRESET,
    seed: opt.Seed = opt.PRESET,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
    resume: opt.Resume = False,
    force: opt.Force = False,
    log_file: opt.LogFile = None,
    report_to: opt.ReportTo = None,
    quiet: opt.Quiet = False,
    preset: opt.Preset = opt.PRESET,
    config: opt.Config = None,
) -> None:
    """Train the Solver with GRPO on questions and their pseudo-labels.

    Reward 1 for an answer equivalent to the label, else 0. Every question is used once before any
    is used again, until the plan's steps are filled, so a small set trains as long as a large one.

    [bold]Examples[/]

      rzero train-solver train.jsonl --solver base -o iter-1/solver --preset tiny

      rzero filter labeled.jsonl | rzero train-solver --solver Qwen/Qwen3-4B-Base -o solver
    """
    clock = Clock()
    model = check_model("--solver", solver, shape_only=dry_run)
    opt.check_rule(rule)
    if reward not in REWARDED:
        raise UsageError(f"--reward {reward}: unknown; known: {', '.join(REWARDED)}")
    rules = opt.answer_rules(ctx.params)
    plan = plan_of(ctx.params)
    require("train", "torch", "transformers", "trl", "accelerate")
    generation = check_training(ctx, model)
    if dry_run:
        if not rank():
            print_plan(ctx, plan, model)
        return
    opt.check_output_dir(ctx)
    names = stdin_or_help(ctx, files)
    given = Input(ctx, names, lambda line: (line.text(question_key), line.text(answer_key)))
    prompt = load_prompt(prompt_file, SOLVER)
    relaunch(ctx.params)

    def read() -> list[dict[str, Any]]:
        with given.rejecting():
            return [_row(line, prompt, question_key, answer_key) for line in given.lines()]

    # Processes that were begun together have one standard input between them.
    rows = on_first(read)
    if rows or not allow_empty:
        _check_size(names, rows, plan, quiet=quiet)
    origin = on_first(lambda: hashed_parents([*names, model]))
    say("train-solver: loading", quiet=quiet)
    with importing():
        from rzero_cli.answers.equivalence import Equivalence
        from rzero_cli.training import solver as training

    if shuffle_labels:
        rows = training.shuffle_labels(rows, seed)
    with Equivalence(conventions=rules.conventions) as equivalence:
        run_training(
            ctx,
            model,
            rows,
            training.solver_reward_function(
                equivalence, rule=rule, read=rules.read, kind=reward, seed=seed
            ),
            plan,
            generation,
            parents=origin,
            clock=clock,
            rejected=given.rejected,
        )


def _row(line: Line, prompt: Messages, question_key: str, answer_key: str) -> dict[str, Any]:
    question, answer = line.text(question_key), line.text(answer_key)
    return {"prompt": prompt_for(prompt, question), "answer": answer}


def _check_size(names: list[str], rows: list[dict[str, Any]], plan: Plan, *, quiet: bool) -> None:
    """Refuse nothing to train on; say how often few are repeated, and how many of many are used."""
    wanted = plan.steps * plan.prompts
    if not rows:
        raise DataError(
            f"{', '.join(names)}: no question to train on; widen `rzero filter --delta`, or sample "
            "more questions"
        )
    if len(rows) < plan.prompts:
        say(
            f"train-solver: {len(rows)} questions are fewer than the {plan.prompts} of a step: "
            f"each is used about {wanted / len(rows):.0f} times in {plan.steps} steps",
            quiet=quiet,
        )
    elif len(rows) > wanted:
        say(
            f"train-solver: {plan.steps} steps x {plan.prompts} prompts use {wanted} of the "
            f"{len(rows)} questions, drawn at random",
            quiet=quiet,
        )
