"""Settings and hooks of TRL's vLLM engines for which TRL has no argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rzero_cli.engines import derived_seed
from rzero_cli.engines.chat import PLAIN_STOPS


def vllm_stops(tokenizer: Any, ends: Sequence[int]) -> dict[str, Any]:
    """Return vLLM's sampling arguments that end a rollout: the tokens `ends`, and without a chat
    template `PLAIN_STOPS`, as `cut_at_stop` does for transformers."""
    stops: dict[str, Any] = {"stop_token_ids": list(ends)}
    if not tokenizer.chat_template:
        stops |= {"stop": list(PLAIN_STOPS), "include_stop_str_in_output": True}
    return stops


@contextmanager
def seeded_engine(mode: str, seed: int) -> Iterator[None]:
    """Give the vLLM engines that TRL creates seeds of this run.

    TRL seeds them by rank alone, so that every run would start with the same rollouts. It has no
    argument for it, and a seed per request would repeat the rollouts of a repeated prompt.
    """
    if mode != "colocate":
        yield
        return
    from trl.generation import vllm_generation

    engine = vllm_generation.LLM

    def of_this_run(*, seed: int, **options: Any) -> Any:
        return engine(seed=derived_seed(run, seed) % 2**32, **options)

    run, vllm_generation.LLM = seed, of_this_run
    try:
        yield
    finally:
        vllm_generation.LLM = engine


def tell_finished(llm: Any, tell: Callable[[list[list[int]]], None]) -> None:
    """Have `tell` called with the tokens of texts as a vLLM `LLM` finishes them."""
    engine = llm.llm_engine
    step = engine.step

    def step_and_tell() -> Any:
        outputs = step()
        if finished := [list(one.outputs[0].token_ids) for one in outputs if one.finished]:
            tell(finished)
        return outputs

    engine.step = step_and_tell
