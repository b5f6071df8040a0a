"""The table of checks: commands, what they need, and what must hold afterwards.

The trainings are those of the miniature in its own setting, cut to a few rollouts. Their losses and
rewards mean nothing; what counts is that each path runs, with finite gradients that are not 0.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_check.runner import Check, Failed
from rzero_cli.method.plan import tokens_written

_MODEL = ("torch", "transformers")
_TRL = ("orjson", "trl", "accelerate", "datasets")
GENERATE = (*_MODEL, "typer", "rich", "orjson", "jsonlines")
TRAIN = (*GENERATE, *_TRL)
CHALLENGER = (*TRAIN, "numpy", "scipy", "sacrebleu")
"""Answers here are digits, which are compared without math-verify."""
MOST_KL = 0.02
"""Of vLLM from the trainer, per token: far above rounding, far below a failed weight transfer."""
FREE = 0.9
"""A plan leaves a tenth of a GPU free; a larger error of the estimate runs out of memory."""


def rzero(*words: object) -> list[str]:
    """Return the command line of a stage with the miniature's settings."""
    return [sys.executable, "-m", "rzero_cli", *map(str, words)]


def program(*words: object) -> list[str]:
    """Return the command line of one of `programs.py`."""
    return [sys.executable, "-m", "gpu_check.programs", *map(str, words)]


_TINY = ("--preset", "tiny")
_SIZES = (*_TINY, "--per-device", 8, "--learning-rate", 1e-3)
_STEP = ("--steps", 2, "--prompts", 4, "--batch", 4, "--group", 8, "--m", 4)
CHALLENGE = ("challenge", "--challenger", "base", "--solver", "base", *_SIZES, *_STEP)
SOLVE = ("train-solver", "labeled.jsonl", *_SIZES, "--prompts", 8, "--batch", 8, "--group", 4)
FROM_BASE = (*SOLVE, "--solver", "base")
ADAPTER = ("--lora-r", 4, "--steps", 2)
_GIGABYTES = ("--steps", 2, "--prompts", 8, "--batch", 8, "--group", 4, "--per-device", 8)
LONG = (
    *("train-solver", "large/long.jsonl", "--solver", "large", "--rollouts", "transformers"),
    *(*_GIGABYTES, "--max-tokens", 1024, "--batch-size", 32),
)


