"""A small pipeline with fixed seeds through all stages, on a base model made in seconds.

`same_outputs.py` runs it with two versions of the code; `goldens/write.py` and `test_goldens.py`
take the records' keys from it. Steps use only the command line.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

__all__ = [
    *("BASE", "LOOKING", "STAGES", "WRONG", "Process", "Step", "freeze", "prepare", "run_steps"),
]


@dataclass(frozen=True)
class Step:
    """One command of the pipeline."""

    name: str
    words: str
    """Its arguments, separated by spaces; a `~` is a space within one."""
    given: str = ""
    """Its standard input."""
    folder: str = "."
    environment: Mapping[str, str] = field(default_factory=dict)
    refused: bool = False

    @property
    def arguments(self) -> list[str]:
        return [word.replace("~", " ") for word in self.words.split()]


class Outcome(Protocol):
    status: int
    stdout: str
    stderr: str


Run = Callable[[Step, Path], Outcome]
"""Runs a step in a folder."""


@dataclass(frozen=True)
class Process:
    """Runs each step in a separate process with the package in `source`."""

    source: Path
    scratch: Path
    """The folder for caches."""

    def __call__(self, step: Step, folder: Path) -> Outcome:
        ended = subprocess.run(
            [sys.executable, "-m", "rzero_cli", *step.arguments],
            input=step.given.encode(),
            capture_output=True,
            cwd=folder,
            env=self.environment() | step.environment,
            timeout=600,
        )
        return _Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def environment(self) -> dict[str, str]:
        """Return the caller's, without rzero's settings; offline, one thread, fixed line width."""
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("RZERO_")}
        return inherited | {
            "PYTHONPATH": str(self.source),
            "RZERO_CACHE": str(self.scratch / "cache"),
            "HF_DATASETS_CACHE": str(self.scratch / "datasets"),
            "PYTHONHASHSEED": "0",  # peft writes sets of names in the order of their hashes
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "COLUMNS": "100",
            "NO_COLOR": "1",
        }


@dataclass(frozen=True)
class _Ended:
    status: int
    stdout: str
    stderr: str


# ---------------------------------------------------------------- the steps

BASE = Step("tiny-base", "tiny-base --size small --no-cache --quiet -o base")

_GRPO = "--preset tiny --per-device 8 --save-every 2"
_CHALLENGE = f"challenge --challenger base --solver base {_GRPO} --m 6"
_SOLVE = f"train-solver run/iter-1/train.jsonl --solver base {_GRPO} --prompts 4 --group 4"
_I = "run/iter-1"
_CONFIGURED: dict[str, Any] = {
    "folder": "configured",
    "environment": {
        "RZERO_SEED": "5",
        "RZERO_CHALLENGER": "../base",
        "RZERO_SOLVER": "../base",
        "RZERO_LOG_FILE": "log.jsonl",
    },
}

STAGES = (
    Step(
        "eval of the base",
        "eval --model base --data base/heldout.jsonl --limit 60 --k 4 --preset tiny "
        "--log-samples run/base/samples.jsonl -o run/base/eval.json",
    ),
    Step(
        "probe of the base",
        "eval --model base --data base/probe.jsonl --limit 40 --k 0 --preset tiny "
        "-o run/base/probe.json",
    ),
    Step(
        "challenge",
        f"{_CHALLENGE} --steps 3 --prompts 2 --batch 1 --group 8 --log-file log.jsonl "
        f"-o {_I}/challenger",
    ),
    Step(
        "challenge, official, an adapter",
        f"{_CHALLENGE} --preset official,tiny --steps 2 --prompts 2 --batch 2 --group 4 --lora-r 4 "
        "--lora-targets q_proj,v_proj --solver-temperature 0.7 --seed 3 -o challenger-official",
    ),
    Step(
        "sample",
        f"sample --challenger {_I}/challenger -n 150 --preset tiny --seed 1 "
        f"--log-file log.jsonl -o {_I}/questions.jsonl",
    ),
    Step(
        "sample, adapter, malformed kept",
        "sample --challenger challenger-official -n 40 --preset official,tiny --keep-malformed "
        "--temperature 1.5 --top-k 20 --batch-size 16",
    ),
    Step(
        "label",
        f"label {_I}/questions.jsonl --solver base --m 8 --preset tiny --seed 1 "
        f"--log-file log.jsonl -o {_I}/labeled.jsonl",
    ),
    *(
        Step(
            f"label, official, shard {part}/2",
            f"label {_I}/questions.jsonl --solver base --preset official,tiny --limit 60 "
            f"--shard {part}/2 --keep-completions --temperature 1.2 -o part-{part}.jsonl",
        )
        for part in (0, 1)
    ),
    Step(
        "label, a prompt of its own, stdin",
        "label --solver base --preset tiny --m 3 --prompt-file prompt.txt --stop 7 "
        "--question-key problem --on-error skip --rejects rejects.jsonl",
        given='{"problem": "copy the number 123"}\nno JSON\n{"problem": "copy the number 48"}\n',
    ),
    Step("vote", f"vote {_I}/labeled.jsonl --workers 1"),
    Step(
        "vote, official, completions",
        "vote part-0.jsonl part-1.jsonl --answers-key none --rule official --extract boxed,phrase "
        "-o voted.jsonl",
    ),
    Step("vote, many forms", "vote answers.jsonl --units keep --percent fraction -o forms.jsonl"),
    Step("filter", f"filter {_I}/labeled.jsonl --delta 0.45 -o {_I}/train.jsonl"),
    Step("filter, bounds", f"filter {_I}/labeled.jsonl --low 0.3 --high 0.9"),
    Step("filter, official", f"filter {_I}/labeled.jsonl --preset official"),
    Step(
        "filter, near",
        f"filter {_I}/labeled.jsonl --delta 0.5 --dedup near --tau-bleu 0.2 -o near.jsonl",
    ),
    Step(
        "filter, caps",
        f"filter {_I}/labeled.jsonl --delta 0.5 --max-per-answer 1 --max-per-cluster 3",
    ),
    Step(
        "filter, seen before",
        f"filter {_I}/labeled.jsonl --delta 0.5 --dedup exact --dedup-against part-0.jsonl",
    ),
    Step("filter, shard", f"filter {_I}/labeled.jsonl --delta 0.5 --dedup exact --shard 1/3"),
    Step("grade", "grade graded-in.jsonl --on-error skip --extract boxed,hashes -o graded.jsonl"),
    Step("grade, truth", f"grade --truth {_I}/train.jsonl -o {_I}/graded.jsonl"),
    Step("score", f"score {_I}/labeled.jsonl --batch 40 -o scored.jsonl"),
    Step(
        "score, official, asked",
        f"score {_I}/questions.jsonl --limit 40 --solver base --preset official,tiny --m 4 "
        "--lambda-rep 0.5 --tau-bleu 0.4",
    ),
    Step("oracle, world", f"oracle {_I}/labeled.jsonl --world --known -o known.jsonl"),
    Step("oracle, data", f"oracle {_I}/labeled.jsonl --oracle-data known.jsonl --limit 30"),
    Step("train-solver", f"{_SOLVE} --steps 3 --batch 2 --seed 1 -o {_I}/solver"),
    Step(
        "train-solver, an adapter",
        f"{_SOLVE} --steps 3 --batch 4 --lora-r 4 --lora-alpha 8 --learning-rate 1e-2 "
        "--log-file log.jsonl -o adapter",
    ),
    Step(
        "train-solver, official",
        f"{_SOLVE} --preset official,tiny --steps 2 --batch 2 --max-grad-norm 0.5 -o official",
    ),
    Step(
        "train-solver, shuffled labels",
        f"{_SOLVE} --steps 2 --batch 4 --shuffle-labels --limit 20 -o shuffled",
    ),
    Step(
        "train-solver, nothing to train on",
        f"train-solver --solver base {_GRPO} --allow-empty -o untrained",
    ),
    Step("merge", "merge adapter -o merged"),
    Step(
        "eval",
        f"eval --model {_I}/solver --data base/heldout.jsonl --limit 60 --k 4 --preset tiny "
        f"-o {_I}/eval.json",
    ),
    Step(
        "probe",
        f"eval --model {_I}/solver --data base/probe.jsonl --limit 40 --k 0 --preset tiny "
        f"-o {_I}/probe.json",
    ),
    Step(
        "eval of an adapter",
        "eval --model adapter --data base/heldout.jsonl --limit 20 --k 2 --preset tiny --json "
        "--temperature 0.6 --group-key level --seed 9 -o adapter.json",
    ),
    Step(
        "eval, a task",
        "eval --model base --tasks rzero_gsm8k --data-file rzero_gsm8k=gsm8k.jsonl --preset tiny "
        "--json -o task.json",
    ),
    Step("configured sample", "sample -n 40 -o q.jsonl", **_CONFIGURED),
    Step("configured label", "label q.jsonl --m 3 -o l.jsonl", **_CONFIGURED),
    Step("configured filter", "filter l.jsonl -o t.jsonl", **_CONFIGURED),
    Step("configured score", "score l.jsonl", **_CONFIGURED),
    Step("configured stats", "stats l.jsonl --json", **_CONFIGURED),
    Step("configured train-solver", "train-solver t.jsonl -o s", **_CONFIGURED),
    Step("configured plan", "challenge --dry-run --json -o c", **_CONFIGURED),
)
"""Every stage that writes artefacts, on the base model in `base`."""

LOOKING = (
    Step("guard", f"guard run --guard probe,diversity -o {_I}/guard.json"),
    Step("guard, text", "guard run --guard probe,diversity --least-share 0.9"),
    Step("guard, JSON", "guard run --guard probe --least-fall 0.01 --json"),
    Step("stats", f"stats {_I}/labeled.jsonl near.jsonl known.jsonl"),
    Step(
        "stats, JSON",
        f"stats {_I}/questions.jsonl {_I}/labeled.jsonl --against base/heldout.jsonl "
        "--oracle-data known.jsonl --ngram 3 --json",
    ),
    Step("compare", f"compare run/base/eval.json {_I}/eval.json"),
    Step("compare, JSON", f"compare run/base/eval.json {_I}/eval.json adapter.json --json"),
    Step("report", "report run"),
    Step("report, JSON", "report run --json"),
    Step("report, files", "report run -o report.json -o report.txt -o report.html -o report.md"),
    Step("lineage", f"lineage {_I}/eval.json"),
    Step("lineage, verified", f"lineage --verify {_I}/solver"),
    Step("lineage, JSON", "lineage merged --json"),
    Step("label, plan", f"label {_I}/questions.jsonl --solver base --preset official --dry-run"),
    Step(
        "label, plan for machines",
        f"label {_I}/questions.jsonl --solver base --dry-run --json",
    ),
    Step("challenge, plan", "challenge --challenger base --solver base --dry-run -o c"),
    Step(
        "challenge, plan, official",
        "challenge --challenger base --solver base --preset official --processes 4 --dry-run "
        "--json -o c",
    ),
    Step("train-solver, plan", "train-solver --solver base --lora-r 8 --dry-run -o s"),
    Step(
        "train-solver, plan, official",
        "train-solver --solver base --preset official,tiny --dry-run --json -o s",
    ),
    *(
        Step(f"help of {name or 'all'}", f"{name} --help")
        for name in (
            *("", "challenge", "sample", "label", "filter", "train-solver", "eval", "score"),
            *("vote", "grade", "oracle", "merge", "stats", "compare", "report", "guard"),
            *("lineage", "preflight", "tiny-base", "init", "env"),
        )
    ),
)
"""Commands that read the stages' outputs."""

