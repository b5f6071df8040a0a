"""Load balancing and health checks for the servers behind the openai engine.

A request goes to the least busy endpoint. An endpoint that fails is set aside until it lists its
models again. A run ends after `PATIENCE` seconds without a working endpoint.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

import openai

from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.system.secrets import redact

PATIENCE = 900.0
"""Seconds without any working endpoint after which a run ends."""
GIBBERISH = (AttributeError, TypeError, ValueError)
"""Errors that a reply outside the protocol causes in the client and here."""
NOT_OURS = "the server does not speak OpenAI's protocol"
KEY = "set OPENAI_API_KEY to a key that the server accepts"
_LONGEST_PAUSE = 20.0


@dataclass(slots=True)
class Endpoint:
    """The state of one server."""

    url: str
    client: openai.AsyncOpenAI
    busy: int = 0
    """Completions in flight."""
    most: int = 1 << 30
    """Choices it returns per request, as far as known."""
    identical: int | None = 0
    """Replies in which all choices were identical; None once a reply had different ones."""
    context: int | None = None
    """The model's context length in tokens, if the server reports it."""
    down: bool = False
    probe: asyncio.Task[None] | None = field(default=None, repr=False)


class Endpoints:
    """One or more servers that share the load.

    Args:
        urls: their base URLs, such as `http://127.0.0.1:8000/v1`.
        most_busy: limit of completions in flight at each.
        timeout: of a request, in seconds.
        notify: called with a line when an endpoint is set aside or back.
    """

    def __init__(
        self, urls: Sequence[str], *, most_busy: int, timeout: float, notify: Callable[[str], None]
    ) -> None:
        key = os.environ.get("OPENAI_API_KEY") or "none"
        self.all = [
            Endpoint(url, openai.AsyncOpenAI(base_url=url, api_key=key, timeout=timeout))
            for url in urls
        ]
        self._most_busy = most_busy
        self._notify = notify
        self._alive_at = time.monotonic()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._given_up = ""

    def answered(self) -> None:
        """Record that an endpoint has just answered."""
        self._alive_at = time.monotonic()

    def patient(self) -> bool:
        """Return whether an endpoint has worked within the last `PATIENCE` seconds."""
        return time.monotonic() - self._alive_at < PATIENCE

    async def choose(self, wanted: int) -> tuple[Endpoint, int]:
        """Return the least busy working endpoint and how many completions to request from it.

        Waits in line while all are full or down.

        Raises:
            RzeroError: no endpoint has worked for `PATIENCE` seconds.
        """
        while not (free := self._free()):
            if self._given_up:
                raise RzeroError(self._given_up)
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        endpoint = min(free, key=lambda endpoint: endpoint.busy)
        n = min(wanted, endpoint.most)
        endpoint.busy += n
        self._wake()
        return endpoint, n

    def release(self, endpoint: Endpoint, n: int) -> None:
        """Record that `n` completions are no longer in flight at an endpoint."""
        endpoint.busy -= n
        self._wake()

    def _free(self) -> list[Endpoint]:
        return [e for e in self.all if not e.down and e.busy < self._most_busy]

    def _wake(self) -> None:
        """Wake the next request in line if there is room; it wakes the one after it."""
        while self._waiting and (self._free() or self._given_up):
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                if not self._given_up:
                    return

    def set_aside(self, endpoint: Endpoint, failure: str) -> None:
        """Send nothing to an endpoint until it answers again; `failure` is the reported reason."""
        if not endpoint.down:
            endpoint.down = True
            self._notify(f"{endpoint.url}: {failure}; set aside until it is back")
            endpoint.probe = asyncio.get_running_loop().create_task(self._await_return(endpoint))

    async def _await_return(self, endpoint: Endpoint) -> None:
        """Poll an endpoint until it is back, or until `PATIENCE` has run out for all of them."""
        client = endpoint.client.with_options(max_retries=0, timeout=10)
        for attempt in count():
            await pause(attempt)
            if await _answers(client):
                break
            if all(e.down for e in self.all):
                if not self.patient():
                    self._given_up = (
                        f"{', '.join(e.url for e in self.all)}: no answer for "
                        f"{PATIENCE / 60:.0f} minutes; finished records are kept, continue with "
                        "--resume"
                    )
                    self._wake()
                    return
            else:
                self.answered()
        self._notify(f"{endpoint.url}: back")
        endpoint.down = False
        self._wake()

    async def find(self, wanted: str | None) -> str:
        """Return the model's name after asking each endpoint for the models it serves.

        Args:
            wanted: the model's name; None if the server has only one.

        Raises:
            UsageError: an endpoint lacks the model, or the name is missing and not unique.
            RzeroError: no server answers, or one rejects the key.
        """
        lists = await asyncio.gather(*map(_served, self.all))
        if lists.count(None) == len(lists):
            raise RzeroError(
                f"{', '.join(e.url for e in self.all)}: no server answers there; start one "
                "(vllm serve MODEL), or correct --endpoint"
            )
        model = wanted
        if model is None:
            listed = next((list(served) for served in lists if served), [])
            if not listed:
                raise UsageError("name the model: the server does not list any")
            if len(listed) != 1:
                raise UsageError(f"name the model; the server has {', '.join(listed[:8])}")
            model = listed[0]
        for endpoint, served in zip(self.all, lists, strict=True):
            if served is None:
                self.set_aside(endpoint, "no answer")
                continue
            if served and model not in served:
                raise UsageError(
                    f"{endpoint.url} has no model {model}; it has {', '.join(list(served)[:8])}"
                )
            endpoint.context = served.get(model)
        return model


async def _answers(client: openai.AsyncOpenAI) -> bool:
    """Return whether a server is up, whatever its reply."""
    try:
        await client.models.list()
    except openai.APIStatusError as error:
        return error.status_code < 500
    except (openai.APIError, *GIBBERISH):
        return False
    return True


async def _served(endpoint: Endpoint) -> dict[str, int | None] | None:
    """Return the models of an endpoint, with context lengths in tokens where it reports them.

    Empty if it lists none, None if it does not answer.

    Raises:
        RzeroError: it rejects the key, has no such path, or does not speak the protocol.
    """
    try:
        listed = await endpoint.client.with_options(timeout=20).models.list()
        return {model.id: (model.model_extra or {}).get("max_model_len") for model in listed.data}
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise RzeroError(f"{endpoint.url}: {error_line(error)}: {KEY}") from error
    except (openai.APIConnectionError, openai.InternalServerError):
        return None
    except openai.NotFoundError as error:
        hint = "" if endpoint.url.rstrip("/").endswith("/v1") else "; most URLs end with /v1"
        raise RzeroError(f"{endpoint.url}: not found (404){hint}") from error
    except openai.APIError:
        return {}
    except GIBBERISH as error:
        raise RzeroError(f"{endpoint.url}: {NOT_OURS}") from error


def error_line(error: openai.APIError) -> str:
    """Return a server's error message in one line without secrets."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error")
    text = body.get("message") or (inner.get("message") if isinstance(inner, dict) else inner)
    status = getattr(error, "status_code", None)
    # Redact before truncating, or a part of a key could remain.
    line = " ".join(redact(str(text or error.message)).split())[:300]
    return f"{line} ({status})" if status else line


async def pause(attempt: int) -> None:
    """Wait before the next try."""
    await asyncio.sleep(_seconds(attempt))


def _seconds(attempt: int) -> float:
    """Return the seconds before the next try: exponential backoff with jitter."""
    return float(min(_LONGEST_PAUSE, 0.5 * 2 ** min(attempt, 10)) * random.uniform(0.75, 1.25))
