"""lm-eval's view of an engine: generation for its tasks by whatever engine is open.

lm-eval hands a model strings. Here such a string is a conversation written as JSON, which keeps
the rendering (chat template, server) with the engine. A request lm-eval repeats comes back as so
many different draws: its copies become one prompt with `Sampling.n`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING

import datasets
import lm_eval.api.task
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs

from rzero_cli.engines import Completion, Engine, Sampling
from rzero_cli.errors import RzeroError

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from rzero_cli.core.prompts import Messages

__all__ = ["EngineLM", "no_loglikelihood", "quiet"]

# lm-eval's own limit where a task names none.
DEFAULT_MAX_TOKENS = 256
_KNOWN_SETTINGS = {"do_sample", "temperature", "top_p", "top_k", "max_gen_toks", "until"}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what lm-eval and its tasks print off standard output, and its notices to itself."""
    logger, bars = logging.getLogger("lm_eval"), lm_eval.api.task.tqdm
    level, data_bars = logger.level, not datasets.are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    lm_eval.api.task.tqdm = partial(bars, disable=True)  # building prompts takes no time
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logger.setLevel(level)
        lm_eval.api.task.tqdm = bars
        if data_bars:
            datasets.enable_progress_bars()


class EngineLM(LM):  # type: ignore[misc] # lm-eval has no types
    """An engine as an lm-eval model; it generates and gives no log-likelihoods.

    Args:
        engine: an open engine.
        seed: of all draws.
        hear: called with each finished request of lm-eval's and its completions, in the order of
            generation.
        done: what `hear` was given in an interrupted run of the same requests; not drawn again.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        seed: int,
        hear: Callable[[Instance, list[Completion]], None] | None = None,
        done: Iterable[list[Completion]] = (),
    ) -> None:
        super().__init__()
        self.engine, self.seed, self.hear = engine, seed, hear
        self.done = iter(done)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Complete requests whose contexts `apply_chat_template` made.

        Returns:
            One text per request, ended by its stop strings.

        Raises:
            RzeroError: a request asks for a generation setting engines do not have.
        """
        repeats = [list(copies) for _, copies in groupby(requests, key=id)]
        batches: dict[Sampling, list[int]] = {}
        for i, copies in enumerate(repeats):
            batches.setdefault(self._settings(copies[0], len(copies)), []).append(i)
        texts: list[list[str]] = [[] for _ in repeats]
        for sampling, places in batches.items():
            requested = [repeats[i][0] for i in places]
            for i, completions in zip(places, self._complete(requested, sampling), strict=True):
                # Greedy answers do not differ, so one is drawn for all repeats.
                drawn = [completion.text for completion in completions]
                texts[i] = drawn * (len(repeats[i]) // sampling.n)
        return [text for drawn in texts for text in drawn]

    def _complete(self, requests: list[Instance], sampling: Sampling) -> Iterator[list[Completion]]:
        prompts = (json.loads(request.args[0]) for request in requests)
        known = list(islice(self.done, len(requests)))
        new = self.engine.generate(prompts, sampling, start=len(known))
        for request, completions in zip(requests, chain(known, new), strict=True):
            if self.hear is not None:
                self.hear(request, completions)
            yield completions

    def _settings(self, request: Instance, repeats: int) -> Sampling:
        settings = normalize_gen_kwargs(request.args[1], DEFAULT_MAX_TOKENS)
        if unknown := sorted(set(settings) - _KNOWN_SETTINGS):
            raise RzeroError(
                f"task {request.task_name} sets {', '.join(unknown)}, which this engine cannot do"
            )
        temperature = settings.get("temperature", 1.0) if settings["do_sample"] else 0.0
        return Sampling(
            n=repeats if temperature > 0 else 1,
            temperature=temperature,
            top_p=settings.get("top_p", 1.0),
            top_k=max(0, settings.get("top_k", 0)),
            max_tokens=settings["max_gen_toks"],
            seed=self.seed,
            stop=tuple(stop for stop in settings["until"] if stop),
        )

    def apply_chat_template(
        self, chat_history: Messages, add_generation_prompt: bool = True
    ) -> str:
        """A conversation as JSON, which the engine renders.

        Raises:
            RzeroError: the task begins the answer itself; engines cannot go on from there.
        """
        if not add_generation_prompt:
            raise RzeroError("the task begins the model's answer, which this engine cannot do")
        return json.dumps(chat_history)

    @property
    def tokenizer_name(self) -> str:
        """Names lm-eval's request cache, which is not used."""
        return ""

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Raise RzeroError: engines generate and do not score."""
        raise no_loglikelihood(str(requests[0].task_name))

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Raise RzeroError: engines generate and do not score."""
        raise no_loglikelihood(str(requests[0].task_name))


def no_loglikelihood(task: str) -> RzeroError:
    """The error of a task that cannot be served by generating."""
    return RzeroError(
        f"task {task} needs log-likelihoods, which this engine does not give: "
        "use --engine transformers"
    )