_LABELED = '{"question": "q", "answer": "1", "p_hat": 0.5}\n'


def _wrong(words: str, given: str = "", **kwargs: Any) -> Step:
    return Step(f"wrong: {words}", words, given, refused=True, **kwargs)


WRONG = (
    _wrong("filtre"),
    _wrong("label --solver base --m 0", "{}"),
    _wrong("label --solver base --temperature -1", "{}"),
    _wrong("label --solver base --top-p 1.5", "{}"),
    _wrong("label --solver base --units sometimes", "{}"),
    _wrong("label --solver base --extract boxed,nose", "{}"),
    _wrong("label --solver base --rule best", "{}"),
    _wrong("label --solver base --shard 2/2", "{}"),
    _wrong("label --solver base --resume", "{}"),
    _wrong("label --solver base --engine vroom", "{}"),
    _wrong("label --solver base --engine transformers --tensor-parallel-size 2", "{}"),
    _wrong("label --solver base --endpoint http://key@host", "{}"),
    _wrong("label --solver nowhere/at/all", "{}"),
    _wrong("label", "{}"),
    _wrong("label --solver base", '{"question": 1}\n'),
    _wrong("label --solver base --preset huge", "{}"),
    _wrong("label --solver base --chat-template-arg messages=1", "{}"),
    _wrong("label --solver base --stop= ", "{}"),
    _wrong("sample -n many --challenger base"),
    _wrong("sample --challenger base --log-file nowhere/log"),
    _wrong("filter", "not JSON\n"),
    _wrong("filter", '{"question": "q", "answer": "1"}\n'),
    _wrong("filter --delta 0.7", _LABELED),
    _wrong("filter --low 0.9 --high 0.1", _LABELED),
    _wrong("filter --dedup sometimes", _LABELED),
    _wrong("filter --rejects r.jsonl", _LABELED),
    _wrong("filter --on-error skip", _LABELED),
    _wrong("filter -o known.jsonl", _LABELED),
    _wrong("filter --config nowhere.toml", _LABELED),
    _wrong("filter --config slip.toml", _LABELED),
    _wrong("filter nowhere.jsonl"),
    _wrong("vote known.jsonl --answers-key question"),
    _wrong("vote stops.jsonl -o stopped.jsonl"),
    _wrong("vote stops.jsonl -o stopped.jsonl --resume --rule official"),
    _wrong("vote stops.jsonl -o stopped.jsonl --resume --on-error skip"),
    _wrong("vote stops.jsonl -o stopped.jsonl"),
    _wrong("grade --workers 0", "{}"),
    _wrong("score --shard 0/2", _LABELED),
    _wrong("score --bleu nice", _LABELED),
    _wrong("oracle", _LABELED),
    _wrong("stats --tau-bleu 2", _LABELED),
    _wrong("compare run/base/eval.json"),
    _wrong("compare run/base/eval.json known.jsonl"),
    _wrong("report configured"),
    _wrong("report run -o report.pdf"),
    _wrong("guard run --guard luck"),
    _wrong("lineage rejects.jsonl"),
    _wrong("merge base -o m"),
    _wrong("eval --model base -o e.json"),
    _wrong("eval --model base --data base/heldout.jsonl --chat -o e.json"),
    _wrong("eval --model base --data known.jsonl --judge-model x -o e.json"),
    _wrong("tiny-base --size huge -o b"),
    _wrong("tiny-base -o base"),
    _wrong("challenge --challenger base --solver base"),
    _wrong("challenge --challenger base --solver base --group 1 -o c"),
    _wrong("challenge --challenger base --solver base --prompts 5 --batch 2 -o c"),
    _wrong("train-solver known.jsonl --solver base --per-device 7 --preset tiny -o s"),
    _wrong("train-solver known.jsonl --solver base --reward love -o s"),
    _wrong("train-solver known.jsonl --solver base --rollouts guess -o s"),
    _wrong("train-solver --solver base --preset tiny -o s"),
    _wrong("train-solver known.jsonl --solver base --preset tiny -o adapter"),
    _wrong("init configured/rzero.toml"),
    Step(
        "wrong: RZERO_PRESET=huge",
        "filter",
        _LABELED,
        environment={"RZERO_PRESET": "huge"},
        refused=True,
    ),
    Step(
        "wrong: RZERO_SEED=x",
        "sample --challenger base",
        environment={"RZERO_SEED": "x"},
        refused=True,
    ),
    Step("nothing to do", f"label {_I}/questions.jsonl --solver base --resume -o part-0.jsonl"),
    Step("a closed end", f"filter {_I}/labeled.jsonl --limit 3 --quiet -o -"),
)
"""Wrong usage and bad data, which must keep their status and their message."""


