"""The arithmetic of the cost tables in scale.md; change an assumption here to estimate another run.

    python -m docs.costs        prints the tables; `make docs` writes them into the page

Nothing here was measured. Times are those of arithmetic and memory traffic at a fixed fraction of a
GPU's peak; loading, evaluation and waiting for the slowest text are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from rzero_cli.engines.shapes import Model, model_of, published
from rzero_cli.method.plan import Plan
from rzero_cli.options import presets
from rzero_cli.training.layout import Choice, Devices, FrozenSolver, Stage, choose
from rzero_cli.training.settings import Grpo, Hardware

G = TypeVar("G")


class Gpu(NamedTuple):
    """One kind of GPU."""

    gib: float
    """Memory; what `nvidia-smi` shows."""
    operations: float
    """Per second, dense bfloat16."""
    bandwidth: float
    """Bytes per second."""


H100, H200 = Gpu(80, 989e12, 3.35e12), Gpu(141, 989e12, 4.8e12)
A100 = Gpu(40, 312e12, 1.555e12)
MACHINES = {"1 x 80 GB": (1, H100), "1 x 141 GB": (1, H200), "8 x 80 GB": (8, H100)}

DECODING, TRAINING = 0.5, 0.35  # the fraction of the peak
BATCH = 256  # texts decoded together on a GPU
PROMPT, QUESTION, ANSWER = 250, 400, 1000  # mean tokens
WELL_FORMED, KEPT = 0.9, 0.4  # fractions of the samples, of the labelled questions
FULL, ADAPTER = 6, 5
"""Forward passes per trained token: the old probabilities', the reference's, the policy's,
checkpointing's, and backward, which counts as two; as one if only an adapter is trained."""


def generate(model: Model, gpu: Gpu, texts: float, tokens: float) -> float:
    """Return the seconds of one GPU; reading or arithmetic, the slower one, sets the pace."""
    context = PROMPT + tokens / 2
    read = 2 * model.parameters + BATCH * context * model.kv_bytes
    step = max(read / gpu.bandwidth, BATCH * model.flops(context) / gpu.operations) / DECODING
    return texts / BATCH * tokens * step


def train(model: Model, gpu: Gpu, texts: float, tokens: float, passes: int = FULL) -> float:
    """Return the seconds of one GPU, without padding."""
    length = PROMPT + tokens
    return texts * length * passes * model.flops(length / 2) / gpu.operations / TRAINING


def values(command: str, preset: str = presets.BASE_PRESET) -> dict[str, Any]:
    """Return a command's options in a preset."""
    return presets.merge(presets.layers(preset), command)


def of_preset(preset: str) -> Model:
    """Return the shape of a preset's model."""
    return model_of(published()[values("challenge", preset)["model"]])


MODELS = [name for name in presets.preset_names() if "model" in values("challenge", name)]
"""The presets of the paper's models."""


def layout(command: str, preset: str, gpus: int, gib: float) -> Choice:
    """Return the layout that `challenge` or `train-solver` chooses."""
    chosen = values(command, preset)
    model = of_preset(preset)
    solver = None
    if command == "challenge":
        context = chosen.get("max_model_len") or 2 * chosen["max_tokens"] + 512
        solver = FrozenSolver(chosen["m"], chosen["max_tokens"], None, model, True, context)
    options = _group(Grpo, chosen), _group(Hardware, chosen)
    stage = Stage(model, *options, chosen["max_tokens"], 64, "colocate", solver=solver)
    return choose(stage, Devices(gpus, gib))[0]


def _group(kind: type[G], chosen: dict[str, Any]) -> G:
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: chosen.get(name) for name in names})


def stages(
    model: Model,
    gpus: int,
    gpu: Gpu,
    plans: Sequence[Plan],
    passes: Sequence[int],
    questions: float,
) -> dict[str, float]:
    """Return the seconds of an iteration's stages on all GPUs.

    Args:
        plans: of `challenge` and `train-solver`.
        passes: `FULL` or `ADAPTER` for each of the two.
        questions: well-formed questions to label.
    """
    m, (asked, learned) = values("label")["m"], (plan.rollouts for plan in plans)
    seconds = {
        "`challenge`: rollouts": generate(model, gpu, asked, QUESTION),
        "`challenge`: the Solver's answers": generate(model, gpu, asked * m, ANSWER),
        "`challenge`: updates": train(model, gpu, asked, QUESTION, passes[0]),
        "`sample`": generate(model, gpu, questions / WELL_FORMED, QUESTION),
        "`label`": generate(model, gpu, questions * m, ANSWER),
        "`train-solver`: rollouts": generate(model, gpu, learned, ANSWER),
        "`train-solver`: updates": train(model, gpu, learned, ANSWER, passes[1]),
    }
    return {stage: value / gpus for stage, value in seconds.items()}


