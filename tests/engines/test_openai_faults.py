"""The openai engine with failing servers."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from helpers.boxed_answers import EXPECTED, PROMPTS, boxed, complete, texts

pytest.importorskip("openai")

from helpers.scripted_server import Body, Reply, ScriptedServer, error, question
from rzero_cli.engines import Completion, Sampling, open_engine
from rzero_cli.engines import endpoints as endpoints_module
from rzero_cli.errors import RzeroError, UsageError


@pytest.mark.parametrize(
    ("status", "raw"), [(429, False), (500, False), (503, False), (0, False), (503, True)]
)
def test_transient_failures_are_retried(
    status: int, raw: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints_module, "_seconds", lambda attempt: 0.01)
    failures = Counter[str]()

    def answer(body: Body) -> Reply:
        failures[question(body)] += 1
        # More often than the client retries; 429 more often than other failures are tolerated.
        if failures[question(body)] <= (30 if status == 429 else 4):
            return status, error("busy"), {"retry-after-ms": "1"}
        return boxed(body)

    with ScriptedServer(answer) as server:
        prompts = [str(n) for n in range(6)] if raw else PROMPTS[:6]
        assert texts(complete(server, prompts=prompts)) == EXPECTED[:6]


def test_request_that_always_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints_module, "_seconds", lambda attempt: 0.01)

    def answer(body: Body) -> Reply:
        if question(body) == "3":
            return 500, error("this question kills me"), {"retry-after-ms": "1"}
        return boxed(body)

    done = []
    with (
        ScriptedServer(answer) as server,
        open_engine("openai", "m", endpoints=[server.url]) as engine,
        pytest.raises(RzeroError, match=r"failed 8 times, last with: this question kills me"),
    ):
        for completions in engine.generate(PROMPTS, Sampling(n=2)):
            done.append(completions)
    assert texts(done) == EXPECTED[:3]


def test_requests_go_to_the_least_busy_server() -> None:
    def slow(body: Body) -> Reply:
        time.sleep(0.2)
        return boxed(body)

    with ScriptedServer(boxed) as quick, ScriptedServer(slow) as sluggish:
        assert texts(complete(quick, sluggish, batch_size=4)) == EXPECTED
        assert len(quick.requests) > 2 * len(sluggish.requests) > 0


def test_requests_of_a_dead_endpoint_go_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoints_module, "_seconds", lambda attempt: 0.2)
    notices: list[str] = []
    count = 0

    def dying(body: Body) -> Reply:
        nonlocal count
        count += 1
        if count > 5:
            mortal.models = 503, error("gone")
            return 503, error("gone"), {"retry-after-ms": "1"}
        return boxed(body)

    with ScriptedServer(boxed) as other, ScriptedServer(dying) as mortal:
        options = {"batch_size": 4, "notify": notices.append}
        assert texts(complete(mortal, other, **options)) == EXPECTED
    assert len(other.requests) >= 30
    assert notices == [f"{mortal.url}: gone (503); set aside until it is back"]


def test_server_that_comes_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints_module, "_seconds", lambda attempt: 0.05)
    notices: list[str] = []
    gone = threading.Event()

    def answer(body: Body) -> Reply:
        if len(server.requests) > 10 and not gone.is_set():
            alive, server.models = server.models, (503, error("restarting"))
            gone.set()
            threading.Timer(1, lambda: setattr(server, "models", alive)).start()
        if server.models[0] == 503:
            return 503, error("restarting"), {"retry-after-ms": "1"}
        return boxed(body)

    with ScriptedServer(answer) as server:
        assert texts(complete(server, batch_size=4, notify=notices.append)) == EXPECTED
    assert notices[0].endswith("restarting (503); set aside until it is back")
    assert notices[1] == f"{server.url}: back"


def test_server_that_stays_down_ends_the_run_after_finished_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoints_module, "PATIENCE", 0.5)
    monkeypatch.setattr(endpoints_module, "_seconds", lambda attempt: 0.05)

    def answer(body: Body) -> Reply:
        if int(question(body)) >= 8:
            server.models = 503, error("gone")
            return 503, error("gone"), {"retry-after-ms": "1"}
        return boxed(body)

    done = []
    with (
        ScriptedServer(answer) as server,
        open_engine("openai", "m", endpoints=[server.url], batch_size=2) as engine,
        pytest.raises(RzeroError, match=r"no answer for .* finished records are kept"),
    ):
        for completions in engine.generate(PROMPTS, Sampling(n=2)):
            done.append(completions)
    assert texts(done) == EXPECTED[:8]


def test_prompt_longer_than_the_context_gets_empty_answers() -> None:
    def answer(body: Body) -> Reply:
        if question(body) == "1":
            return 400, error("This model's maximum context length is 64 tokens.")
        return boxed(body)

    notices: list[str] = []
    with ScriptedServer(answer) as server:
        results = complete(server, prompts=PROMPTS[:3], notify=notices.append)
        server.models = 200, {"object": "list", "data": []}
        with pytest.raises(UsageError, match="name the model: the server does not list any"):
            complete(server)
        with pytest.raises(UsageError, match="timeout=soon: must be a number of seconds"):
            complete(server, arguments={"timeout": "soon"})
    assert len(notices) == 1
    assert notices[0].endswith(
        "64 tokens. (400): prompts that exceed the context get empty answers"
    )
    assert results[1] == [Completion("", 0, True)] * 2
    assert texts(results)[::2] == EXPECTED[:3:2]


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens=4096 cannot be greater than max_model_len=64.",
        "'max_tokens' is too large: 4096. This model's maximum context length is 64 tokens.",
    ],
)
def test_max_tokens_is_left_to_the_server_when_the_context_is_short(message: str) -> None:
    def answer(body: Body) -> Reply:
        return (400, error(message)) if "max_tokens" in body else boxed(body)

    with ScriptedServer(answer) as server:
        assert texts(complete(server, sampling=Sampling(n=2, max_tokens=4096))) == EXPECTED


def test_a_few_prompts_that_all_exceed_the_context_are_an_error() -> None:
    def answer(body: Body) -> Reply:
        return 400, error("This model's maximum context length is 64 tokens.")

    with (
        ScriptedServer(answer) as server,
        pytest.raises(RzeroError, match="all of these prompts exceed the model's context"),
    ):
        complete(server, prompts=PROMPTS[:3])


def test_proxy_page_does_not_count_as_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a server starts, its proxy may answer."""
    monkeypatch.setattr(endpoints_module, "_seconds", lambda attempt: 0.05)
    starting = threading.Event()

    def answer(body: Body) -> Reply:
        if len(server.requests) > 10 and not starting.is_set():
            alive, server.models = server.models, (200, "starting")
            starting.set()
            threading.Timer(1, lambda: setattr(server, "models", alive)).start()
        if server.models[1] == "starting":
            return 503, error("starting"), {"retry-after-ms": "1"}
        return boxed(body)

    with ScriptedServer(answer) as server:
        assert texts(complete(server, batch_size=4)) == EXPECTED


