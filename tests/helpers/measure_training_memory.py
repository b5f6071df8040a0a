"""Print the memory of trainings on the CPU by phase, and its estimate, in GiB.

    python tests/helpers/measure_training_memory.py CASES

CASES is a JSON list of objects with the keys of `Case`. Each is printed as a line of JSON; with
torchrun and ACCELERATE_USE_CPU=true by each process. The estimate is that of `training/memory.py`.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Map blocks of 128 KiB or more one by one, so that freed ones are returned at once and resident
# memory equals live memory. malloc reads this only when the process starts.
if os.environ.get("MALLOC_MMAP_THRESHOLD_") != "131072":
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "131072"
    os.execv(sys.executable, [sys.executable, *sys.argv])

PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))
PASSES = 2  # per update, so that gradients are kept for the second
PROMPT = 8  # tokens
UPDATES = 3  # DDP allocates its buckets again in the second, and fills them at its end


@dataclass
class Case:
    """A training."""

    shape: dict[str, Any]
    """The configuration of a Llama or Qwen3."""
    per_device: int = 4
    tokens: int = 32
    checkpointing: bool = True
    lora_r: int = 0
    beta: float = 0.01
    autocast: bool = False
    """In a loop of our own; `train` has no autocast on a CPU."""
    sharded: bool = False
    """With FSDP2, as accelerate and TRL set it up on a GPU, with autocast."""


class Memory:
    """Memory of this process above where it starts, in GiB, by phase."""

    def __init__(self) -> None:
        # Return that of the case before.
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        self._start = {which: resident(which) for which in ("VmRSS", "RssAnon")}
        self.found: dict[str, float] = {}
        self.begin()

    def begin(self) -> None:
        """Start a phase."""
        Path("/proc/self/clear_refs").write_text("5")

    def end(self, phase: str) -> None:
        """Note the peak of the phase that ends here, and start the next."""
        self.found[phase] = resident("VmHWM") - self._start["VmRSS"]
        self.begin()

    def now(self, name: str, which: str = "VmRSS") -> None:
        """Note the present memory."""
        self.found[name] = resident(which) - self._start[which]


def resident(which: str) -> float:
    """Return resident memory in GiB: `VmRSS` is now, `RssAnon` without files that are mapped, and
    `VmHWM` the peak since the last reset."""
    found = re.search(rf"^{which}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) / (1 << 20)


def trained(case: Case, folder: Path, memory: Memory) -> None:
    """Train with rzero's `train`."""
    from option_groups import group  # next to this script, which is run by its path

    from rzero_cli.engines.sampling_options import SamplingOptions
    from rzero_cli.training.grpo import lay_out_rows, train
    from rzero_cli.training.settings import Grpo, Hardware

    def reward(completions: list[Any], **columns: Any) -> list[float]:
        memory.now("resident")
        memory.begin()
        return [float(i % 2) for i in range(len(completions))]

    def on_update(metrics: dict[str, float]) -> None:
        memory.end("updates")

    plan = plan_of(case)
    rows = [{"prompt": [{"role": "user", "content": "reverse the digits of 12"}]}]
    train(
        str(folder),
        lay_out_rows(rows, plan, 0),
        reward,
        plan=plan,
        grpo=group(Grpo, weight_decay=0.0, beta=case.beta),
        hardware=group(Hardware, gradient_checkpointing=case.checkpointing, lora_r=case.lora_r),
        sampling=group(SamplingOptions, top_p=1.0),
        seed=0,
        part=folder / "out",
        batch_size=case.per_device,
        on_update=on_update,
    )