def table(gpus: int) -> list[Check]:
    """Return all checks for a machine with this number of GPUs, the most important first."""
    two = ("--processes", 2) if gpus else ("--accelerate", "cpu")
    shards = min(2, max(1, gpus))
    return [
        Check(
            "machine",
            "versions, imports, and a product in bfloat16 on each GPU",
            [program("machine")],
            printed,
            ["torch"],
            gpus=gpus,
        ),
        Check("base", "a small model for the others", [program("base", "base")], printed, _MODEL),
        Check(
            "decode",
            "rzero's decoding loop, in bfloat16 on a GPU, against transformers' own",
            [program("decode", "base")],
            printed,
            _MODEL,
            after=["base"],
        ),
        Check(
            "transformers",
            "`sample` and `label` with transformers",
            [
                rzero("sample", "--challenger", "base", "-n", 128, "-o", "questions.jsonl", *_TINY,
                      "--engine", "transformers"),
                rzero("label", "questions.jsonl", "--solver", "base", "--m", 4, "-o",
                      "labeled.jsonl", *_TINY, "--engine", "transformers"),
            ],
            labelled("questions.jsonl", "labeled.jsonl"),
            GENERATE,
            after=["base"],
        ),
        Check(
            "train-solver",
            "`train-solver`, rollouts with transformers",
            [rzero(*FROM_BASE, "--steps", 3, "-o", "solver")],
            trained("solver"),
            TRAIN,
            after=["transformers"],
        ),
        Check(
            "vllm-train-solver",
            "`train-solver`, rollouts with colocated vLLM that sleeps during updates",
            [rzero(*FROM_BASE, "--steps", 6, "--rollouts", "colocate", "-o", "vllm-solver")],
            trained("vllm-solver", by_vllm=True),
            (*TRAIN, "vllm"),
            gpus=1,
            after=["transformers"],
            limit=180,
        ),
        Check(
            "vllm-challenge",
            "`challenge`, rollouts and frozen Solver in two vLLM engines, one awake at a time",
            [rzero(*CHALLENGE, "--rollouts", "colocate", "--engine", "vllm", "-o", "vllm-c")],
            trained("vllm-c", by_vllm=True),
            (*CHALLENGER, "vllm"),
            gpus=1,
            after=["base"],
            limit=240,
        ),
        memory("memory", "all weights", 0, after=["base"]),
        Check(
            "challenge",
            "`challenge`, rollouts and frozen Solver with transformers",
            [rzero(*CHALLENGE, "--engine", "transformers", "-o", "challenger")],
            trained("challenger"),
            CHALLENGER,
            after=["base"],
        ),
        Check(
            "passes",
            "trimmed passes under bfloat16 autocast, on a GPU with gradient checkpointing, against "
            "TRL's",
            [program("passes", "passes")],
            printed,
            (*_MODEL, *_TRL),
        ),
        Check(
            "lora",
            "an adapter: trained, continued, merged",
            [
                rzero(*FROM_BASE, *ADAPTER, "-o", "adapter"),
                rzero(*SOLVE, "--solver", "adapter", *ADAPTER, "-o", "continued"),
                rzero("merge", "continued", "-o", "merged"),
            ],
            adapted,
            (*TRAIN, "peft"),
            after=["transformers"],
            limit=180,
        ),
        Check(
            "resume",
            "a training killed after its first state, then continued",
            [
                program("interrupt", "resumed.part", *FROM_BASE, "--steps", 8, "--save-every", 1,
                        "-o", "resumed"),
                rzero(*FROM_BASE, "--steps", 8, "--save-every", 1, "-o", "resumed", "--resume",
                      "--log-file", "resumed.log"),
            ],
            resumed,
            TRAIN,
            after=["transformers"],
            limit=180,
        ),
        Check(
            "fsdp2",
            "`train-solver`, weights sharded by FSDP2 over one or two GPUs, with NCCL",
            [rzero(*FROM_BASE, "--steps", 2, "--accelerate", "fsdp2", "--processes", shards, "-o",
                   "sharded")],
            trained("sharded"),
            TRAIN,
            gpus=shards if gpus else 1,
            after=["transformers"],
        ),
        Check(
            "processes",
            "`challenge` in two processes: a copy on each of two GPUs, or gloo on the CPU",
            [rzero(*CHALLENGE, *two, "--engine", "transformers", "-o", "two-processes")],
            trained("two-processes"),
            CHALLENGER,
            gpus=2 if gpus else 0,
            after=["base"],
        ),
        Check(
            "vllm",
            "`label` with vLLM; confident labels agree with transformers'",
            [
                rzero("label", "questions.jsonl", "--solver", "base", "--m", 4, "-o",
                      "by-vllm.jsonl", *_TINY, "--engine", "vllm", "--gpu-memory-utilization", 0.5),
            ],
            agreeing("labeled.jsonl", "by-vllm.jsonl"),
            (*GENERATE, "vllm"),
            gpus=1,
            after=["transformers"],
            limit=180,
        ),
        Check(
            "vllm-sleep",
            "what a sleeping vLLM engine keeps, against the estimate's assumption",
            [program("asleep", "base")],
            printed,
            (*_MODEL, "vllm"),
            gpus=1,
            after=["base"],
            limit=180,
        ),
        memory("memory-lora", "an adapter", 16, ["peft"], after=["memory"]),
        Check(
            "served",
            "`challenge --solver-gpus`: the frozen Solver served on the second of two GPUs",
            [rzero(*CHALLENGE, "--rollouts", "colocate", "--solver-gpus", 1, "-o", "served")],
            trained("served", by_vllm=True),
            (*CHALLENGER, "vllm", "openai"),
            gpus=2,
            after=["base"],
            limit=240,
        ),
        Check(
            "adamw-8bit",
            "`train-solver --optim adamw_8bit`",
            [rzero(*FROM_BASE, "--steps", 2, "--optim", "adamw_8bit", "-o", "8bit")],
            trained("8bit"),
            (*TRAIN, "bitsandbytes"),
            gpus=1,
            after=["transformers"],
        ),
        Check(
            "eval",
            "`eval` with transformers",
            [rzero("eval", "--model", "base", "--data", "base/heldout.jsonl", "--limit", 32, "--k",
                   2, *_TINY, "--engine", "transformers", "-o", "eval.json")],
            evaluated,
            (*GENERATE, "lm_eval"),
            after=["base"],
        ),
    ]  # fmt: skip


