"""The openai engine against servers that fail in the ways servers do."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("openai")

from helpers.scripted_server import Body, Reply, ScriptedServer, completion, error, question
from rzero_cli.engines import Completion, Sampling, open_engine
from rzero_cli.engines import endpoints as endpoints_module
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.prompts import SOLVER, prompt_for

PROMPTS = [prompt_for(SOLVER, str(n)) for n in range(40)]


def boxed(body: Body) -> Reply:
    """The question itself as the answer, n times in other words."""
    answer = rf"\boxed{{{question(body)}}}"
    answers = [answer + "." * i for i in range(body.get("n", 1))]
    return 200, completion(*answers, raw="prompt" in body)


def complete(*servers: ScriptedServer, prompts=PROMPTS, sampling=None, **options):
    sampling = sampling or Sampling(n=2)
    with open_engine("auto", None, endpoints=[s.url for s in servers], **options) as engine:
        return list(engine.generate(prompts, sampling))


def texts(results: list[list[Completion]]) -> list[list[str]]:
    return [[completion.text for completion in drawn] for drawn in results]


EXPECTED = [[rf"\boxed{{{n}}}", rf"\boxed{{{n}}}."] for n in range(40)]


def test_results_come_in_the_order_of_the_prompts_whatever_their_order_of_finishing() -> None:
    def answer(body: Body) -> Reply:
        time.sleep(0.05 if int(question(body)) % 7 == 0 else 0)
        return boxed(body)

    with ScriptedServer(answer) as server:
        assert texts(complete(server)) == EXPECTED


def test_one_slow_answer_does_not_keep_the_others_from_being_asked() -> None:
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


def test_a_server_is_kept_full_and_no_fuller() -> None:
    def answer(body: Body) -> Reply:
        time.sleep(0.05)
        return boxed(body)

    with ScriptedServer(answer) as server:
        complete(server, batch_size=8, sampling=Sampling(n=2))
        assert server.most_at_once == 4  # 8 completions, two a request


def test_prompts_are_read_with_bounded_look_ahead() -> None:
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


def test_start_leaves_out_what_an_earlier_run_has() -> None:
    with (
        ScriptedServer(boxed) as server,
        open_engine("openai", "m", endpoints=[server.url]) as engine,
    ):
        assert texts(list(engine.generate(PROMPTS, Sampling(n=2), start=33))) == EXPECTED[33:]
        assert len(server.requests) == 7


def test_a_request_says_how_to_draw_and_no_two_have_one_seed() -> None:
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


def test_fields_can_be_added_and_left_out() -> None:
    with ScriptedServer(boxed) as server:
        complete(server, prompts=PROMPTS[:1], arguments={"min_p": 0.1, "seed": None})
    assert server.requests[0]["min_p"] == 0.1
    assert not {"seed", "top_k", "stop", "chat_template_kwargs"} & server.requests[0].keys()


def test_a_server_that_gives_fewer_choices_is_asked_again_for_different_ones() -> None:
    def answer(body: Body) -> Reply:
        return 200, completion(f"seed {body['seed']}", tokens=3)

    with ScriptedServer(answer) as server:
        results = complete(server, sampling=Sampling(n=5), batch_size=20)
    assert all(len({c.text for c in drawn}) == 5 for drawn in results)
    assert sum(c.tokens for drawn in results for c in drawn) == 40 * 5 * 3
    asked = [body.get("n", 1) for body in server.requests]
    assert len(asked) == 40 * 5
    assert asked.count(5) < 40  # it is soon known


def test_what_was_cut_off_and_what_is_empty_is_told() -> None:
    def answer(body: Body) -> Reply:
        return 200, completion(None if question(body) == "1" else "x", reason="length", tokens=7)

    with ScriptedServer(answer) as server:
        results = complete(server, prompts=PROMPTS[:2], sampling=Sampling())
    assert results == [[Completion("x", 7, True)], [Completion("", 7, True)]]


def test_greedy_answers_are_asked_for_once() -> None:
    with ScriptedServer(boxed) as server:
        drawn = texts(complete(server, sampling=Sampling(n=2, temperature=0)))
        assert drawn == [[first, first] for first, _ in EXPECTED]
        assert all("n" not in body for body in server.requests)
        assert len(server.requests) == 40


@pytest.mark.parametrize(
    ("status", "raw"), [(429, False), (500, False), (503, False), (0, False), (503, True)]
)
def test_what_passes_is_tried_again(
    status: int, raw: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints_module, "_seconds", lambda attempt: 0.01)
    failures = Counter[str]()

    def answer(body: Body) -> Reply:
        failures[question(body)] += 1
        # More often than the client itself tries, and busy longer than a fault may last.
        if failures[question(body)] <= (30 if status == 429 else 4):
            return status, error("busy"), {"retry-after-ms": "1"}
        return boxed(body)

    with ScriptedServer(answer) as server:
        asked = [str(n) for n in range(6)] if raw else PROMPTS[:6]
        assert texts(complete(server, prompts=asked)) == EXPECTED[:6]


def test_a_request_that_fails_every_time_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
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
        for drawn in engine.generate(PROMPTS, Sampling(n=2)):
            done.append(drawn)
    assert texts(done) == EXPECTED[:3]


def test_work_goes_to_the_least_busy() -> None:
    def slow(body: Body) -> Reply:
        time.sleep(0.2)
        return boxed(body)

    with ScriptedServer(boxed) as quick, ScriptedServer(slow) as sluggish:
        assert texts(complete(quick, sluggish, batch_size=4)) == EXPECTED
        assert len(quick.requests) > 2 * len(sluggish.requests) > 0


def test_an_endpoint_that_dies_is_set_aside_and_none_of_its_questions_is_lost(
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


def test_a_server_that_comes_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_server_that_stays_away_ends_the_run_with_what_is_done(
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
        for drawn in engine.generate(PROMPTS, Sampling(n=2)):
            done.append(drawn)
    assert texts(done) == EXPECTED[:8]


def test_a_prompt_without_room_is_an_unreadable_answer_not_the_end() -> None:
    def answer(body: Body) -> Reply:
        if question(body) == "1":
            return 400, error("This model's maximum context length is 64 tokens.")
        return boxed(body)

    told: list[str] = []
    with ScriptedServer(answer) as server:
        results = complete(server, prompts=PROMPTS[:3], notify=told.append)
        server.models = 200, {"object": "list", "data": []}
        with pytest.raises(UsageError, match="name the model: the server does not list any"):
            complete(server)
        with pytest.raises(UsageError, match="timeout=soon: must be seconds"):
            complete(server, arguments={"timeout": "soon"})
    assert len(told) == 1
    assert told[0].endswith("64 tokens. (400): a prompt without room gets empty answers")
    assert results[1] == [Completion("", 0, True)] * 2
    assert texts(results)[::2] == EXPECTED[:3:2]


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens=4096 cannot be greater than max_model_len=64.",
        "'max_tokens' is too large: 4096. This model's maximum context length is 64 tokens.",
    ],
)
def test_where_there_is_room_for_less_the_server_says_how_much(message: str) -> None:
    def answer(body: Body) -> Reply:
        return (400, error(message)) if "max_tokens" in body else boxed(body)

    with ScriptedServer(answer) as server:
        assert texts(complete(server, sampling=Sampling(n=2, max_tokens=4096))) == EXPECTED


def test_room_for_none_of_a_few_prompts_is_an_error_too() -> None:
    def answer(body: Body) -> Reply:
        return 400, error("This model's maximum context length is 64 tokens.")

    with (
        ScriptedServer(answer) as server,
        pytest.raises(RzeroError, match="has no room for any of these prompts"),
    ):
        complete(server, prompts=PROMPTS[:3])


def test_a_page_where_a_server_was_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy answers for a server that is starting."""
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


