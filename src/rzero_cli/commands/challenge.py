"""`rzero challenge`: train the Challenger against the frozen Solver (`training/challenger.py`)."""

from __future__ import annotations

from typing import Annotated

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._launch import relaunch
from rzero_cli.commands._plan import print_plan
from rzero_cli.commands._run import Clock, parents_of, say
from rzero_cli.commands._training import check_training, grpo_options, plan_of, run_training
from rzero_cli.data.provenance import hashed_parents
from rzero_cli.engines import Sampling, derived_seed
from rzero_cli.engines.models import check_model, require
from rzero_cli.errors import UsageError
from rzero_cli.method.prompts import CHALLENGER, SOLVER, load_prompt, prompt_for
from rzero_cli.method.rewards import check_tokenizer
from rzero_cli.system.processes import importing, rank
from rzero_cli.system.stdout import protect_stdout
from rzero_cli.training.ranks import on_first

TEMPERATURE, TOP_P, TOP_K, MAX_TOKENS = opt.drawing("challenge")
EXTRACT, UNITS, PERCENT = opt.answers("challenge")
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
        int,
        opt.from_preset("challenge", "--m", help="Answers a question.", panel=opt.REWARD, min=1),
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
    extract: Annotated[str, EXTRACT] = opt.PRESET,
    units: Annotated[str, UNITS] = opt.PRESET,
    percent: Annotated[str, PERCENT] = opt.PRESET,
    prompt_file: opt.PromptFile = None,
    solver_prompt_file: opt.SolverPromptFile = None,
    engine: opt.Engine = "auto",
    solver_endpoint: opt.SolverEndpoint = None,
    solver_stop: opt.SolverStop = None,
    batch_size: opt.BatchSize = opt.PRESET,
    dtype: opt.Dtype = None,
    tensor_parallel_size: opt.TensorParallelSize = None,
    data_parallel_size: opt.DataParallelSize = None,
    gpu_memory_utilization: opt.GpuMemoryUtilization = None,
    max_model_len: opt.MaxModelLen = None,
    quantization: opt.Quantization = None,
    engine_arg: opt.EngineArg = None,
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
    """Train the Challenger with GRPO to ask what the frozen Solver is unsure of.

    Reward: how unsure the Solver is of its own majority answer, less how much of the batch is
    alike; 0 for a completion that holds no question. The derived plan is printed first. --engine
    and what goes with it are the frozen Solver's, which may be served elsewhere
    (--solver-endpoint); the Challenger's rollouts are generated by TRL.

    [bold]Examples[/]

      rzero challenge --challenger base --solver base -o iter-1/challenger --preset tiny

      rzero challenge --challenger Qwen/Qwen3-4B-Base --solver Qwen/Qwen3-4B-Base -o c1 --dry-run
    """
    clock = Clock()
    challenger_model = check_model("--challenger", challenger, shape_only=dry_run)
    how = opt.engine_options(ctx)
    plan = plan_of(ctx.params)
    if plan.processes > 1:
        how["name"] = _engine_of_each(how["name"])
    elsewhere = bool(how["endpoints"])
    solver_model = (
        solver
        if elsewhere
        else check_model("--solver", solver, shape_only=dry_run, engine=how["name"])
    )
    check_tokenizer("--bleu", bleu)
    opt.check_rule(rule)
    rules = opt.answer_rules(ctx.params)
    asked = prompt_for(load_prompt(prompt_file, CHALLENGER))
    answered = load_prompt(solver_prompt_file, SOLVER)
    require("train", "torch", "transformers", "trl", "accelerate")
    generation = check_training(ctx, challenger_model)
    if dry_run:
        if not rank():
            print_plan(ctx, plan, challenger_model, None if elsewhere else solver_model)
        return
    opt.check_output_dir(ctx)
    relaunch(ctx.params)
    say("challenge: loading", quiet=quiet)
    with importing():
        from rzero_cli.engines.answering import open_solver
        from rzero_cli.training.challenger import challenger_reward

    drawn = (solver_temperature, solver_top_p, solver_top_k, solver_max_tokens)
    sampling = Sampling(m, *drawn, seed, opt.stops(solver_stop))
    parents = [challenger_model, *parents_of(solver_model, how)]
    origin = on_first(lambda: hashed_parents(parents))
    with (
        protect_stdout(),
        open_solver(
            model=solver_model,
            sampling=sampling,
            prompt=answered,
            rules=rules,
            seed=derived_seed(seed, rank()),
            **how,
        ) as frozen,
    ):
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
            generation,
            parents=origin,
            clock=clock,
        )


def _engine_of_each(name: str) -> str:
    """The Solver's engine where each of several processes has one. Raises UsageError."""
    if name == "vllm":
        raise UsageError(
            "--engine vllm is for one process: each of several would start it on the first GPU; "
            "serve the Solver (vllm serve MODEL) and give --solver-endpoint URL"
        )
    return "transformers" if name == "auto" else name
