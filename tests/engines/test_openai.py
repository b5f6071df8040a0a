"""The openai engine: order, load, seeds, choices, models."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest

from helpers.boxed_answers import EXPECTED, PROMPTS, boxed, complete, texts

pytest.importorskip("openai")

from helpers.scripted_server import Body, Reply, ScriptedServer, completion, error, question
from rzero_cli.engines import Completion, Sampling, open_engine
from rzero_cli.errors import RzeroError, UsageError


def test_results_keep_the_order_of_the_prompts() -> None:
    def answer(body: Body) -> Reply:
        time.sleep(0.05 if int(question(body)) % 7 == 0 else 0)
        return boxed(body)

    with ScriptedServer(answer) as server:
        assert texts(complete(server)) == EXPECTED


def test_slow_answer_does_not_block_other_requests() -> None:
    others, release = threading.Semaphore(0), threading.Event()

    def answer(body: Body) -> Reply:
        if question(body) == "0":
            release.wait(20)
        else:
            others.release()
        return boxed(body)

    with ScriptedServer(answer) as server:
        thread = threading.Thread(
            target=lambda: [others.acquire(timeout=20) for _ in range(30)] and release.set()
        )
        thread.start()
        assert texts(complete(server, batch_size=8)) == EXPECTED
        thread.join()
        assert release.is_set()


def test_open_requests_are_limited_by_batch_size() -> None:
    def answer(body: Body) -> Reply:
        time.sleep(0.05)
        return boxed(body)

    with ScriptedServer(answer) as server:
        complete(server, batch_size=8, sampling=Sampling(n=2))
        assert server.most_at_once == 4  # 8 completions, two a request


def test_prompts_are_read_with_bounded_lookahead() -> None:
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield PROMPTS[read % 40]

    with (
        ScriptedServer(boxed) as server,
        open_engine("openai", "m", endpoints=[server.url], batch_size=4) as engine,
    ):
        results = engine.generate(endless(), Sampling(n=2))
        for _ in range(50):
            next(results)
        assert 50 <= read <= 50 + 8 * 2 + 1
        results.close()


def test_done_prompts_are_not_requested() -> None:
    with (
        ScriptedServer(boxed) as server,
        open_engine("openai", "m", endpoints=[server.url]) as engine,
    ):
        done = {*range(5, 30), 39}
        results = dict(engine.complete(enumerate(PROMPTS), Sampling(n=2), done=done))
        rest = sorted(set(range(40)) - done)
        assert sorted(results) == rest
        assert texts([results[number] for number in rest]) == [EXPECTED[n] for n in rest]
        assert len(server.requests) == len(rest)


def test_finished_result_comes_out_before_a_slow_one() -> None:
    others = threading.Event()

    def answer(body: Body) -> Reply:
        if question(body) == "0":
            assert others.wait(20), "the others wait for the first"
        return boxed(body)

    with (
        ScriptedServer(answer) as server,
        open_engine("openai", "m", endpoints=[server.url], batch_size=80) as engine,
    ):
        numbers = []
        for number, _ in engine.complete(enumerate(PROMPTS), Sampling(n=2)):
            numbers.append(number)
            if len(numbers) == 39:
                others.set()
    assert numbers[-1] == 0
    assert sorted(numbers) == list(range(40))


def test_failed_request_ends_the_run_after_finished_results() -> None:
    def answer(body: Body) -> Reply:
        return boxed(body) if question(body) != "3" else (400, error("no"))

    seen = []
    with (
        ScriptedServer(answer) as server,
        open_engine("openai", "m", endpoints=[server.url], batch_size=1) as engine,
        pytest.raises(RzeroError, match="rejected a request"),
    ):
        for number, _ in engine.complete(enumerate(PROMPTS), Sampling(n=1)):
            seen.append(number)
    assert seen == [0, 1, 2]


def test_each_request_has_the_sampling_settings_and_its_own_seed() -> None:
    sampling = Sampling(
        n=3, temperature=0.7, top_p=0.9, top_k=40, max_tokens=17, seed=5, stop=("END",)
    )
    with ScriptedServer(boxed) as server:
        complete(server, sampling=sampling, template_args={"enable_thinking": False})
        complete(server, sampling=sampling)
    first = server.requests[0]
    assert first["model"] == "m"
    wanted = {"n": 3, "temperature": 0.7, "top_p": 0.9, "top_k": 40, "max_tokens": 17}
    assert wanted.items() <= first.items()
    assert first["stop"] == ["END"]
    assert first["chat_template_kwargs"] == {"enable_thinking": False}
    seeds = Counter((question(body), body["seed"]) for body in server.requests)
    assert set(seeds.values()) == {2}  # the same in both runs
    assert len({seed for _, seed in seeds}) == 40


def test_request_fields_can_be_added_and_removed() -> None:
    with ScriptedServer(boxed) as server:
        complete(server, prompts=PROMPTS[:1], arguments={"min_p": 0.1, "seed": None})
    assert server.requests[0]["min_p"] == 0.1
    assert not {"seed", "top_k", "stop", "chat_template_kwargs"} & server.requests[0].keys()


def test_missing_choices_are_requested_with_other_seeds() -> None:
    def answer(body: Body) -> Reply:
        return 200, completion(f"seed {body['seed']}", tokens=3)

    with ScriptedServer(answer) as server:
        results = complete(server, sampling=Sampling(n=5), batch_size=20)
    assert all(len({c.text for c in completions}) == 5 for completions in results)
    assert sum(c.tokens for completions in results for c in completions) == 40 * 5 * 3
    wanted = [body.get("n", 1) for body in server.requests]
    assert len(wanted) == 40 * 5
    assert wanted.count(5) < 40  # the engine learns the limit early


def test_truncated_and_empty_answers_are_marked() -> None:
    def answer(body: Body) -> Reply:
        return 200, completion(None if question(body) == "1" else "x", reason="length", tokens=7)

    with ScriptedServer(answer) as server:
        results = complete(server, prompts=PROMPTS[:2], sampling=Sampling())
    assert results == [[Completion("x", 7, True)], [Completion("", 7, True)]]


def test_greedy_answers_are_requested_once() -> None:
    with ScriptedServer(boxed) as server:
        found = texts(complete(server, sampling=Sampling(n=2, temperature=0)))
        assert found == [[first, first] for first, _ in EXPECTED]
        assert all("n" not in body for body in server.requests)
        assert len(server.requests) == 40


def test_finished_result_does_not_wait_for_the_next_prompt() -> None:
    with (
        ScriptedServer(boxed) as server,
        open_engine("openai", "m", endpoints=[server.url]) as engine,
    ):
        seen, more = [], threading.Event()

        def prompts():
            yield PROMPTS[0]
            assert more.wait(20), "the first result waits for a second prompt"
            yield PROMPTS[1]

        for completions in engine.generate(prompts(), Sampling(n=2)):
            seen.append(completions)
            more.set()
        assert texts(seen) == EXPECTED[:2]


def test_error_of_the_prompt_source_comes_after_earlier_results() -> None:
    def prompts():
        yield from PROMPTS[:5]
        raise ValueError("bad input")

    seen = []
    with (
        ScriptedServer(boxed) as server,
        open_engine("openai", "m", endpoints=[server.url]) as engine,
        pytest.raises(ValueError, match="bad input"),
    ):
        for completions in engine.generate(prompts(), Sampling(n=2)):
            seen.append(completions)
    assert texts(seen) == EXPECTED[:5]


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("fault", ["none", "ignores n", "ignores seed", "copies"])
def test_k_answers_are_k_samples_if_a_server_ignores_n_or_seed(fault: str, raw: bool) -> None:
    """Repeat one question: no answers may be copies, within a question or at the same index."""
    from helpers.sampling_checks import answers_differ

    def answer(body: Body) -> Reply:
        seed = None if fault == "ignores seed" else body["seed"]
        n = 1 if fault == "ignores n" else body.get("n", 1)
        values = [random.Random(seed if seed is None else seed + i).random() for i in range(n)]
        choices = [f"{values[0] if fault == 'copies' else value}" for value in values]
        return 200, completion(*choices, raw=raw, tokens=n)

    prompt = "1" if raw else PROMPTS[1]
    notices: list[str] = []
    with ScriptedServer(answer) as server:
        sampling = Sampling(n=4, max_tokens=5)
        results = complete(server, prompts=[prompt] * 24, sampling=sampling, notify=notices.append)
    assert answers_differ(results)
    assert len({text for choices in texts(results) for text in choices}) == 24 * 4
    assert [n for n in notices if "requesting one at a time" in n] == notices
    assert len(notices) == (fault == "copies")


def test_model_names_are_checked_before_the_first_request() -> None:
    with ScriptedServer(boxed, models=("a", "b")) as server, ScriptedServer(boxed) as other:
        with pytest.raises(UsageError, match="name the model; the server has a, b"):
            complete(server)
        with pytest.raises(UsageError, match="has no model c; it has a, b"):
            open_engine("openai", "c", endpoints=[server.url])
        with pytest.raises(UsageError, match=f"{other.url} has no model a; it has m"):
            open_engine("openai", "a", endpoints=[server.url, other.url])
        open_engine("openai", "b", endpoints=[server.url]).__exit__(None, None, None)
        server.models = 401, error("Incorrect API key")
        with pytest.raises(RzeroError, match=r"Incorrect API key \(401\): set OPENAI_API_KEY"):
            complete(server)
        server.models = 404, {"detail": "Not Found"}
        with pytest.raises(RzeroError, match=r"not found \(404\)"):
            complete(server)
        server.models = 200, ["surprise"]
        with pytest.raises(RzeroError, match="does not speak OpenAI's protocol"):
            complete(server)
        assert not server.requests
    with pytest.raises(RzeroError, match="no server answers there; start one"):
        open_engine("openai", "m", endpoints=["http://127.0.0.1:1/v1"])
