"""Seeds of the copies of a model in vLLM; vLLM's worker processes import this module.

vLLM gives all copies (data parallelism) one seed. Without seeds of their own, each would sample the
same questions, and the same answers to one question.
"""

from __future__ import annotations

from typing import Any

from vllm.platforms import current_platform
from vllm.utils.torch_utils import set_random_seed

from rzero_cli.engines import derived_seed

if current_platform.is_cpu():
    from vllm.v1.worker.cpu_worker import CPUWorker as Worker
else:
    from vllm.v1.worker.gpu_worker import Worker


class SeededWorker(Worker):  # type: ignore[misc]
    """vLLM's worker, seeded by the number of its copy."""

    def compile_or_warm_up_model(self) -> Any:
        """Warm up, at the end of which vLLM sets its seed, and set the copy's seed."""
        times = super().compile_or_warm_up_model()
        copy = self.parallel_config.data_parallel_index
        set_random_seed(derived_seed(self.model_config.seed, copy) & 0x7FFFFFFF)
        return times