def test_what_is_finished_does_not_wait_for_the_next_input() -> None:
    with (
        ScriptedServer(boxed) as server,
        open_engine("openai", "m", endpoints=[server.url]) as engine,
    ):
        seen, more = [], threading.Event()

        def prompts():
            yield PROMPTS[0]
            assert more.wait(20), "the first result is kept back until there is a second prompt"
            yield PROMPTS[1]

        for drawn in engine.generate(prompts(), Sampling(n=2)):
            seen.append(drawn)
            more.set()
        assert texts(seen) == EXPECTED[:2]


def test_an_error_of_the_source_comes_after_the_results_before_it() -> None:
    def prompts():
        yield from PROMPTS[:5]
        raise ValueError("bad input")

    seen = []
    with (
        ScriptedServer(boxed) as server,
        open_engine("openai", "m", endpoints=[server.url]) as engine,
        pytest.raises(ValueError, match="bad input"),
    ):
        for drawn in engine.generate(prompts(), Sampling(n=2)):
            seen.append(drawn)
    assert texts(seen) == EXPECTED[:5]


def test_room_for_no_prompt_at_all_is_an_error() -> None:
    def answer(body: Body) -> Reply:
        return 400, error("This model's maximum context length is 64 tokens.")

    with (
        ScriptedServer(answer) as server,
        pytest.raises(RzeroError, match=r"refused a request: This model's maximum context length"),
    ):
        complete(server)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((400, error("Unrecognized request argument: top_k")), "top_k.*FIELD=null leaves"),
        ((404, error("The model `m` is not loaded")), "not loaded"),
        ((401, error("Incorrect API key")), "Incorrect API key .401.: set OPENAI_API_KEY"),
        ((429, error("You are out of money", "insufficient_quota")), "out of money"),
        ((200, {"choices": []}), "failed 8 times, last with: an answer without choices"),
        ((200, {}), "failed 8 times"),
        ((200, "hello"), "failed 8 times, last with: what answers there does not speak"),
    ],
)
def test_what_will_never_pass_is_said_at_once(
    reply: Reply, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints_module, "_seconds", lambda attempt: 0.0)
    with ScriptedServer(lambda body: reply) as server, pytest.raises(RzeroError, match=said) as got:
        complete(server)
    assert "\n" not in str(got.value)