def prepare(folder: Path) -> None:
    """Write the inputs of the steps that no stage writes."""
    for name in ("run/base", "run/iter-1", "configured"):
        (folder / name).mkdir(parents=True)
    forms = ["50%", "1/2", "0.5", "3 cm", "3", None, r"\frac{6}{2}", "x+1", "1+x", "{1,2}"]
    _write(
        folder / "answers.jsonl",
        *({"id": n, "answers": forms[n : n + 5]} for n in range(len(forms) - 4)),
        {"id": "text", "completions": [r"so \boxed{4}", "none", "the answer is 5."]},
    )
    _write(
        folder / "graded-in.jsonl",
        {"answer": "0.5", "reference": r"\frac12"},
        {"answer": "50 %", "reference": "50"},
        {"completion": r"It is \boxed{7}", "reference": "7"},
        {"completion": "It is #### 8", "reference": "7"},
        {"answer": None, "reference": "7"},
        {"answer": "7"},
    )
    questions = [f"copy the number {n}" for n in (12, 345, 678)]
    _write(
        folder / "gsm8k.jsonl",
        *({"question": q, "answer": f"It is.\n#### {q.split()[-1]}"} for q in questions),
    )
    _write(folder / "stops.jsonl", {"answers": ["1", "1", "2"]}, {"answers": ["3"]})
    with (folder / "stops.jsonl").open("a") as stream:
        stream.write('{"answers": "4"}\n')
    (folder / "prompt.txt").write_text("{question}\n")
    (folder / "slip.toml").write_text("deltta = 0.1\n")
    (folder / "configured" / "rzero.toml").write_text(
        'preset = "official,tiny"\nseed = 3\ntop-k = 30\n'
        "[sample]\nn = 60\ntemperature = 0.8\n"
        "[label]\nm = 4\nbatch_size = 32\n"
        "[filter]\ndelta = 0.4\n"
        "[score]\nlambda_rep = 0.25\nbatch = 10\n"
        "[challenge]\nsteps = 2\nsolver-top-k = 10\n"
        "[train-solver]\nsteps = 1\nprompts = 4\nbatch = 4\ngroup = 4\nper-device = 8\nlora-r = 2\n"
    )


