"""`rzero challenge`: train the Challenger against the frozen Solver (`training/challenger.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rzero_cli.commands._training import Rollout, Training, plan_training, run_training
from rzero_cli.data.provenance import hashed_parents
from rzero_cli.engines import Sampling, derived_seed, engine_here
from rzero_cli.engines.models import check_model
from rzero_cli.engines.vllm_arguments import PARALLEL
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.method.prompts import CHALLENGER, SOLVER, load_prompt, prompt_for
from rzero_cli.options.command import Call, command
from rzero_cli.options.engine import EngineChoice, choose_engine, choose_served
from rzero_cli.options.file_groups import Checkpoint, Seed
from rzero_cli.options.general import Logged
from rzero_cli.options.method_groups import ChallengerRule, Reading, RequireBoxed, checked_stops
from rzero_cli.options.model_groups import AnyEngine, ChallengerModel, SolverEngine, SolverModel
from rzero_cli.options.panels import REWARD, SAMPLING
from rzero_cli.system.processes import importing, rank
from rzero_cli.system.stdout import protect_stdout
from rzero_cli.training.launch import check_launch, is_launched, processes_here, relaunch
from rzero_cli.training.layout import FrozenSolver
from rzero_cli.training.ranks import on_first
from rzero_cli.training.settings import Grpo, Hardware


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SolverAnswers:
    """The sampling settings of the frozen Solver's answers."""

    PANEL: ClassVar = REWARD
    m: int = option("Solver answers per question.", min=1)
    solver_temperature: float = option(
        "Sampling temperature of Solver answers; 0 is greedy.", min=0.0
    )
    solver_top_p: float = option("Nucleus sampling of Solver answers; 1 is off.", min=0.0, max=1.0)
    solver_top_k: int = option("Top-k sampling of Solver answers; 0 is off.", min=0)
    solver_max_tokens: int = option("Maximum tokens per Solver answer.", min=1)
    solver_stop: list[str] | None = option(
        "Stop sequence of Solver answers. May be repeated.", default=None, metavar="TEXT"
    )
    solver_prompt_file: str | None = option(
        "Solver prompt to use instead of the built-in one: text, or JSON chat messages.",
        default=None,
        panel=SAMPLING,
        metavar="FILE",
        is_file=True,
    )

    def sampling(self, seed: int) -> Sampling:
        """Return the engine's sampling settings. Raises UsageError."""
        return Sampling(
            self.m,
            self.solver_temperature,
            self.solver_top_p,
            self.solver_top_k,
            self.solver_max_tokens,
            seed,
            checked_stops(self.solver_stop),
        )

    def frozen(
        self, model: str | None, choice: EngineChoice, engine: AnyEngine, *, served: bool = False
    ) -> FrozenSolver:
        """Return the Solver as the layout of the training has to know it.

        Args:
            model: its name.
            choice, engine: its engine and the engine's options.
            served: --solver-gpus serves it.
        """
        elsewhere = served or choice.is_server
        return FrozenSolver(
            self.m,
            self.solver_max_tokens,
            None if elsewhere else model,
            in_vllm=not elsewhere and choice.name in ("auto", "vllm"),
            context=engine.max_model_len,
            sleeps=bool(choice.arguments.get("enable_sleep_mode", True)),
            fraction=engine.gpu_memory_utilization,
        )


