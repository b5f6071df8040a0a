"""`rzero challenge`: train the Challenger against the frozen Solver (`training/challenger.py`)."""

from __future__ import annotations

from typing import Annotated

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._run import Clock, say
from rzero_cli.commands._training import grpo_options, plan_of, print_plan, run_training
from rzero_cli.core.prompts import CHALLENGER, SOLVER, load_prompt, prompt_for
from rzero_cli.core.rewards import check_tokenizer
from rzero_cli.engines import Sampling
from rzero_cli.engines.models import check_model, require

TEMPERATURE, TOP_P, TOP_K, MAX_TOKENS = opt.drawing("challenge")
RULE, BLEU, TAU_BLEU, LAMBDA_REP = opt.reward("challenge")
G = grpo_options("challenge")


def challenge(
    ctx: typer.Context,
    output: opt.OutDir,
    challenger: opt.Challenger = None,
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
    rule: Annotated[str, RULE] = opt.PRESET,
    bleu: Annotated[str, BLEU] = opt.PRESET,
    tau_bleu: Annotated[float, TAU_BLEU] = opt.PRESET,
    lambda_rep: Annotated[float, LAMBDA_REP] = opt.PRESET,
    require_boxed: opt.RequireBoxed = False,
    m: Annotated[
        int, opt.from_preset("challenge", "--m", help="Answers a question.", panel=opt.REWARD)
    ] = opt.PRESET,
    temperature: Annotated[float, TEMPERATURE] = opt.PRESET,
    top_p: Annotated[float, TOP_P] = opt.PRESET,
    top_k: Annotated[int, TOP_K] = opt.PRESET,
    max_tokens: Annotated[int, MAX_TOKENS] = opt.PRESET,
    solver_temperature: Annotated[
        float, opt.solver_drawing("temperature", "The same for the Solver's answers.", min=0.0)
    ] = opt.PRESET,
    solver_top_p: Annotated[
        float, opt.solver_drawing("top-p", "... nucleus.", min=0.0, max=1.0)
    ] = opt.PRESET,
    solver_top_k: Annotated[
        int, opt.solver_drawing("top-k", "... most likely tokens.", min=0)
    ] = opt.PRESET,
    solver_max_tokens: Annotated[
        int, opt.solver_drawing("max-tokens", "... longest answer.", min=1)
    ] = opt.PRESET,
    prompt_file: opt.PromptFile = None,
    solver_prompt_file: opt.SolverPromptFile = None,
    engine: opt.Engine = "auto",
    batch_size: opt.BatchSize = opt.PRESET,
    save_every: Annotated[int, G["save_every"]] = opt.PRESET,
    seed: opt.Seed = opt.PRESET,
    dry_run: opt.DryRun = False,
    resume: opt.Resume = False,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
    preset: opt.Preset = opt.PRESET,
    config: opt.Config = None,
) -> None:
    """Train the Challenger with GRPO to ask what the frozen Solver is unsure of.

    Reward: how unsure the Solver is of its own majority answer, less how much of the batch is
    alike; 0 for a completion that holds no question. The derived plan is printed first.

    [bold]Examples[/]

      rzero challenge --challenger base --solver base -o iter-1/challenger --preset tiny

      rzero challenge --challenger Qwen/Qwen3-4B-Base --solver Qwen/Qwen3-4B-Base -o c1 --dry-run
    """
    clock = Clock()
    challenger_model = check_model("--challenger", challenger)
    solver_model = check_model("--solver", solver)
    check_tokenizer("--bleu", bleu)
    opt.check_rule(rule)
    asked = prompt_for(load_prompt(prompt_file, CHALLENGER))
    answered = load_prompt(solver_prompt_file, SOLVER)
    plan = plan_of(ctx.params)
    require("train", "torch", "transformers", "trl", "accelerate")
    if dry_run:
        print_plan(ctx, plan, challenger_model)
        return
    opt.check_output_dir(ctx)
    say("challenge: loading", quiet=quiet)
    from rzero_cli.stages.label import open_solver
    from rzero_cli.training.challenger import challenger_reward

    sampling = Sampling(m, solver_temperature, solver_top_p, solver_top_k, solver_max_tokens, seed)
    with open_solver(engine, solver_model, sampling, answered, batch_size=batch_size) as frozen:
        run_training(
            ctx,
            challenger_model,
            [{"prompt": asked}],
            challenger_reward(
                frozen,
                require_boxed=require_boxed,
                seed=seed,
                rule=rule,
                bleu=bleu,
                tau_bleu=tau_bleu,
                lambda_rep=lambda_rep,
            ),
            plan,
            parents=[challenger_model, solver_model],
            inputs={},
            clock=clock,
        )
