"""The openai engine: any server that speaks OpenAI's protocol.

`vllm serve`, sglang, llama.cpp or a hosted API, one or several of them. A conversation is put to
chat completions, a raw prompt to completions. A question and its n completions are one request, or
as many as the server needs that gives fewer at a time. Each request has a seed of its own, so
completions differ and a run repeats as far as the server repeats itself.

The official client retries what passes (429, 5xx, a lost connection). What an endpoint that still
fails had (`endpoints.py`) is asked elsewhere, or of itself when it is back. Nothing is lost: what
cannot be had for `PATIENCE` seconds ends the run, and `--resume` goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from typing import Any

import openai

from rzero_cli.engines import (
    Asked,
    Completed,
    Completion,
    Engine,
    K,
    Keep,
    Sampling,
    derived_seed,
)
from rzero_cli.engines.chat import CUT, room_for_prompt
from rzero_cli.engines.endpoints import (
    GIBBERISH,
    KEY,
    NOT_OURS,
    Endpoint,
    Endpoints,
    pause,
    said,
)
from rzero_cli.engines.in_flight import EventLoop, as_they_finish
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.prompts import Prompt
from rzero_cli.system.secrets import redact

DEFAULT_BATCH_SIZE = 256
"""Completions in flight at each endpoint: what `vllm serve` works on at a time on most machines."""
# How far prompts are read ahead, in prompts that fill all endpoints: room for a slow one.
_FULL = 8
_TIMEOUT = 1800.0
# Failures of one request, most of them an endpoint's end, after which it may be the cause itself.
_TRIES = 8
# Refusals with nothing but refusals before them after which the settings are at fault.
_HOPELESS = 16
# Requests with nothing but copies after which an endpoint is asked for one choice at a time.
_ALIKE = 8
# vLLM's name for how many of the last tokens of a prompt to take.
_CUT_TO = "truncate_prompt_tokens"
_TOO_LONG = ("context length", "context_length", "context size", "too long", "max_model_len")


class OpenAIEngine(Engine):
    """A model behind one or several endpoints.

    Args:
        model: its name there; None takes the only one there is.
        endpoints: base URLs, such as `http://127.0.0.1:8000/v1`.
        batch_size: completions in flight at each endpoint.
        template_args: for the chat template (`chat_template_kwargs`, which vLLM, sglang and
            llama.cpp know).
        arguments: further fields of each request, null to leave one of ours out; and `timeout`, in
            seconds, of a request.
        notify: told in one line when an endpoint is set aside or comes back.

    The key is OPENAI_API_KEY of the environment, and nowhere else.

    Raises:
        UsageError: no endpoint has the model.
        RzeroError: no server answers, or it wants another key.
    """

    def __init__(
        self,
        model: str | None,
        endpoints: Sequence[str],
        *,
        batch_size: int | None = None,
        template_args: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._own = dict(arguments or {})
        timeout = self._own.pop("timeout", _TIMEOUT)
        if not isinstance(timeout, (int, float)) or not timeout > 0:
            raise UsageError(f"--engine-arg timeout={timeout}: must be seconds")
        self._batch_size = batch_size or DEFAULT_BATCH_SIZE
        self._endpoints = Endpoints(
            endpoints, most_busy=self._batch_size, timeout=timeout, notify=notify
        )
        self._for_chats = {"chat_template_kwargs": dict(template_args)} if template_args else {}
        self._notify = notify
        self._notify_once = cache(notify)
        self._answered = self._refused = 0
        self._loop = EventLoop()
        try:
            self.model = self._loop.run(self._endpoints.find(model))
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> OpenAIEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def _close(self) -> None:
        self._loop.close(*(endpoint.client.close() for endpoint in self._endpoints.all))

    def complete(
        self,
        asked: Asked[K],
        sampling: Sampling,
        *,
        done: Collection[int] = (),
        keep: Keep | None = None,
    ) -> Completed[K]:
        """Complete prompts; see `Engine.complete`.

        A prompt that the server has no room for gives empty, truncated completions; a raw one is
        cut on the left instead where the server tells how long its context is (vLLM).

        Raises:
            RzeroError: no endpoint answers for `PATIENCE` seconds, or all requests are refused.
        """
        drawn = sampling.n if sampling.temperature else 1

        def begin(number: int, prompt: Prompt) -> Future[list[Completion]]:
            return self._loop.submit(self._draw(number, prompt, sampling, 0, drawn))

        capacity = len(self._endpoints.all) * max(1, self._batch_size // drawn)
        first_run = not done
        times, window = sampling.n // drawn, _FULL * capacity
        yield from as_they_finish(asked, begin, window=window, times=times, done=done, keep=keep)
        if self._refused and first_run and not self._answered:
            raise RzeroError(f"{self._endpoints.all[0].url}: has no room for any of these prompts")

    async def _draw(
        self, number: int, prompt: Prompt, sampling: Sampling, first: int, wanted: int
    ) -> list[Completion]:
        """Completions `first` to `first + wanted` of a prompt, in as many requests as it takes."""
        drawn = await self._ask(number, prompt, sampling, first, wanted)
        most, end = len(drawn), first + wanted
        rest = [
            self._draw(number, prompt, sampling, at, min(most, end - at))
            for at in range(first + most, end, most)
        ]
        return drawn + [c for more in await asyncio.gather(*rest) for c in more]

    async def _ask(
        self, number: int, prompt: Prompt, sampling: Sampling, first: int, wanted: int
    ) -> list[Completion]:
        """One request, repeated until some endpoint has answered it."""
        body: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": derived_seed(sampling.seed, number, first) & 0x7FFFFFFF,
        }
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        raw = isinstance(prompt, str)
        body |= self._own if raw else self._for_chats | self._own
        body = {name: value for name, value in body.items() if value is not None}
        attempt = failures = 0
        while True:
            endpoint, n = await self._endpoints.choose(wanted)
            failures += 1
            try:
                response = await self._post(endpoint, prompt, body | ({"n": n} if n > 1 else {}))
                if drawn := _completions(response, n, raw):
                    self._answered += 1
                    self._endpoints.answered()
                    endpoint.most = len(drawn) if len(drawn) < n else endpoint.most
                    return self._without_copies(endpoint, drawn)
                failure = "an answer without choices"
            except openai.RateLimitError as error:
                failure = said(error)
                if error.code == "insufficient_quota":  # waiting does not help
                    raise RzeroError(f"{endpoint.url}: {failure}") from error
                if self._endpoints.patient():  # others get their answers
                    failures -= 1
            except (openai.APIConnectionError, openai.InternalServerError) as error:
                failure = said(error)
                self._endpoints.set_aside(endpoint, failure)
            except openai.APIStatusError as error:
                if _too_long(error) and raw and self._cut_on_the_left(endpoint, body):
                    continue
                if _too_long(error) and not raw and "max_tokens" in body:
                    del body["max_tokens"]  # the server knows what room is left
                    continue
                if raw and error.status_code in (404, 405):
                    raise RzeroError(
                        f"{endpoint.url}: this server takes chats only: use chat prompts "
                        f"({said(error)})"
                    ) from error
                return self._refuse(endpoint, error, wanted)
            except GIBBERISH:
                failure = NOT_OURS
            finally:
                self._endpoints.release(endpoint, n)
            if failures == _TRIES:
                raise RzeroError(
                    f"{endpoint.url}: a request failed {_TRIES} times, last with: {failure}; "
                    "finished records are kept, --resume goes on"
                )
            await pause(attempt)
            attempt += 1

    async def _post(self, endpoint: Endpoint, prompt: Prompt, body: dict[str, Any]) -> Any:
        if isinstance(prompt, str):
            return await endpoint.client.completions.create(
                model=self.model, prompt=prompt, extra_body=body
            )
        return await endpoint.client.chat.completions.create(
            model=self.model,
            messages=prompt,  # type: ignore[arg-type] # roles are the user's
            extra_body=body,
        )

    def _cut_on_the_left(self, endpoint: Endpoint, body: dict[str, Any]) -> bool:
        """Have the server cut a raw prompt that it has no room for; False if it cannot be had."""
        if not endpoint.context or "max_tokens" not in body or _CUT_TO in body:
            return False
        body[_CUT_TO] = room_for_prompt(endpoint.context, body["max_tokens"])
        self._notify_once(CUT)
        return True

    def _without_copies(self, endpoint: Endpoint, drawn: list[Completion]) -> list[Completion]:
        """Count choices that are all alike as one, until the endpoint has once given others: there
        are servers that give a single draw n times."""
        if endpoint.alike is None or len(drawn) == 1:
            return drawn
        if len({completion.text for completion in drawn}) > 1:
            endpoint.alike = None
            return drawn
        endpoint.alike += 1
        if endpoint.alike == _ALIKE:
            endpoint.most = 1
            self._notify(f"{endpoint.url}: a request's answers are alike; asked for one at a time")
        return drawn[:1]

    def _refuse(
        self, endpoint: Endpoint, error: openai.APIStatusError, wanted: int
    ) -> list[Completion]:
        """What a request that the server will never answer is worth. Raises RzeroError."""
        message = said(error)
        if error.status_code in (401, 403):
            raise RzeroError(f"{endpoint.url}: {message}: {KEY}") from error
        too_long = _too_long(error)
        if too_long and not self._refused:
            self._notify(f"{endpoint.url}: {message}: a prompt without room gets empty answers")
        self._refused += 1
        if not too_long or (not self._answered and self._refused >= _HOPELESS):
            raise RzeroError(
                f"{endpoint.url}: refused a request: {message} (--engine-arg FIELD=null leaves a "
                "field out)"
            ) from error
        return [Completion("", 0, truncated=True)] * wanted


def _completions(response: Any, n: int, raw: bool) -> list[Completion]:
    """The choices of a response. The tokens it counts as a whole are spread evenly over them."""
    choices = (response.choices or [])[:n]
    total = response.usage.completion_tokens if response.usage else 0
    share, more = divmod(total, max(1, len(choices)))
    return [
        Completion(
            redact((choice.text if raw else choice.message.content) or ""),
            share + (i < more),
            truncated=choice.finish_reason == "length",
        )
        for i, choice in enumerate(choices)
    ]


def _too_long(error: openai.APIStatusError) -> bool:
    return any(words in said(error).lower() for words in _TOO_LONG)