def test_many_prompts_that_all_exceed_the_context_are_an_error() -> None:
    def answer(body: Body) -> Reply:
        return 400, error("This model's maximum context length is 64 tokens.")

    with (
        ScriptedServer(answer) as server,
        pytest.raises(RzeroError, match=r"rejected a request: This model's maximum context length"),
    ):
        complete(server)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((400, error("Unrecognized request argument: top_k")), "top_k.*FIELD=null removes"),
        ((404, error("The model `m` is not loaded")), "not loaded"),
        ((401, error("Incorrect API key")), "Incorrect API key .401.: set OPENAI_API_KEY"),
        ((429, error("You are out of money", "insufficient_quota")), "out of money"),
        ((200, {"choices": []}), "failed 8 times, last with: a reply without choices"),
        ((200, {}), "failed 8 times"),
        ((200, "hello"), "failed 8 times, last with: the server does not speak"),
    ],
)
def test_permanent_failures_are_reported_at_once(
    reply: Reply, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints_module, "_seconds", lambda attempt: 0.0)
    with (
        ScriptedServer(lambda body: reply) as server,
        pytest.raises(RzeroError, match=message) as got,
    ):
        complete(server)
    assert "\n" not in str(got.value)


def test_server_down_from_the_start_is_skipped() -> None:
    notices: list[str] = []
    with ScriptedServer(boxed) as server:
        urls = ["http://127.0.0.1:1/v1", server.url]
        with open_engine("auto", None, endpoints=urls, notify=notices.append) as engine:
            assert texts(list(engine.generate(PROMPTS, Sampling(n=2)))) == EXPECTED
    assert notices == ["http://127.0.0.1:1/v1: no answer; set aside until it is back"]