def iteration(preset: str, gpus: int, gpu: Gpu) -> tuple[dict[str, float], list[Choice]]:
    """Return the seconds of one iteration's stages at the paper's setting, and both layouts."""
    chosen = [layout(command, preset, gpus, gpu.gib) for command in ("challenge", "train-solver")]
    passes = [ADAPTER if one.lora_r else FULL for one in chosen]
    questions = values("sample")["n"] * WELL_FORMED
    plans = [one.plan for one in chosen]
    model = of_preset(preset)
    return stages(model, gpus, gpu, plans, passes, questions), chosen


def kind(choice: Choice) -> str:
    """Return a word for a layout."""
    if not choice.fits:
        return "does not fit"
    return "LoRA" if choice.lora_r else "sharded" if choice.layout.sharded else "all"


# ---------------------------------------------------------------- tables


def layouts() -> Iterable[list[str]]:
    """Yield the layout that `challenge` chooses, and its peak, by model and GPUs."""
    machines = [(1, "48gb"), (1, "80gb"), (1, "141gb"), (4, "80gb"), (8, "80gb"), (8, "141gb")]
    yield ["", *(f"{n} x {gpu.removesuffix('gb')} GB" for n, gpu in machines)]
    for preset in MODELS:
        cells = []
        for number, gpu in machines:
            choice = layout("challenge", preset, number, values("challenge", gpu)["gpu_memory"])
            peak = f", {choice.gib['peak']:.0f} GiB" if choice.fits else ""
            cells.append(kind(choice) + peak)
        yield [f"`{preset}`", *cells]


def iterations() -> Iterable[list[str]]:
    """Yield the hours of one iteration and the two layouts, by model and machine."""
    yield ["", *MACHINES]
    for preset in MODELS:
        cells = []
        for machine in MACHINES.values():
            seconds, chosen = iteration(preset, *machine)
            kinds = [*dict.fromkeys(kind(one) for one in chosen)]
            cells.append(f"{sum(seconds.values()) / 3600:.1f} h, {' and '.join(kinds)}")
        yield [f"`{preset}`", *cells]


def parts() -> Iterable[list[str]]:
    """Yield the minutes of each stage of one iteration of Qwen3-4B."""
    yield ["`qwen3-4b`, minutes", *MACHINES]
    columns = [iteration("qwen3-4b", *machine)[0] for machine in MACHINES.values()]
    for stage in columns[0]:
        yield [stage, *(f"{column[stage] / 60:.1f}" for column in columns)]


def million() -> Iterable[list[str]]:
    """Yield the minutes of an iteration of Qwen3-4B with a million questions on 64 H100s."""
    gpus, questions = 64, 1_000_000
    one = layout("challenge", "qwen3-4b", gpus, H100.gib).plan
    two = layout("train-solver", "qwen3-4b", gpus, H100.gib).plan
    two = dataclasses.replace(two, steps=round(questions * KEPT / two.prompts))
    seconds = stages(of_preset("qwen3-4b"), gpus, H100, (one, two), (FULL, FULL), questions)
    total = sum(seconds.values())
    yield ["Stage", "Minutes", "Share"]
    for stage, value in (seconds | {"all": total}).items():
        yield [stage, f"{value / 60:.1f}", f"{value / total:.1%}"]
    yield ["GPU hours", f"{total * gpus / 3600:.0f}", ""]


def published_figures() -> Iterable[list[str]]:
    """Yield figures that others have published, and this page's arithmetic for the same work."""
    llama, qwen = of_preset("octothinker-8b"), of_preset("qwen3-4b")
    yield ["Trainer", "Published", "This arithmetic"]
    # 64 prompts x 32 rollouts of 1,100 tokens; old probabilities and reference, no checkpointing.
    texts, tokens = 64 * 32, 1100
    step = generate(llama, H100, texts, tokens) + train(llama, H100, texts, tokens, FULL - 1)
    yield [
        "NeMo-RL, Llama-3.1-8B, GRPO, 8 x H100, 1.1k tokens a rollout",
        "91 s a step, 3,359 tokens/s/GPU; one step off policy 71 s, 4,463",
        f"{step / 8:.0f} s, {texts * (PROMPT + tokens) / step:,.0f} tokens/s/GPU",
    ]
    # Forward, backward and checkpointing of full sequences.
    length = 16_384
    rate = 8 * H100.operations * TRAINING / (4 * qwen.flops(length / 2))
    yield [
        "prime-rl, Qwen3-4B, the trainer alone, 8 x H100, 16k tokens",
        "26,000 tokens/s",
        f"{rate:,.0f} tokens/s",
    ]
    plans = [layout(command, "qwen3-4b", 8, 80).plan for command in ("challenge", "train-solver")]
    questions = values("sample")["n"] * WELL_FORMED
    seconds = stages(qwen, 8, A100, plans, (FULL, FULL), questions)
    yield [
        "R-Zero's authors, Qwen3-4B, 8 x A100 of 40 GB, three iterations",
        "about 50 hours",
        f"{3 * sum(seconds.values()) / 3600:.0f} hours",
    ]


if __name__ == "__main__":
    for rows in (layouts(), iterations(), parts(), published_figures(), million()):
        print("\n".join("  ".join(cells) for cells in rows), end="\n\n")
