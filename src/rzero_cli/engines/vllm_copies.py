"""Seeds of the copies of a model in vLLM; vLLM's processes import this module.

vLLM gives all copies (data parallelism) one seed. Without seeds of their own, each would sample the
same questions, and the same answers to one question.
"""

from __future__ import annotations

from typing import Any

from vllm.utils.torch_utils import set_random_seed

from rzero_cli.engines import derived_seed


class SeededCopy:
    """Extends vLLM's workers, through `worker_extension_cls`."""

    model_config: Any
    parallel_config: Any

    def seed_copy(self) -> None:
        """Seed this worker by the number of its copy."""
        seed = derived_seed(self.model_config.seed, self.parallel_config.data_parallel_index)
        set_random_seed(seed & 0x7FFFFFFF)
