"""An adapter from lm-eval's model interface to any engine.

lm-eval passes strings to a model. A raw prompt goes to the engine unchanged. A conversation is
encoded as JSON, so that the engine renders it (chat template, server). The copies of a repeated
request become one prompt with `Sampling.n`, so they are different samples.
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
from rzero_cli.system.stopwatch import GENERATING

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from rzero_cli.method.prompts import Messages, Prompt

# lm-eval's limit for tasks without one.
DEFAULT_MAX_TOKENS = 256
_KNOWN_SETTINGS = {"do_sample", "temperature", "top_p", "top_k", "max_gen_toks", "until"}
_SCORED_AT_ONCE = 256
"""Log-likelihoods computed before they are written to the journal."""


@contextmanager
def quiet() -> Iterator[None]:
    """Redirect the output of lm-eval and its tasks to standard error, and suppress its notices."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets")]
    levels, data_bars = [one.level for one in loggers], not datasets.are_progress_bars_disabled()
    for logger, level in zip(loggers, (logging.ERROR, logging.CRITICAL), strict=True):
        logger.setLevel(level)
    datasets.disable_progress_bars()
    # No option of lm-eval disables its bar for building prompts, which takes no time.
    bar = lm_eval.api.task.tqdm
    lm_eval.api.task.tqdm = partial(bar, disable=True)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        lm_eval.api.task.tqdm = bar
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if data_bars:
            datasets.enable_progress_bars()


class EngineLM(LM):  # type: ignore[misc] # lm-eval is untyped
    """An engine as an lm-eval model.

    Any engine can generate. Log-likelihoods need the transformers engine: lm-eval's `HFLM` computes
    them with the model that the engine has loaded.

    Args:
        engine: an open engine.
        seed: of all samples.
        chats: contexts are JSON, either messages or a text that stays unchanged; otherwise they are
            raw text.
        journal: other arguments of `Answers`.
    """

    def __init__(self, engine: Engine, *, seed: int, chats: bool = True, **journal: Any) -> None:
        super().__init__()
        self.engine, self.seed, self.chats = engine, seed, chats
        self.answers = Answers(engine, **journal)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Complete requests.

        Returns:
            One text per request, up to its stop strings.

        Raises:
            RzeroError: a request has a generation setting that engines do not support.
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
                # Greedy answers do not differ, so one is generated for all repeats.
                texts[i] = [c.text for c in completions] * (len(repeats[i]) // sampling.n)
        return [text for copies in texts for text in copies]

    def _prompt(self, context: str) -> Prompt:
        return json.loads(context) if self.chats else context

    def _settings(self, request: Instance, repeats: int) -> Sampling:
        settings = normalize_gen_kwargs(request.args[1], DEFAULT_MAX_TOKENS)
        if unknown := sorted(set(settings) - _KNOWN_SETTINGS):
            raise RzeroError(
                f"task {request.task_name} sets {', '.join(unknown)}, which engines do not support"
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
        """Return a conversation as JSON, which the engine renders.

        If the task starts the model's answer, the conversation is rendered here and continues as
        raw text.

        Raises:
            RzeroError: the task starts the model's answer, and the engine has no tokenizer.
        """
        if add_generation_prompt:
            return json.dumps(chat_history)
        if (tokenizer := getattr(self.engine, "tokenizer", None)) is None:
            raise RzeroError("a task starts the model's answer, which a server's chats cannot do")
        return json.dumps(
            tokenizer.apply_chat_template(chat_history, tokenize=False, continue_final_message=True)
        )

    @property
    def tokenizer_name(self) -> str:
        """The name for lm-eval's request cache, which is not used."""
        return ""

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each continuation and whether it is the greedy one.

        Raises:
            RzeroError: the engine only generates.
        """
        return [(value, bool(greedy)) for value, greedy in self._score("loglikelihood", requests)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Return the log-likelihood of each text.

        Raises:
            RzeroError: the engine only generates.
        """
        return [value for (value,) in self._score("loglikelihood_rolling", requests)]

    def _score(self, method: str, requests: list[Instance]) -> Iterator[list[float]]:
        if self._hf is None:
            raise no_loglikelihood(str(requests[0].task_name))
        scorer = getattr(self._hf, method)
        wanted = [Request(str(one.task_name), one.doc_id, one.args[0]) for one in requests]
        known = self.answers.earlier(wanted)
        scores = {place: record["scores"] for place, record in known.items()}
        for start in range(0, len(requests), _SCORED_AT_ONCE):
            places = range(start, min(start + _SCORED_AT_ONCE, len(requests)))
            if not known.keys() >= set(places):
                # A whole block, so that results do not depend on where a run was interrupted.
                started = time.monotonic()
                block = [self._rendered(requests[place]) for place in places]
                with self.answers.stopwatch.during(GENERATING):
                    values = scorer(block, disable_tqdm=True)
                seconds = (time.monotonic() - started) / len(block)
                for place, value in zip(places, values, strict=True):
                    spent = self.answers.spent.setdefault(wanted[place].task, Spent())
                    spent.seconds += seconds
                    if place not in known:
                        scores[place] = list(value) if isinstance(value, tuple) else [value]
                        self.answers.record(place, wanted[place], scores=scores[place])
            for place in places:
                if self.answers.on_progress is not None:
                    self.answers.on_progress(Answered(1, 0, None, earlier=place in known))
                yield scores[place]

    def _rendered(self, request: Instance) -> Instance:
        """Return the request for `HFLM`, with its context as text."""
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
    """Return the error for a task that needs log-likelihoods from an engine without them."""
    return RzeroError(
        f"task {task} needs log-likelihoods, which this engine does not compute: "
        "use --engine transformers"
    )
