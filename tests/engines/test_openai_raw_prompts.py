"""Raw prompts with the openai engine: completions instead of chats."""

from __future__ import annotations

import pytest

from helpers.boxed_answers import EXPECTED, PROMPTS, boxed, complete, texts

pytest.importorskip("openai")

from helpers.scripted_server import Body, Reply, ScriptedServer, completion, error, question
from rzero_cli.engines import Completion, Sampling
from rzero_cli.errors import RzeroError


def test_raw_prompt_is_sent_unchanged_to_completions() -> None:
    sampling = Sampling(n=2, temperature=0.7, max_tokens=17, seed=5, stop=("\n\n",))
    prompts = [f" {n}" if n % 2 else PROMPTS[n] for n in range(8)]  # of both kinds
    with ScriptedServer(boxed) as server:
        results = complete(
            server, prompts=prompts, sampling=sampling, template_args={"enable_thinking": False}
        )
    assert [first for first, _ in texts(results)] == [
        rf"\boxed{{{' ' * (n % 2)}{n}}}" for n in range(8)
    ]
    bodies = {question(body): body for body in server.requests}
    raw, chat = bodies[" 3"], bodies["2"]
    places = dict(zip(map(question, server.requests), server.paths, strict=True))
    assert places[" 3"] == "/v1/completions"
    assert places["2"] == "/v1/chat/completions"
    assert raw["prompt"] == " 3"
    assert raw["stop"] == ["\n\n"]
    assert not {"messages", "chat_template_kwargs", "logprobs"} & raw.keys()
    same = ("model", "n", "temperature", "top_p", "max_tokens", "stop")
    assert {name: raw[name] for name in same} == {name: chat[name] for name in same}
    assert len({body["seed"] for body in server.requests}) == 8


def test_raw_answers_have_tokens_and_truncation() -> None:
    def answer(body: Body) -> Reply:
        return 200, completion("a", "b", reason="length", tokens=7, raw=True)

    with ScriptedServer(answer) as server:
        (completions,) = complete(server, prompts=["x"])
    assert completions == [Completion("a", 4, True), Completion("b", 3, True)]


def test_chat_only_server_is_reported() -> None:
    def answer(body: Body) -> Reply:
        return (404, error("Not Found")) if "prompt" in body else boxed(body)

    with ScriptedServer(answer) as server:
        message = "this server accepts chats only: use chat prompts"
        with pytest.raises(RzeroError, match=message) as got:
            complete(server, prompts=["1"])
        assert "\n" not in str(got.value)
        assert texts(complete(server, prompts=PROMPTS[:1])) == EXPECTED[:1]


def test_long_raw_prompt_is_truncated_on_the_left() -> None:
    notices: list[str] = []

    def answer(body: Body) -> Reply:
        if body.get("truncate_prompt_tokens", 100) + body["max_tokens"] > 64:
            return 400, error("This model's maximum context length is 64 tokens.")
        return boxed(body)

    options = {"notify": notices.append, "sampling": Sampling(n=2, max_tokens=16)}
    with ScriptedServer(answer) as server:
        with pytest.raises(RzeroError, match="all of these prompts exceed the model's context"):
            complete(server, prompts=["0", "1"], **options)
        assert "get empty answers" in notices.pop()
        server.models[1]["data"][0]["max_model_len"] = 64
        assert texts(complete(server, prompts=["0", "1"], **options)) == EXPECTED[:2]
        assert server.requests[-1]["truncate_prompt_tokens"] == 48
        assert len(notices) == 1
        assert "truncated on the left" in notices[0]
        options["sampling"] = Sampling(max_tokens=64)
        with pytest.raises(RzeroError, match="64 tokens leave no room for a prompt"):
            complete(server, prompts=["0"], **options)
