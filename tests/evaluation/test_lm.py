"""The adapter from lm-eval to an engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("lm_eval")
pytest.importorskip("datasets")
pytest.importorskip("torch")

from lm_eval.api.instance import Instance

from helpers.scripted_engine import Scripted
from rzero_cli.engines import Sampling
from rzero_cli.engines.transformers import TransformersEngine
from rzero_cli.errors import RzeroError
from rzero_cli.evaluation.lm import EngineLM
from rzero_cli.method.prompts import SOLVER, prompt_for


def request(question: str, **settings: Any) -> Instance:
    context = json.dumps(prompt_for(SOLVER, question))
    return Instance("generate_until", {}, (context, settings), 0, metadata=("t", 0, 1))


def test_stop_string_ends_the_text_and_is_removed(engine: TransformersEngine) -> None:
    lm = EngineLM(engine, seed=0)
    (whole,) = lm.generate_until([request("why?", until=[], max_gen_toks=12)])
    assert len(whole) > 6
    stop = whole[5:7]
    (stopped,) = lm.generate_until([request("why?", until=["no such text", stop], max_gen_toks=12)])
    assert stopped == whole[: whole.index(stop)]
    assert lm.generate_until([request("why?", until=[""], max_gen_toks=12)]) == [whole]


def test_first_of_several_stop_strings_ends_the_text(engine: TransformersEngine) -> None:
    lm = EngineLM(engine, seed=0)
    (whole,) = lm.generate_until([request("why?", until=[], max_gen_toks=12)])
    first, later = whole[2:4], whole[5:8]
    assert whole.index(first) < whole.index(later)
    expected = [whole[: whole.index(first)]]
    assert lm.generate_until([request("why?", until=[later, first], max_gen_toks=12)]) == expected
    assert lm.generate_until([request("why?", until=[first, later], max_gen_toks=12)]) == expected
    assert lm.generate_until([request("why?", until=first, max_gen_toks=12)]) == expected


def test_answers_keep_the_order_of_the_requests() -> None:
    script = {name: [f"{name} greedy", f"{name} 1", f"{name} 2"] for name in "abc"}
    a, b = request("a", until=[]), request("b", until=[], temperature=1.0)
    c = request("c", until=[])
    answers = EngineLM(Scripted(script), seed=0).generate_until([a, b, b, c, c, a])
    assert answers == ["a greedy", "b 1", "b 2", "c greedy", "c greedy", "a greedy"]


def test_repeated_requests_are_different_samples(engine: TransformersEngine) -> None:
    repeated = request("why?", until=[], temperature=1.0, max_gen_toks=8)
    assert len(set(EngineLM(engine, seed=0).generate_until([repeated] * 5))) == 5


def test_sampling_settings_reach_the_engine() -> None:
    seen: list[Sampling] = []

    class Listening(Scripted):
        def complete(self, asked: Any, sampling: Sampling, **more: Any) -> Any:
            seen.append(sampling)
            return super().complete(asked, sampling, **more)

    lm = EngineLM(Listening({"q": ["a", "b"]}), seed=3)
    lm.generate_until([request("q", do_sample=True, temperature=0.6, top_p=0.9, max_tokens=77)])
    lm.generate_until([request("q", do_sample=True, top_k=-1)])
    lm.generate_until([request("q", do_sample=False, temperature=0.6, until=["x", "", "y"])])
    assert seen == [
        Sampling(1, temperature=0.6, top_p=0.9, max_tokens=77, seed=3),
        Sampling(1, temperature=1.0, max_tokens=256, seed=3),
        Sampling(1, temperature=0.0, max_tokens=256, seed=3, stop=("x", "y")),
    ]


def test_unsupported_generation_settings_are_rejected() -> None:
    with pytest.raises(RzeroError, match="task t sets num_beams"):
        EngineLM(Scripted({}), seed=0).generate_until([request("q", num_beams=4)])
