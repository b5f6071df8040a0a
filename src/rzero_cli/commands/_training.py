"""What `challenge` and `train-solver` share: GRPO's options, the plan, the checkpoint's record."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._run import Clock, progress, say, settings_of
from rzero_cli.core.plan import Plan, make_plan
from rzero_cli.core.provenance import CHECKPOINT_META, describe
from rzero_cli.core.streams import protect_stdout, write_json

HYPER = (
    "learning_rate",
    "weight_decay",
    "beta",
    "clip_low",
    "clip_high",
    "clip_dual",
    "max_grad_norm",
    "temperature",
    "top_p",
    "top_k",
    "seed",
)


def grpo_options(command: str) -> dict[str, Any]:
    """The options of GRPO by name, with `command`'s defaults."""

    def option(flag: str, help: str, **kwargs: Any) -> Any:
        return opt.from_preset(command, flag, help=help, panel=opt.GRPO, **kwargs)

    return {
        "steps": option("--steps", "Steps; each draws prompts x group rollouts.", min=1),
        "prompts": option("--prompts", "Prompts a step.", min=1),
        "batch": option("--batch", "Prompts an update; a step makes prompts/batch.", min=1),
        "group": option("--group", "Rollouts a prompt: G.", min=2),
        "per_device": option(
            "--per-device",
            "Rollouts in one pass on one device.",
            unset="the most up to 8 that divides an update",
            min=1,
        ),
        "learning_rate": option("--learning-rate", "Constant.", min=0.0),
        "weight_decay": option("--weight-decay", "AdamW's.", min=0.0),
        "beta": option("--beta", "KL coefficient.", min=0.0),
        "clip_low": option("--clip-low", "The ratio is clipped at 1 - this.", min=0.0),
        "clip_high": option("--clip-high", "... and at 1 + this.", min=0.0),
        "clip_dual": option("--clip-dual", "Dual clip; 0 is none.", min=0.0),
        "max_grad_norm": option("--max-grad-norm", "Gradients are clipped here.", min=0.0),
        "save_every": option("--save-every", "Steps between resumable states.", min=1),
    }


def plan_of(options: dict[str, Any]) -> Plan:
    """The plan that the options ask for. Raises UsageError where the numbers do not divide."""
    names = ("steps", "prompts", "batch", "group", "max_tokens", "per_device")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    return make_plan(**{name: options[name] for name in names}, processes=processes)


def run_training(
    ctx: typer.Context,
    model: str,
    rows: list[dict[str, Any]],
    reward: Callable[..., list[float]],
    plan: Plan,
    *,
    parents: list[str],
    inputs: dict[str, Any],
    clock: Clock,
) -> None:
    """Train `model` and leave the checkpoint in the output directory, with its record."""
    from rzero_cli.training.grpo import (
        Hyperparameters,
        is_main_process,
        keep_untrained,
        lay_out_rows,
        open_checkpoint,
        train,
    )

    options = ctx.params
    quiet = bool(options["quiet"]) or not is_main_process()
    settings = settings_of(ctx)
    hyper = Hyperparameters(**{name: options[name] for name in HYPER})
    with (
        protect_stdout(),
        open_checkpoint(
            Path(options["output"]),
            settings=settings | inputs,
            resume=options["resume"],
            force=options["force"],
        ) as part,
        progress(str(ctx.command.name), plan.updates, quiet=quiet) as advance,
    ):
        if not rows:
            say(f"{ctx.command.name}: nothing to train on, the model stays as it is", quiet=quiet)
            keep_untrained(model, part)
            _write_record(ctx, part, plan, parents, clock, {"trained": False})
            return
        say(f"{ctx.command.name}: {plan.describe()}", quiet=quiet)

        def on_update(figures: dict[str, Any]) -> None:
            advance(1)
            if "reward" in figures:
                say(f"{ctx.command.name}: {_line(figures, plan)}", quiet=quiet)

        figures = train(
            model,
            lay_out_rows(rows, plan, options["seed"]),
            reward,
            plan=plan,
            hyper=hyper,
            part=part,
            batch_size=options["batch_size"],
            on_update=on_update,
            save_every=options["save_every"],
        )
        if is_main_process():
            _write_record(ctx, part, plan, parents, clock, figures)


def _write_record(
    ctx: typer.Context,
    part: Path,
    plan: Plan,
    parents: list[str],
    clock: Clock,
    metrics: dict[str, Any],
) -> None:
    record = describe(
        str(ctx.command.name),
        settings=settings_of(ctx),
        parents=parents,
        seconds=clock.seconds,
        metrics=metrics,
    )
    write_json(part / CHECKPOINT_META, record | {"plan": plan.as_record()})


_SHOWN = {
    "reward": "reward",
    "p_hat": "p_hat",
    "r_rep": "r_rep",
    "valid": "valid",
    "clusters": "clusters",
    "readable": "readable",
    "frac_reward_zero_std": "zero-variance",
    "kl": "kl",
    "entropy": "entropy",
    "completions/mean_length": "tokens",
}


def _line(figures: dict[str, Any], plan: Plan) -> str:
    """One step for the person who watches."""
    step = (int(figures["update"]) - 1) // plan.updates_per_step + 1
    shown = [f"{name} {figures[key]:.3g}" for key, name in _SHOWN.items() if key in figures]
    return f"step {step}/{plan.steps}: {', '.join(shown)}"


def print_plan(ctx: typer.Context, plan: Plan, model: str, solver: str | None = None) -> None:
    """`--dry-run`: the plan and what it takes in memory, on standard output."""
    from rzero_cli.training.memory import estimate

    options = ctx.params
    typer.echo(f"{ctx.command.name} {model}")
    typer.echo(plan.describe())
    typer.echo(
        f"{plan.processes} processes, {plan.per_device} rollouts a pass, "
        f"gradient accumulation {plan.gradient_accumulation}"
    )
    parts = estimate(model, plan, batch_size=options["batch_size"], solver=solver)
    for name, gib in parts.items():
        typer.echo(f"{name:<40} {gib:8.2f} GiB")
