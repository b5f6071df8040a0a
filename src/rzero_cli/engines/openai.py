"""The openai engine: any server that speaks OpenAI's protocol.

One or more of `vllm serve`, sglang, llama.cpp or a hosted API. Conversations are sent to chat
completions, raw prompts to completions. A question and its n completions are one request, or
several if the server returns fewer choices at a time. Each request has its own seed, so completions
differ, and a run is as reproducible as the server.

The official client retries transient errors (429, 5xx, a lost connection). If an endpoint keeps
failing (`endpoints.py`), its requests go to another one, or wait for it. Nothing is lost: after
`PATIENCE` seconds without an answer the run ends, and `--resume` continues it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from typing import Any

import openai

from rzero_cli.engines import (
    Completed,
    Completion,
    Engine,
    K,
    Keep,
    Prompts,
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
    error_line,
    pause,
)
from rzero_cli.engines.in_flight import EventLoop, as_they_finish
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.prompts import Prompt
from rzero_cli.system.secrets import redact

DEFAULT_BATCH_SIZE = 256
"""Completions in flight at each endpoint: what `vllm serve` runs at a time on most machines."""
# Prompts read ahead, in multiples of what fills all endpoints, so that a slow one blocks nothing.
_FULL = 8
_TIMEOUT = 1800.0
# Failures of one request after which it may be the cause; most are an endpoint that went down.
_TRIES = 8
# Rejections, without any answer, after which the settings must be wrong.
_HOPELESS = 16
# Replies with identical choices after which one choice at a time is requested from an endpoint.
_IDENTICAL = 8
# vLLM's request field for how many of a prompt's last tokens to use.
_CUT_TO = "truncate_prompt_tokens"
_TOO_LONG = ("context length", "context_length", "context size", "too long", "max_model_len")


class OpenAIEngine(Engine):
    """A model behind one or more endpoints.

    The key is read from the environment variable OPENAI_API_KEY only.

    Args:
        model: its name on the server; None if the server has only one.
        endpoints: base URLs, such as `http://127.0.0.1:8000/v1`.
        batch_size: completions in flight at each endpoint; None is `DEFAULT_BATCH_SIZE`.
        template_args: arguments of the chat template (`chat_template_kwargs`, which vLLM, sglang
            and llama.cpp support).
        arguments: additional fields of each request; None removes a default field. `timeout` is
            the timeout of a request in seconds.
        notify: called with a line when an endpoint is set aside or back.

    Raises:
        UsageError: an endpoint does not have the model, or `timeout` is not a positive number.
        RzeroError: no server answers, or one rejects the key.
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
            raise UsageError(f"--engine-arg timeout={timeout}: must be a number of seconds above 0")
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
        prompts: Prompts[K],
        sampling: Sampling,
        *,
        done: Collection[int] = (),
        keep: Keep | None = None,
    ) -> Completed[K]:
        """Complete prompts; see `Engine.complete`.

        A prompt that exceeds the model's context gets empty, truncated completions. If it is raw
        and the server reports its context length (vLLM), it is truncated on the left instead.

        Raises:
            RzeroError: no endpoint answers for `PATIENCE` seconds, or a request keeps failing or is
                rejected.
        """
        n = sampling.n if sampling.temperature else 1  # greedy completions are identical

        def start(number: int, prompt: Prompt) -> Future[list[Completion]]:
            return self._loop.submit(self._sample(number, prompt, sampling, 0, n))

        capacity = len(self._endpoints.all) * max(1, self._batch_size // n)
        first_run = not done
        times, window = sampling.n // n, _FULL * capacity
        yield from as_they_finish(prompts, start, window=window, times=times, done=done, keep=keep)
        if self._refused and first_run and not self._answered:
            raise RzeroError(
                f"{self._endpoints.all[0].url}: all of these prompts exceed the model's context"
            )

    async def _sample(
        self, number: int, prompt: Prompt, sampling: Sampling, first: int, wanted: int
    ) -> list[Completion]:
        """Sample completions `first` to `first + wanted` of a prompt, in one or more requests."""
        sampled = await self._request(number, prompt, sampling, first, wanted)
        most, end = len(sampled), first + wanted
        rest = [
            self._sample(number, prompt, sampling, at, min(most, end - at))
            for at in range(first + most, end, most)
        ]
        return sampled + [c for more in await asyncio.gather(*rest) for c in more]

    async def _request(
        self, number: int, prompt: Prompt, sampling: Sampling, first: int, wanted: int
    ) -> list[Completion]:
        """Send one request until an endpoint has answered it; return up to `wanted` completions."""
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
                if sampled := _completions(response, n, raw):
                    self._answered += 1
                    self._endpoints.answered()
                    endpoint.most = len(sampled) if len(sampled) < n else endpoint.most
                    return self._without_copies(endpoint, sampled)
                failure = "a reply without choices"
            except openai.RateLimitError as error:
                failure = error_line(error)
                if error.code == "insufficient_quota":  # waiting does not help
                    raise RzeroError(f"{endpoint.url}: {failure}") from error
                if self._endpoints.patient():  # other requests are being answered
                    failures -= 1
            except (openai.APIConnectionError, openai.InternalServerError) as error:
                failure = error_line(error)
                self._endpoints.set_aside(endpoint, failure)
            except openai.APIStatusError as error:
                if _too_long(error) and raw and self._cut_on_the_left(endpoint, body):
                    continue
                if _too_long(error) and not raw and "max_tokens" in body:
                    del body["max_tokens"]  # the server uses the room that is left
                    continue
                if raw and error.status_code in (404, 405):
                    raise RzeroError(
                        f"{endpoint.url}: this server accepts chats only: use chat prompts "
                        f"({error_line(error)})"
                    ) from error
                return self._refuse(endpoint, error, wanted)
            except GIBBERISH:
                failure = NOT_OURS
            finally:
                self._endpoints.release(endpoint, n)
            if failures == _TRIES:
                raise RzeroError(
                    f"{endpoint.url}: a request failed {_TRIES} times, last with: {failure}; "
                    "finished records are kept, continue with --resume"
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
        """Have the server truncate a raw prompt that is too long; return False if it cannot."""
        if not endpoint.context or "max_tokens" not in body or _CUT_TO in body:
            return False
        body[_CUT_TO] = room_for_prompt(endpoint.context, body["max_tokens"])
        self._notify_once(CUT)
        return True

    def _without_copies(self, endpoint: Endpoint, sampled: list[Completion]) -> list[Completion]:
        """Count identical choices as one, until the endpoint has once returned different ones: some
        servers return one sample n times."""
        if endpoint.identical is None or len(sampled) == 1:
            return sampled
        if len({completion.text for completion in sampled}) > 1:
            endpoint.identical = None
            return sampled
        endpoint.identical += 1
        if endpoint.identical == _IDENTICAL:
            endpoint.most = 1
            self._notify(
                f"{endpoint.url}: all choices of each request are identical; requesting one at a "
                "time"
            )
        return sampled[:1]

    def _refuse(
        self, endpoint: Endpoint, error: openai.APIStatusError, wanted: int
    ) -> list[Completion]:
        """Return empty completions for a prompt that exceeds the context.

        Raises:
            RzeroError: the request was rejected for another reason, or `_HOPELESS` prompts exceed
                the context and none was answered.
        """
        message = error_line(error)
        if error.status_code in (401, 403):
            raise RzeroError(f"{endpoint.url}: {message}: {KEY}") from error
        too_long = _too_long(error)
        if too_long and not self._refused:
            self._notify(
                f"{endpoint.url}: {message}: prompts that exceed the context get empty answers"
            )
        self._refused += 1
        if not too_long or (not self._answered and self._refused >= _HOPELESS):
            raise RzeroError(
                f"{endpoint.url}: rejected a request: {message} (--engine-arg FIELD=null removes "
                "a field)"
            ) from error
        return [Completion("", 0, truncated=True)] * wanted


def _completions(response: Any, n: int, raw: bool) -> list[Completion]:
    """Return the choices of a response, its total token count divided evenly among them."""
    choices = (response.choices or [])[:n]
    total = response.usage.completion_tokens if response.usage else 0
    each, more = divmod(total, max(1, len(choices)))
    return [
        Completion(
            redact((choice.text if raw else choice.message.content) or ""),
            each + (i < more),
            truncated=choice.finish_reason == "length",
        )
        for i, choice in enumerate(choices)
    ]


def _too_long(error: openai.APIStatusError) -> bool:
    return any(words in error_line(error).lower() for words in _TOO_LONG)