@command("challenge", Logged)
def challenge(
    call: Call,
    challenger: ChallengerModel,
    solver: SolverModel,
    grpo: Grpo,
    rule: ChallengerRule,
    boxed: RequireBoxed,
    rollout: Rollout,
    answers: SolverAnswers,
    reading: Reading,
    engine: SolverEngine,
    hardware: Hardware,
    seeded: Seed,
    training: Training,
    target: Checkpoint,
) -> None:
    """Train the Challenger with GRPO to generate questions the Solver is uncertain about.

    The reward is the Solver's uncertainty about its majority answer, minus a penalty for similar
    questions in the batch. A completion without a question gets 0. The plan is printed first.
    --engine and its options configure the frozen Solver, which may be served on other GPUs
    (--solver-gpus) or run on your server (--solver-endpoint); TRL generates the Challenger's
    rollouts. On the training's own GPUs, the Solver's vLLM sleeps except while it answers, unless
    --engine-arg enable_sleep_mode=false is given.

    [bold]Examples[/]

      rzero challenge --challenger base --solver base -o iter-1/challenger --preset tiny

      rzero challenge --challenger Qwen/Qwen3-4B-Base --solver Qwen/Qwen3-4B-Base -o c1 --dry-run
    """
    trained = check_model("--challenger", challenger.challenger, shape_only=training.dry_run)
    served = choose_served(call, engine) if engine.solver_gpus else None
    gpus = _gpus_of_server(engine.solver_gpus, hardware, dry_run=training.dry_run)
    choice = served or choose_engine(call, engine)
    frozen_model = choice.check("--solver", solver.solver, shape_only=training.dry_run)
    rule.check()
    rules = reading.rules()
    challenger_prompt = prompt_for(rollout.prompt(CHALLENGER))
    solver_prompt = load_prompt(answers.solver_prompt_file, SOLVER)
    frozen_solver = answers.frozen(frozen_model, choice, engine, served=bool(served))
    options = plan_training(
        *(call, trained, grpo, hardware, rollout, seeded.seed, engine, training, target),
        frozen_solver,
    )
    if not served:
        _check_one_gpu(choice, options.plan.processes)
    if choice.name == "auto" and not training.dry_run:
        engine_here()  # refuses a GPU without vLLM
    rollouts = options.ready()
    if rollouts is None:
        return
    if options.chosen and options.chosen.solver_memory:
        choice = choice.with_defaults(options.chosen.solver_arguments)
    sampling = answers.sampling(seeded.seed)
    if served and not is_launched():
        call.at_end.enter_context(served.serve(str(frozen_model), gpus, seed=seeded.seed))
    relaunch(options.hardware)
    call.say("loading")
    with importing():
        from rzero_cli.training.challenger import challenger_reward
        from rzero_cli.training.early_answers import EarlyAnswers

    parents = on_first(lambda: hashed_parents([trained, *choice.parents(frozen_model)]))
    if served:
        choice = served.at_server(str(frozen_model), sampling.stop)
    with (
        protect_stdout(),
        choice.open_solver(
            frozen_model,
            sampling,
            solver_prompt,
            rules,
            seed=derived_seed(seeded.seed, rank()),
            spent=call.spent,
        ) as frozen,
    ):
        strict, seed = boxed.require_boxed, seeded.seed
        early = EarlyAnswers(frozen, require_boxed=strict, seed=seed) if choice.is_server else None
        run_training(
            options,
            [{"prompt": challenger_prompt}],
            challenger_reward(frozen, early=early, require_boxed=strict, seed=seed, **vars(rule)),
            rollouts,
            parents=parents,
            on_rollouts=early.ask if early else None,
        )


def _check_one_gpu(choice: EngineChoice, processes: int) -> None:
    """Raise UsageError if the Solver's engine would need more than its process's GPU."""
    for name in PARALLEL:
        if processes > 1 and not choice.is_server and (choice.arguments.get(name) or 1) != 1:
            raise UsageError(
                f"--{name.replace('_', '-')}: each of the {processes} processes starts the Solver "
                "on its own GPU; serve a larger Solver on other GPUs: --solver-gpus 4-7"
            )


def _gpus_of_server(text: str | None, hardware: Hardware, *, dry_run: bool) -> list[str]:
    """Return the GPUs of the Solver's server, which this process and the ranks then do not see.

    A dry run may be for another machine.

    Raises:
        UsageError: as `take_gpus`, `server_url` or `check_launch`.
    """
    if not text:
        return []
    from rzero_cli.engines.served import has_gpus, server_url, take_gpus

    if is_launched():
        server_url()
        return []
    if dry_run and not has_gpus():
        return []
    check_launch(hardware)
    return take_gpus(text, processes_here(hardware))