def looped(case: Case, folder: Path, memory: Memory) -> None:
    """Score and update in a loop of our own, with autocast."""
    import torch
    from trl.trainer.utils import add_fused_lm_head

    from rzero_cli.engines.transformers import load_model

    policy, reference = (load_model(str(folder), training=True) for _ in range(2))
    memory.now("loaded", "RssAnon")
    for model in (policy, reference):
        add_fused_lm_head(model)
    if case.checkpointing:
        policy.gradient_checkpointing_enable({"use_reentrant": False})
    if case.sharded:
        shard(policy, reference)
    elif PROCESSES > 1:
        policy = torch.nn.parallel.DistributedDataParallel(policy)
    optimizer = torch.optim.AdamW(policy.parameters(), fused=True)
    ids = torch.randint(0, case.shape["vocab_size"], (case.per_device, PROMPT + case.tokens))

    def log_probs(model: Any) -> Any:
        mask = torch.ones_like(ids)
        with torch.autocast("cpu", torch.bfloat16):
            output = model(input_ids=ids, attention_mask=mask, labels=ids, fused_lm_head=True)
        return output.log_probs

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        cache = policy.eval()(input_ids=ids[:, :PROMPT], use_cache=True).past_key_values
    policy.train()
    memory.found["cache entry"] = cache.layers[0].keys.element_size()
    del cache
    for _ in range(UPDATES):
        memory.now("resident")
        memory.begin()
        with torch.no_grad():
            log_probs(reference)
        memory.end("scoring")
        for _ in range(PASSES):
            log_probs(policy).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        memory.end("updates")


def shard(policy: Any, reference: Any) -> None:
    """Shard the weights as accelerate and TRL do with our configuration `fsdp2`."""
    import torch
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model
    from torch.distributed.fsdp import MixedPrecisionPolicy
    from trl.models import prepare_fsdp

    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        reshard_after_forward=True,
        cpu_ram_efficient_loading=False,
        mixed_precision_policy=MixedPrecisionPolicy(torch.bfloat16, torch.float32, torch.float32),
    )
    accelerator: Any = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin),
        mixed_precision="bf16",
        is_main_process=False,
        device=torch.device("cpu"),
    )
    fsdp2_prepare_model(accelerator, policy)
    prepare_fsdp(reference, accelerator)


def plan_of(case: Case) -> Any:
    from rzero_cli.method.plan import make_plan

    return make_plan(
        steps=UPDATES,
        prompts=PASSES * PROCESSES,
        batch=PASSES * PROCESSES,
        group=case.per_device,
        max_tokens=case.tokens,
        per_device=case.per_device,
        processes=PROCESSES,
    )


def made(case: Case, folder: Path) -> Path:
    """Make a checkpoint; before the first training, after which only rank 0 would save it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from rzero_cli.world.tokenizer import build_tokenizer

    # No token ends a completion, so each has the maximum length.
    config = AutoConfig.for_model(**case.shape, eos_token_id=None, pad_token_id=0)
    # In 16 bits: the file of a float32 checkpoint would be mapped, and shared by all processes.
    AutoModelForCausalLM.from_config(config).bfloat16().save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    (folder / "out").mkdir()
    return folder


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Return the measured and the estimated memory."""
    from rzero_cli.engines.shapes import read_model
    from rzero_cli.training import memory as estimates

    memory = Memory()
    (looped if case.autocast else trained)(case, folder, memory)
    model = read_model(str(folder))
    layout = estimates.Layout(
        plan_of(case),
        sharded=case.sharded,
        checkpointing=case.checkpointing,
        adapter=model.adapter(case.lora_r),
        reference=case.beta > 0,
        autocast=case.autocast,
    )
    # Of TRL's buffer for a tile of logits only the pages that are used are resident.
    estimates._TILE = 4096, max(case.shape["vocab_size"], 1024)
    parts = estimates.estimate(model, layout, batch_size=case.per_device, prompt_tokens=PROMPT)
    return {
        "measured": memory.found,
        "estimated": parts,
        "host": estimates.host_estimate(model, layout, local=1),
    }


def main(cases: list[Case]) -> None:
    tiny = {"hidden_size": 32, "intermediate_size": 32, "vocab_size": 64, "num_hidden_layers": 1}
    # First small ones, so that all imports are done.
    small = [replace(case, shape=case.shape | tiny, tokens=8) for case in cases]
    with tempfile.TemporaryDirectory() as name:
        every = [*{case.autocast: case for case in small}.values(), *cases]
        folders = [made(case, Path(name) / str(number)) for number, case in enumerate(every)]
        found = [measure(case, folder) for case, folder in zip(every, folders, strict=True)]
    for number, one in enumerate(found[-len(cases) :]):
        print(json.dumps({"case": number} | one), flush=True)


if __name__ == "__main__":
    main([Case(**case) for case in json.loads(sys.argv[1])])