def test_a_raw_prompt_is_completed_as_it_is() -> None:
    sampling = Sampling(n=2, temperature=0.7, max_tokens=17, seed=5, stop=("\n\n",))
    prompts = [f" {n}" if n % 2 else PROMPTS[n] for n in range(8)]  # of both kinds
    with ScriptedServer(boxed) as server:
        results = complete(
            server, prompts=prompts, sampling=sampling, template_args={"enable_thinking": False}
        )
    assert [first for first, _ in texts(results)] == [
        rf"\boxed{{{' ' * (n % 2)}{n}}}" for n in range(8)
    ]
    asked = {question(body): body for body in server.requests}
    raw, chat = asked[" 3"], asked["2"]
    places = dict(zip(map(question, server.requests), server.paths, strict=True))
    assert places[" 3"] == "/v1/completions"
    assert places["2"] == "/v1/chat/completions"
    assert raw["prompt"] == " 3"
    assert raw["stop"] == ["\n\n"]
    assert not {"messages", "chat_template_kwargs", "logprobs"} & raw.keys()
    same = ("model", "n", "temperature", "top_p", "max_tokens", "stop")
    assert {name: raw[name] for name in same} == {name: chat[name] for name in same}
    assert len({body["seed"] for body in server.requests}) == 8


def test_tokens_and_ends_of_raw_answers_are_told() -> None:
    def answer(body: Body) -> Reply:
        return 200, completion("a", "b", reason="length", tokens=7, raw=True)

    with ScriptedServer(answer) as server:
        (drawn,) = complete(server, prompts=["x"])
    assert drawn == [Completion("a", 4, True), Completion("b", 3, True)]


