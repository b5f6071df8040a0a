"""`rzero train-solver`: train the Solver on pseudo-labels (`training/solver.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rzero_cli.commands._training import Rollout, Training, plan_training, run_training
from rzero_cli.data.provenance import hashed_parents
from rzero_cli.engines.models import check_model
from rzero_cli.errors import DataError, UsageError
from rzero_cli.fields import option
from rzero_cli.method.plan import Plan
from rzero_cli.method.prompts import SOLVER, prompt_for
from rzero_cli.method.rewards import REWARDED
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import Checkpoint, QuestionKey, Seed, Source
from rzero_cli.options.general import Logged
from rzero_cli.options.method_groups import Reading, check_rule
from rzero_cli.options.model_groups import Batching, SolverModel
from rzero_cli.options.panels import INPUT, REWARD
from rzero_cli.options.source import Input
from rzero_cli.system.processes import importing
from rzero_cli.training.launch import relaunch
from rzero_cli.training.ranks import on_first
from rzero_cli.training.settings import Grpo, Hardware


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SolverReward:
    """The Solver's reward."""

    PANEL: ClassVar = REWARD
    rule: str = option("Reward rule: paper (0 or 1) or official (0.9 correct + 0.1 format).")
    reward: str = option(
        "What is rewarded: label (agreement with it), or as null controls format (any readable "
        "answer) or random (a coin toss).",
        default="label",
        unset=True,
        metavar="label|format|random",
    )

    def check(self) -> None:
        """Raise UsageError if a name is unknown."""
        check_rule(self.rule)
        if self.reward not in REWARDED:
            raise UsageError(f"--reward {self.reward}: unknown; known: {', '.join(REWARDED)}")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TrainingSet:
    """The training set."""

    PANEL: ClassVar = INPUT
    answer_key: str = option("Key of the pseudo-label.", default="answer")
    shuffle_labels: bool = option(
        "Null control: shuffle the labels between questions.", default=False
    )
    allow_empty: bool = option(
        "If the training set is empty, save the Solver unchanged instead of failing.",
        default=False,
    )


@command("train-solver", Logged)
def train_solver(
    call: Call,
    source: Source,
    key: QuestionKey,
    solver: SolverModel,
    grpo: Grpo,
    rewarded: SolverReward,
    rollout: Rollout,
    reading: Reading,
    training_set: TrainingSet,
    batching: Batching,
    hardware: Hardware,
    seeded: Seed,
    training: Training,
    target: Checkpoint,
) -> None:
    """Train the Solver with GRPO on questions and their pseudo-labels.

    The reward is 1 for an answer equivalent to the label, else 0. Every question is used once
    before any is repeated, until all steps are done, so a small training set trains as long as a
    large one.

    [bold]Examples[/]

      rzero train-solver train.jsonl --solver base -o iter-1/solver --preset tiny

      rzero filter labeled.jsonl | rzero train-solver --solver Qwen/Qwen3-4B-Base -o solver
    """
    model = check_model("--solver", solver.solver, shape_only=training.dry_run)
    rewarded.check()
    rules = reading.rules()
    options = plan_training(
        *(call, model, grpo, hardware, rollout, seeded.seed, batching, training, target)
    )
    rollouts = options.ready()
    if rollouts is None:
        return
    names = call.stdin_or_help(source.files)
    question_key, answer_key = key.question_key, training_set.answer_key
    given = Input(
        call,
        names,
        source,
        lambda line: (line.text(question_key), line.text(answer_key)),
        target=target,
    )
    prompt = rollout.prompt(SOLVER)
    relaunch(options.hardware)

    def read() -> list[dict[str, Any]]:
        with given.rejecting():
            return [
                {
                    "prompt": prompt_for(prompt, line.text(question_key)),
                    "answer": line.text(answer_key),
                }
                for line in given.lines()
            ]

    # The ranks share one standard input, so only the first reads.
    rows = on_first(read)
    if rows or not training_set.allow_empty:
        _check_size(call, names, rows, options.plan)
    parents = on_first(lambda: hashed_parents([*names, model]))
    call.say("loading")
    with importing():
        from rzero_cli.answers.equivalence import Equivalence
        from rzero_cli.training.solver import shuffle_labels, solver_reward_function

    if training_set.shuffle_labels:
        rows = shuffle_labels(rows, seeded.seed)
    with Equivalence(conventions=rules.conventions) as equivalence:
        reward = solver_reward_function(
            equivalence,
            rule=rewarded.rule,
            read=rules.read,
            kind=rewarded.reward,
            seed=seeded.seed,
            spent=call.spent,
        )
        run_training(options, rows, reward, rollouts, parents=parents, rejected=given.rejected)


def _check_size(call: Call, names: list[str], rows: list[dict[str, Any]], plan: Plan) -> None:
    """Refuse an empty training set; report how often few questions are repeated, or how many are
    left out."""
    wanted = plan.steps * plan.prompts
    if not rows:
        raise DataError(
            f"{', '.join(names)}: no questions to train on; widen `rzero filter --delta` or sample "
            "more questions"
        )
    if len(rows) < plan.prompts:
        call.say(
            f"{len(rows)} questions are fewer than the {plan.prompts} prompts of a step: "
            f"each is used about {wanted / len(rows):.0f} times in {plan.steps} steps"
        )
    elif len(rows) > wanted:
        call.say(
            f"{plan.steps} steps x {plan.prompts} prompts use {wanted} of the "
            f"{len(rows)} questions, sampled at random"
        )