def memory(name: str, what: str, lora_r: int, packages: Any = (), *, after: list[str]) -> Check:
    """Return the check of a training's peak memory against its estimate."""
    words = (*LONG, "--lora-r", lora_r, "-o", name)
    commands = [
        rzero(*words, "--dry-run", "--json"),
        program("measured", f"{name}.json", *words),
    ]
    if name == "memory":
        commands.insert(0, program("large", "large"))
    return Check(
        name,
        f"peak memory of a training of {what}, against the estimate",
        commands,
        lambda folder, outputs: estimated(folder / f"{name}.json", outputs[-2], lora_r),
        (*TRAIN, *packages),
        gpus=1,
        after=after,
    )


# ------------------------------------------------------------ what must hold


def printed(folder: Path, outputs: list[str]) -> dict[str, Any]:
    """Return what a program printed as its last line."""
    found: dict[str, Any] = json.loads(outputs[-1].splitlines()[-1])
    return found


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the records of a JSONL file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def labelled(*names: str) -> Callable[[Path, list[str]], dict[str, Any]]:
    """Return the check of a stage's JSONL files, which must not be empty."""

    def holds(folder: Path, outputs: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in names:
            number = len(rows(folder / name))
            if not number:
                raise Failed(f"{name} is empty")
            record = json.loads((folder / f"{name}.meta.json").read_text("utf-8"))
            stage, spent = record["stage"], record["spent"]
            busy = sum(seconds for what, seconds in spent.items() if what != "loading")
            found[stage] = {"rows": number, "tokens/s": record["tokens"] / busy, "seconds": spent}
        return found

    return holds


def agreeing(one: str, other: str) -> Callable[[Path, list[str]], dict[str, Any]]:
    """Return the check of labels against those of another engine that all answers agree on."""

    def holds(folder: Path, outputs: list[str]) -> dict[str, Any]:
        found = labelled(other)(folder, outputs)
        there = {row["id"]: row["answer"] for row in rows(folder / other)}
        confident = {r["id"]: r["answer"] for r in rows(folder / one) if r["p_hat"] == 1.0}
        equal = sum(there.get(name) == answer for name, answer in confident.items())
        text = f"{equal} of {len(confident)} confident labels agree"
        if equal < 0.9 * len(confident):
            raise Failed(text)
        return found | {"labels": text}

    return holds


def trained(name: str, *, by_vllm: bool = False) -> Callable[[Path, list[str]], dict[str, Any]]:
    """Return the check of a finished training: finite and not without gradients, saved in float32.

    Args:
        name: its checkpoint.
        by_vllm: vLLM generated the rollouts, so the mismatch must be logged and small.
    """

    def holds(folder: Path, outputs: list[str]) -> dict[str, Any]:
        checkpoint = folder / name
        log = rows(checkpoint / "log.jsonl")
        for line in log:
            for key in ("loss", "grad_norm", "kl"):
                if not math.isfinite(line.get(key, 0.0)):
                    raise Failed(f"update {line['update']}: {key} is {line[key]}")
        if not any(line["grad_norm"] for line in log):
            raise Failed("all gradients are 0")
        if (kinds := dtypes(checkpoint)) != {"F32"}:
            raise Failed(f"saved as {', '.join(sorted(kinds))} instead of F32")
        record = json.loads((checkpoint / "rzero.json").read_text("utf-8"))
        spent = record["spent"]
        tokens = tokens_written(log, record["plan"]["rollouts_per_step"])
        found: dict[str, Any] = {
            "updates": len(log),
            "gradient": log[-1]["grad_norm"],
            "seconds": spent,
            "rollout tokens/s": tokens / spent["rollouts"],
            "trained tokens/s": tokens / spent["updates"],
        }
        return found | (mismatch(log) if by_vllm else {})

    return holds


def dtypes(checkpoint: Path) -> set[str]:
    """Return the types of a checkpoint's weights, read from safetensors' header."""
    found = set()
    for path in checkpoint.glob("*.safetensors"):
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
        found |= {one["dtype"] for key, one in header.items() if key != "__metadata__"}
    return found


def mismatch(log: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mismatch of vLLM and the trainer, which every update must have logged."""
    kl = [line["sampling/kl"] for line in log if "sampling/kl" in line]
    if len(kl) < len(log):
        raise Failed("the mismatch with vLLM is not logged")
    # A failed weight transfer shows as a mismatch that grows with each update.
    if not max(map(abs, kl)) < MOST_KL:
        raise Failed(f"vLLM's probabilities are not the trainer's: KL by update {kl}")
    largest = max(line["sampling/sampling_logp_difference/max"] for line in log)
    return {"KL from vLLM by update": kl, "largest difference of a log-probability": largest}


def adapted(folder: Path, outputs: list[str]) -> dict[str, Any]:
    """Check both trainings of an adapter, and the merged model."""
    first, second = (trained(name)(folder, outputs) for name in ("adapter", "continued"))
    weights = [(folder / name / "model.safetensors").read_bytes() for name in ("base", "merged")]
    if weights[0] == weights[1]:
        raise Failed("the merged model equals its base")
    return {"trained": first, "continued": second}


def resumed(folder: Path, outputs: list[str]) -> dict[str, Any]:
    """Check that a continued training did all updates, and did not repeat those that were saved."""
    found = trained("resumed")(folder, outputs)
    updates = [line["update"] for line in rows(folder / "resumed" / "log.jsonl")]
    again = [line["step"] for line in rows(folder / "resumed.log") if line["event"] == "update"]
    if updates != list(range(1, 9)) or again[0] == 1:
        raise Failed(f"continued with step {again[0]}, updates {updates}")
    return {"continued with step": again[0]} | found


def evaluated(folder: Path, outputs: list[str]) -> dict[str, Any]:
    """Check that an evaluation has a score."""
    task = json.loads((folder / "eval.json").read_text("utf-8"))["tasks"]["heldout"]
    if not task["tokens"]:
        raise Failed("no token was generated")
    return {name: task[name] for name in ("score", "tokens", "seconds")}


def estimated(measured: Path, plan: str, lora_r: int) -> dict[str, Any]:
    """Compare the peak of a training with the estimate of its dry run."""
    allocated, reserved = json.loads(measured.read_text("utf-8"))
    layouts = json.loads(plan)["layouts"]
    alone = [one for one in layouts if one["gpus"] == 1 and one["lora_r"] == lora_r]
    peak = alone[0]["gib"]["peak"]
    found = {"measured GiB": allocated, "estimated GiB": peak, "ratio": allocated / peak}
    if allocated > peak / FREE:
        raise Failed(f"{allocated:.2f} GiB, and the estimate is {peak:.2f}")
    return found | {"reserved GiB": reserved}