def test_a_server_that_takes_chats_only_says_so() -> None:
    def answer(body: Body) -> Reply:
        return (404, error("Not Found")) if "prompt" in body else boxed(body)

    with ScriptedServer(answer) as server:
        said = "this server takes chats only: use chat prompts"
        with pytest.raises(RzeroError, match=said) as got:
            complete(server, prompts=["1"])
        assert "\n" not in str(got.value)
        assert texts(complete(server, prompts=PROMPTS[:1])) == EXPECTED[:1]


def test_a_raw_prompt_without_room_is_cut_on_the_left_where_the_context_is_known() -> None:
    notices: list[str] = []

    def answer(body: Body) -> Reply:
        if body.get("truncate_prompt_tokens", 100) + body["max_tokens"] > 64:
            return 400, error("This model's maximum context length is 64 tokens.")
        return boxed(body)

    options = {"notify": notices.append, "sampling": Sampling(n=2, max_tokens=16)}
    with ScriptedServer(answer) as server:
        with pytest.raises(RzeroError, match="no room for any of these prompts"):
            complete(server, prompts=["0", "1"], **options)
        assert "gets empty answers" in notices.pop()
        server.models[1]["data"][0]["max_model_len"] = 64
        assert texts(complete(server, prompts=["0", "1"], **options)) == EXPECTED[:2]
        assert server.requests[-1]["truncate_prompt_tokens"] == 48
        assert len(notices) == 1
        assert "cut on the left" in notices[0]
        options["sampling"] = Sampling(max_tokens=64)
        with pytest.raises(RzeroError, match="64 tokens leave no room for a prompt"):
            complete(server, prompts=["0"], **options)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("fault", ["none", "ignores n", "ignores seed", "copies"])
def test_k_answers_are_k_draws_whatever_a_server_ignores(fault: str, raw: bool) -> None:
    """The same question six times: neither its answers nor those at one place may be copies."""
    from helpers.sampling_checks import differ

    def answer(body: Body) -> Reply:
        seed = None if fault == "ignores seed" else body["seed"]
        n = 1 if fault == "ignores n" else body.get("n", 1)
        draws = [random.Random(seed if seed is None else seed + i).random() for i in range(n)]
        drawn = [f"{draws[0] if fault == 'copies' else draw}" for draw in draws]
        return 200, completion(*drawn, raw=raw, tokens=n)

    asked = "1" if raw else PROMPTS[1]
    notices: list[str] = []
    with ScriptedServer(answer) as server:
        sampling = Sampling(n=4, max_tokens=5)
        results = complete(server, prompts=[asked] * 24, sampling=sampling, notify=notices.append)
    assert differ(results)
    assert len({text for drawn in texts(results) for text in drawn}) == 24 * 4
    assert [n for n in notices if "asked for one at a time" in n] == notices
    assert len(notices) == (fault == "copies")


def test_models_are_checked_before_anything_is_asked() -> None:
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
        with pytest.raises(RzeroError, match=r"no such place there \(404\)"):
            complete(server)
        server.models = 200, ["surprise"]
        with pytest.raises(RzeroError, match="does not speak OpenAI's protocol"):
            complete(server)
        assert not server.requests
    with pytest.raises(RzeroError, match="no server answers there; start one"):
        open_engine("openai", "m", endpoints=["http://127.0.0.1:1/v1"])


def test_one_of_two_that_is_down_from_the_start_is_not_needed() -> None:
    notices: list[str] = []
    with ScriptedServer(boxed) as server:
        urls = ["http://127.0.0.1:1/v1", server.url]
        with open_engine("auto", None, endpoints=urls, notify=notices.append) as engine:
            assert texts(list(engine.generate(PROMPTS, Sampling(n=2)))) == EXPECTED
    assert notices == ["http://127.0.0.1:1/v1: no answer; set aside until it is back"]


