"""`rzero` that records what each rank's vLLM engine answers; run with torchrun."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rzero_cli import cli
from rzero_cli.engines import Completed, K, Prompts
from rzero_cli.engines.vllm import VllmEngine

complete = VllmEngine.complete


def recorded(self: VllmEngine, prompts: Prompts[K], *settings: Any, **more: Any) -> Completed[K]:
    results = list(complete(self, prompts, *settings, **more))
    rank, places = os.environ["RANK"], os.environ["LOCAL_WORLD_SIZE"]
    record = {"answers": [len(answers) for _, answers in results], "local_world_size": places}
    Path(f"rank-{rank}.json").write_text(json.dumps(record))
    yield from results


if __name__ == "__main__":
    VllmEngine.complete = recorded  # type: ignore[method-assign, assignment]
    cli.main()
