"""The steps of `rzero preflight`: each stage of the loop, by its own command, on a few prompts.

Generating stages run at two sizes, up to twice what their engine takes at once. Trainings run two
steps of one update; only the second is measured, since the first one also warms up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from rzero_cli.analysis.projection import (
    Further,
    Generation,
    Projected,
    Run,
    Step,
    Training,
    fit,
    fit_like,
    training,
)
from rzero_cli.commands._preflight_plan import Planned
from rzero_cli.data.json_text import dumps, read_object
from rzero_cli.data.provenance import CHECKPOINT_META
from rzero_cli.data.whole_files import file_meta_path
from rzero_cli.errors import RzeroError
from rzero_cli.method.plan import LENGTH
from rzero_cli.system.progress import duration
from rzero_cli.system.stopwatch import (
    ANSWERS,
    LOADING,
    ROLLOUTS,
    SAVING,
    UPDATES,
    VOTES,
    WAITING,
    clock,
)

STEPS = 2
"""Steps of a measured training."""
AT_ONCE = 256
"""Texts of a measurement with vLLM or a server, which batch by arrival."""
_QUESTIONS = [f"What is {n} + {n + 7}?" for n in range(11, 27)]
"""Used if the Challenger generates none."""


@dataclass(slots=True)
class Loop:
    """The stages of the loop, their sizes, and what was measured."""

    say: Callable[[str], None]
    folder: Path
    challenger: str
    solver: str
    options: Mapping[str, list[str]]
    """Further words of each command line."""
    at_once: int
    """Texts that the engine takes at once."""
    n: int
    """Completions of `sample`."""
    m: int
    """Answers per question."""
    k: int
    """Sampled answers per held-out question."""
    heldout: int
    """Answers of an evaluation."""
    limits: Mapping[str, int]
    """Token limits of the stages."""
    planned: Mapping[str, Planned]
    copies: int
    """Engines of a generating stage that share its texts."""
    served: bool
    """A server answers for the frozen Solver."""
    data: list[dict[str, Any]] = field(default_factory=list)
    """Held-out questions, if given."""
    found: dict[str, Any] = field(default_factory=dict)
    """The cost of each stage that was measured; of `filter` its seconds."""
    errors: dict[str, str] = field(default_factory=dict)
    valid: dict[str, float] = field(default_factory=dict)
    """Fraction of the Challenger's completions that have a question, by stage."""

    def measure(self) -> None:
        """Run the stages. A stage that fails is recorded, and the others go on without it."""
        texts, two = self.at_once, f"{STEPS} steps"
        self._try("sample", f"twice, up to {2 * texts} completions", self._sample)
        self._try("label", f"twice, up to {2 * texts} answers", self._label)
        self._try("filter", "the labelled questions", self._filter)
        self._try("challenge", two, self._challenge)
        self._try("train-solver", two, self._train_solver)
        self._try("eval", f"about {texts} answers of the trained Solver", self._eval)

    def _try(self, stage: str, what: str, work: Callable[[], Any]) -> None:
        self.say(f"{stage}: {what}")
        began = time.monotonic()
        try:
            self.found[stage] = work()
        except RzeroError as error:
            self.errors[stage] = str(error)
            self.say(f"{stage} failed: {error}")
        else:
            self.say(f"{stage} passed in {duration(time.monotonic() - began)}")

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _rows(self, pattern: str) -> list[dict[str, Any]]:
        """Return the records of the files that match a pattern."""
        paths = sorted(self.folder.glob(pattern))
        return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]

    def _sample(self) -> Generation:
        runs = []
        for number in sizes(self.at_once, self.n):
            output = self._path(f"questions-{number}.jsonl")
            words = ["--challenger", self.challenger, "-n", str(number), "-o", str(output)]
            seconds = self._run("sample", *words)
            record = read_object(file_meta_path(output))
            self.valid.setdefault("sample", record["metrics"]["questions"] / number)
            runs.append(Run(number, record["tokens"], _work(record), seconds))
        large, small = runs
        return fit(small, large, self.limits["sample"])

    def _label(self) -> Generation:
        runs = []
        for number in sizes(max(1, self.at_once // self.m), self.n):
            given = self._path(f"given-{number}.jsonl")
            output = self._path(f"labeled-{number}.jsonl")
            questions = [row["question"] for row in self._rows("questions-*.jsonl")]
            few = islice(cycle(questions or _QUESTIONS), number)
            _write(given, ({"question": question} for question in few))
            words = [str(given), "--solver", self.solver, "-o", str(output)]
            seconds = self._run("label", *words)
            record = read_object(file_meta_path(output))
            runs.append(Run(number * self.m, record["tokens"], _work(record), seconds))
        large, small = runs
        return fit(small, large, self.limits["label"])

    def _filter(self) -> float:
        labelled = sorted(self.folder.glob("labeled-*.jsonl"))
        if not labelled:
            raise RzeroError("no labelled questions")
        return self._run("filter", *map(str, labelled), "-o", str(self._path("kept.jsonl")))

    def _answered(self) -> list[dict[str, Any]]:
        """Return questions with labels. A wrong label costs as much time as a right one."""
        rows = self._rows("labeled-*.jsonl") or [{"question": one} for one in _QUESTIONS]
        return [{"question": r["question"], "answer": r.get("answer") or "0"} for r in rows]

    def _challenge(self) -> Training:
        return self._train("challenge", "--challenger", self.challenger, "--solver", self.solver)

    def _train_solver(self) -> Training:
        given = self._path("train.jsonl")
        _write(given, self._answered())
        return self._train("train-solver", str(given), "--solver", self.solver)

    def _train(self, stage: str, *words: str) -> Training:
        plan, log = self.planned[stage].plan, self._path(f"{stage}.log")
        # With several updates, TRL computes log-probabilities before the first.
        updates = min(2, plan.updates_per_step)
        prompts = updates * plan.batch
        few = ("--steps", STEPS, "--prompts", prompts, "--save-every", 1)
        words = (*words, *map(str, few), "-o", str(self._path(stage)))
        seconds = self._run(stage, *words, log=log)
        lines = [line for line in self._rows(log.name) if line["event"] == "update"]
        before, first, after = lines[updates - 1], lines[updates], lines[-1]  # first: of its step
        if "valid" in first:
            self.valid[stage] = first["valid"]

        def spent(*activities: str) -> float:
            there, then = after["spent"], before["spent"]
            return sum(float(there.get(one, 0.0) - then.get(one, 0.0)) for one in activities)

        step = Step(
            rollouts=spent(ROLLOUTS),
            answers=spent(ANSWERS),
            rewards=spent(VOTES, WAITING),
            update=spent(UPDATES) / updates,
            saving=spent(SAVING),
        )
        size, limit = prompts * plan.group, self.limits[stage]
        return training(
            seconds, step, STEPS, updates=updates, size=size, length=first[LENGTH], limit=limit
        )

    def _eval(self) -> Generation | None:
        trained, data = self._path("train-solver"), self._path("heldout.jsonl")
        whole = (trained / CHECKPOINT_META).is_file()
        rows = self.data or [
            {"question": row["question"], "reference": row["answer"]} for row in self._answered()
        ]
        number = max(1, self.at_once // max(1, self.k))
        _write(data, islice(cycle(rows), number))
        output = self._path("eval.json")
        words = ["--model", str(trained) if whole else self.solver, "--data", str(data)]
        seconds = self._run("eval", *words, "-o", str(output))
        tokens = sum(task["tokens"] for task in read_object(output)["tasks"].values())
        if "label" not in self.found:  # its time per token is not known
            return None
        one = Run(number * (1 + self.k), tokens, 0.0, seconds)
        return fit_like(one, self.found["label"], self.limits["eval"])

    def _run(self, command: str, *words: str, log: Path | None = None) -> float:
        """Run a command and return its seconds.

        Raises:
            RzeroError: it failed; the message is its own.
        """
        environment = os.environ | {"RZERO_LOG_FILE": str(log or os.devnull)}
        began = clock(children=True)
        ended = subprocess.run(
            [sys.executable, "-m", "rzero_cli", command, *words, *self.options[command], "--quiet"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        if ended.returncode:
            lines = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
            raise RzeroError(lines[-1].removeprefix("rzero: "))
        return clock(children=True) - began

    # ------------------------------------------------------------ the whole run

    def project(self, iterations: int) -> list[Projected]:
        """Return the stages of a run that were measured, with their projected times.

        A stage that depends on one that failed is left out.
        """
        found, stages = self.found, list[Projected]()
        label: Generation | None = found.get("label")
        for stage in ("challenge", "sample", "label", "filter", "train-solver", "eval"):
            times = iterations + 1 if stage == "eval" else iterations
            cost = found.get(stage)
            if cost is None or (label is None and stage != "sample"):
                continue
            if stage == "filter":
                seconds = most = cost
            elif isinstance(cost, Training):
                plan, save_every, _ = self.planned[stage]
                further = self._further(stage, cost)
                stretch = label.stretch / self._valid(stage) if label else 1.0
                seconds = cost.seconds(plan, save_every, further)
                most = cost.seconds(plan, save_every, further, longest=True, answer_stretch=stretch)
            else:
                labelled = self.n * self.m
                texts = {"sample": self.n, "label": labelled, "eval": self.heldout}[stage]
                valid = self._valid("sample") if stage == "label" else 1.0
                seconds, most = cost.seconds(texts * valid), cost.seconds(texts, longest=True)
            stages.append(Projected(stage, times, seconds, most))
        return stages

    def _valid(self, stage: str) -> float:
        """Return the fraction of completions with a question; none at all is no measurement."""
        return self.valid.get(stage) or 1.0

    def _further(self, stage: str, cost: Training) -> Further:
        """Return the cost of a rollout more in a step: with transformers, which fills its batches
        in the measured step, that of the others; with vLLM that of a text in `sample` or `label`,
        since more rollouts also fill the engine better."""
        plan, _, engines = self.planned[stage]
        label = self.found["label"]
        source = self.found.get("sample", label) if stage == "challenge" else label
        rollout = cost.step.rollouts / cost.size
        if engines:
            rollout = min(rollout, source.each * self.copies / engines)
        answers = 0.0
        if stage == "challenge":
            answers = label.each * self.m * self._valid(stage)
            answers *= 1 if self.served else self.copies / plan.processes
        return Further(rollout, answers)


def sizes(at_once: int, most: int) -> tuple[int, int]:
    """Return two sizes of a measurement: up to twice what the engine takes at once, but no more
    than the run itself has, and half of that.

    The larger comes first: what only a first run takes then lengthens the projection.
    """
    large = max(2, min(2 * at_once, most))
    return large, large // 2


def _work(record: Mapping[str, Any]) -> float:
    """Return the seconds that a stage's record counts as anything but loading."""
    return sum(float(seconds) for name, seconds in record["spent"].items() if name != LOADING)


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_bytes(b"".join(dumps(row) + b"\n" for row in rows))