def _write(path: Path, *rows: object) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


# ---------------------------------------------------------------- running


def run_steps(steps: Iterable[Step], folder: Path, run: Run, streams: Path | None = None) -> None:
    """Run the steps in order in `folder`, which is prepared if it is new.

    Args:
        streams: a folder for the status and the streams of each step; statuses are then not
            checked.

    Raises:
        RuntimeError: a step ended with an unexpected status.
    """
    if not folder.is_dir():
        prepare(folder)
    for step in steps:
        ended = run(step, folder / step.folder)
        if streams is not None:
            streams.mkdir(exist_ok=True)
            name = re.sub(r"[^A-Za-z0-9=.]+", "-", step.name)[:100]
            for kind in ("status", "stdout", "stderr"):
                (streams / f"{name}.{kind}").write_text(str(getattr(ended, kind)))
        if streams is None and (ended.status != 0) != step.refused:
            raise RuntimeError(f"{step.name}: status {ended.status}: {ended.stderr}")


_TIMES = {
    *("seconds", "step_time", "time", "finished", "pid", "per_second", "tokens_per_second"),
}
_RATES = {"total", "seconds_left", "per_second", "tokens_per_second"}


def freeze(folder: Path) -> None:
    """Set all times in the records and logs below `folder` to one value, and sort settings.

    Reports and lineages are then equal on both sides. Weights and data, and so their hashes, do not
    change.
    """
    for path in folder.rglob("*.json"):
        value = json.loads(path.read_text("utf-8"))
        if isinstance(value, dict) and ("stage" in value or "origin" in value):
            path.write_text(json.dumps(_frozen(value), indent=2) + "\n", "utf-8")
    for path in folder.rglob("log.jsonl"):
        lines = map(json.loads, path.read_text("utf-8").splitlines())
        # A slow stage logs its progress from time to time.
        _write(path, *(_frozen(line) for line in lines if line.get("event") != "progress"))


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        # The speed of a stage determines which of these keys a line of its log has.
        kept = value.keys() - (_RATES if "event" in value else set())
        frozen = {
            k: _still(v) if k in _TIMES else _frozen(v) for k, v in value.items() if k in kept
        }
        if isinstance(settings := frozen.get("settings"), dict):
            frozen["settings"] = dict(sorted(settings.items()))
        return frozen
    return [_frozen(one) for one in value] if isinstance(value, list) else value


def _still(value: Any) -> Any:
    """Return a constant of the same type, since the type is part of the record's format."""
    if isinstance(value, str):
        return "2026-01-01T00:00:00+00:00"
    return type(value)(1) if isinstance(value, (int, float)) else value
