"""lm-eval's view of an engine: the one way from its tasks to whatever engine is open.

lm-eval hands a model strings. A raw prompt goes to the engine as it is; a conversation comes as
JSON, which keeps the rendering (chat template, server) with the engine. A request lm-eval repeats
comes back as so many different draws: its copies become one prompt with `Sampling.n`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import datasets
import lm_eval.api.task
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs

from rzero_cli.engines import Engine, Sampling, chat
from rzero_cli.errors import RzeroError
from rzero_cli.evaluation.requests import Answers, Request, Spent
from rzero_cli.evaluation.scores import Answered

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from rzero_cli.method.prompts import Messages, Prompt

# lm-eval's own limit where a task names none.
DEFAULT_MAX_TOKENS = 256
_KNOWN_SETTINGS = {"do_sample", "temperature", "top_p", "top_k", "max_gen_toks", "until"}
_SCORED_AT_ONCE = 256
"""Log-likelihoods between two entries in the journal."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what lm-eval and its tasks print off standard output, and its notices to itself."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets")]
    levels, data_bars = [one.level for one in loggers], not datasets.are_progress_bars_disabled()
    for logger, level in zip(loggers, (logging.ERROR, logging.CRITICAL), strict=True):
        logger.setLevel(level)
    datasets.disable_progress_bars()
    try:
        with redirect_stdout(sys.stderr), _without_bar_of_prompts():
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if data_bars:
            datasets.enable_progress_bars()


@contextmanager
def _without_bar_of_prompts() -> Iterator[None]:
    """Have lm-eval build prompts without a bar: they take no time, and no argument turns it off."""
    bar = lm_eval.api.task.tqdm
    lm_eval.api.task.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        lm_eval.api.task.tqdm = bar


class EngineLM(LM):  # type: ignore[misc] # lm-eval has no types
    """An engine as an lm-eval model.

    Generation is any engine's; log-likelihoods are those of lm-eval's `HFLM` on the model that the
    transformers engine has loaded.

    Args:
        engine: an open engine.
        seed: of all draws.
        chats: the contexts are JSON: messages, or a text that is to stay as it is. Otherwise they
            are raw text.
        journal: the further arguments of `Answers`.
    """

    def __init__(self, engine: Engine, *, seed: int, chats: bool = True, **journal: Any) -> None:
        super().__init__()
        self.engine, self.seed, self.chats = engine, seed, chats
        self.answers = Answers(engine, **journal)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Complete requests.

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
            requested = [
                Request(str(one.task_name), one.doc_id, self._prompt(one.args[0]))
                for one in (repeats[i][0] for i in places)
            ]
            answered = self.answers.complete(requested, sampling)
            for i, completions in zip(places, answered, strict=True):
                # Greedy answers do not differ, so one is drawn for all repeats.
                drawn = [completion.text for completion in completions]
                texts[i] = drawn * (len(repeats[i]) // sampling.n)
        return [text for drawn in texts for text in drawn]

    def _prompt(self, context: str) -> Prompt:
        return json.loads(context) if self.chats else context

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

        Where the task begins the model's answer itself, it is rendered here, and goes on from
        there as raw text.

        Raises:
            RzeroError: the engine has no tokenizer to do that with.
        """
        if add_generation_prompt:
            return json.dumps(chat_history)
        if (tokenizer := getattr(self.engine, "tokenizer", None)) is None:
            raise RzeroError("a task begins the model's answer, which a server's chats cannot do")
        return json.dumps(
            tokenizer.apply_chat_template(chat_history, tokenize=False, continue_final_message=True)
        )

    @property
    def tokenizer_name(self) -> str:
        """Names lm-eval's request cache, which is not used."""
        return ""

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """How likely each continuation is, and whether it is the greedy one.

        Raises:
            RzeroError: the engine only generates.
        """
        return [(value, bool(greedy)) for value, greedy in self._score("loglikelihood", requests)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """How likely each text is.

        Raises:
            RzeroError: the engine only generates.
        """
        return [value for (value,) in self._score("loglikelihood_rolling", requests)]

    def _score(self, method: str, requests: list[Instance]) -> Iterator[list[float]]:
        if self._hf is None:
            raise no_loglikelihood(str(requests[0].task_name))
        scorer = getattr(self._hf, method)
        asked = [Request(str(one.task_name), one.doc_id, one.args[0]) for one in requests]
        known = self.answers.earlier(asked)
        scores = {place: record["scores"] for place, record in known.items()}
        for start in range(0, len(requests), _SCORED_AT_ONCE):
            places = range(start, min(start + _SCORED_AT_ONCE, len(requests)))
            if not known.keys() >= set(places):
                # A whole block, so that what an interrupted run had of it does not change the rest.
                began = time.monotonic()
                block = [self._rendered(requests[place]) for place in places]
                values = scorer(block, disable_tqdm=True)
                seconds = (time.monotonic() - began) / len(block)
                for place, value in zip(places, values, strict=True):
                    spent = self.answers.spent.setdefault(asked[place].task, Spent())
                    spent.seconds += seconds
                    if place not in known:
                        scores[place] = list(value) if isinstance(value, tuple) else [value]
                        self.answers.tell(place, asked[place], scores=scores[place])
            for place in places:
                if self.answers.on_progress is not None:
                    self.answers.on_progress(Answered(1, 0, None, earlier=place in known))
                yield scores[place]

    def _rendered(self, request: Instance) -> Instance:
        """The request as `HFLM` wants it: its context as text."""
        if not self.chats or len(request.args) < 2:
            return request
        prompt = self._prompt(request.args[0])
        text = prompt if isinstance(prompt, str) else chat.render(self._hf.tokenizer, prompt)
        return replace(request, arguments=(text, *request.args[1:]))

    @cached_property
    def _hf(self) -> Any:
        from rzero_cli.engines.transformers import TransformersEngine

        if not isinstance(self.engine, TransformersEngine):
            return None
        from lm_eval.models.huggingface import HFLM

        engine = self.engine
        with quiet():
            return HFLM(
                pretrained=engine.model,
                tokenizer=engine.tokenizer,
                batch_size=engine.batch_size,
                trust_remote_code=False,
            )


def no_loglikelihood(task: str) -> RzeroError:
    """The error of a task that cannot be served by generating."""
    return RzeroError(
        f"task {task} needs log-likelihoods, which this engine does not give: "
        "use --engine transformers"
    )