def test_the_key_is_the_environments_and_shows_nowhere(rzero, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "7"}\n')
    with ScriptedServer(boxed) as server:
        done = rzero(
            *("label", "q.jsonl", "--endpoint", server.url, "-o", "l.jsonl", "--m", "2"),
            environment={"OPENAI_API_KEY": "sk-secret"},
        )
    assert done.status == 0, done.stderr
    assert "Bearer sk-secret" in server.headers[0].values()
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "sk-secret" not in written + done.stderr
    assert json.loads((tmp_path / "l.jsonl").read_text())["answer"] == "7"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "openai"), "--engine openai needs --endpoint URL"),
        (("--endpoint", "localhost:8000"), "not a URL such as http://"),
        (("--endpoint", "http://user:key@host/v1"), "a key belongs into OPENAI_API_KEY"),
        (("--endpoint", "http://host", "--engine", "vllm"), "--endpoint goes with --engine openai"),
        (("--endpoint", "http://host", "--quantization", "awq"), "goes with --engine vllm"),
        (("--engine", "transformers", "--engine-arg", "seed=1"), "--engine-arg seed goes with"),
        (("--endpoint", "http://host", "--engine-arg", "seed"), "must be KEY=VALUE"),
        (("--chat-template-arg", "=1"), "--chat-template-arg =1: must be KEY=VALUE"),
        (("--chat-template-arg", "tokenize=1"), "--chat-template-arg tokenize: is not"),
        (("--endpoint", "http://host:99999/v1"), "not a URL such as http://"),
        (("--endpoint", "http://[::1/v1"), "not a URL such as http://"),
        (("--endpoint", "http://host/v1?api_key=sk"), "a key belongs into OPENAI_API_KEY"),
        (("--endpoint", "http://host", "--engine-arg", "api_key=sk"), "a key belongs into"),
        (("--endpoint", "http://host", "--engine-arg", "n=3"), "--engine-arg n: is not for"),
    ],
)
def test_wrong_options_are_refused_in_a_line(refused, arguments, said: str) -> None:
    assert said in refused("label", "--solver", "m", *arguments, input="{}")


def test_several_endpoints_come_from_the_environment_and_from_a_file(rzero, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "7"}\n' * 8)
    with ScriptedServer(boxed) as one, ScriptedServer(boxed) as two:
        both = f"{one.url} {two.url}"
        done = rzero("label", "q.jsonl", "--batch-size", "1", environment={"RZERO_ENDPOINT": both})
        assert done.status == 0, done.stderr
        assert one.requests
        assert two.requests
        asked = len(one.requests)
        for written in (f'["{one.url}"]', f'"{one.url}"'):
            (tmp_path / "rzero.toml").write_text(f"[label]\nendpoint = {written}\n")
            assert rzero("label", "q.jsonl").status == 0
            assert len(one.requests) > asked
            asked = len(one.requests)


def test_ctrl_c_ends_at_once_with_the_finished_records(rzero, tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys

    (tmp_path / "q.jsonl").write_text("".join(f'{{"question": "{n}"}}\n' for n in range(40)))
    held = threading.Event()

    def answer(body: Body) -> Reply:
        if int(question(body)) >= 10:
            held.wait(60)
        return boxed(body)

    with ScriptedServer(answer) as server:
        command = ["label", "q.jsonl", "--endpoint", server.url, "-o", "l.jsonl", "--m", "2"]
        process = subprocess.Popen(
            [sys.executable, "-m", "rzero_cli", *command], cwd=tmp_path, stderr=subprocess.PIPE
        )
        journal = tmp_path / "l.jsonl.part"
        for _ in range(600):
            time.sleep(0.1)
            if journal.exists() and journal.read_text().count("\n") == 10:
                break
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
        held.set()
        assert process.returncode == 130, stderr
        assert b"Traceback" not in stderr
        done = rzero(*command, "--resume")
    assert done.status == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "l.jsonl").read_text().splitlines()]
    assert [record["answer"] for record in records] == [str(n) for n in range(40)]
