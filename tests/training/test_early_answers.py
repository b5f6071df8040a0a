"""The Solver at a server answers while further rollouts are generated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.option_groups import group
from helpers.scripted_server import ScriptedServer, completion
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.engines import Completed, Completion, Engine, K, Prompts, Sampling, derived_seed
from rzero_cli.engines.answering import Solver, open_solver
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.errors import RzeroError
from rzero_cli.method.plan import make_plan
from rzero_cli.method.prompts import CHALLENGER, SOLVER, prompt_for
from rzero_cli.training.challenger import challenger_reward
from rzero_cli.training.early_answers import EarlyAnswers
from rzero_cli.training.settings import Grpo, Hardware

PATIENCE = 60.0


class Watched(Engine):
    """Tells each question as it arrives; its answers are the question's digits in turn."""

    def __init__(self) -> None:
        self.arrived: Queue[tuple[str, int]] = Queue()

    def complete(self, prompts: Prompts[K], sampling: Sampling, **more: Any) -> Completed[K]:
        for item, prompt in prompts:
            question = str(prompt[-1]["content"]) if isinstance(prompt, list) else prompt
            self.arrived.put((question, sampling.seed))
            if "!" in question:
                raise RzeroError("the server is gone")
            yield item, [Completion(rf"\boxed{{{digit}}}", 1, False) for digit in question]


def tagged(*questions: str | None) -> list[str]:
    return [f"<question>{q}</question>" if q else "no question" for q in questions]


@pytest.fixture
def solver() -> Any:
    with Equivalence() as equivalence:
        yield Solver(
            Watched(), Sampling(n=4), [{"role": "user", "content": "{question}"}], equivalence
        )


def test_questions_are_answered_before_all_are_known(solver: Solver) -> None:
    early, arrived = EarlyAnswers(solver, seed=5), solver.engine.arrived  # type: ignore[attr-defined]
    seed = derived_seed(5, 7, 0)
    early.ask(tagged("1112", None), 7)
    assert arrived.get(timeout=PATIENCE) == ("1112", seed)
    early.ask(tagged("1234"), 7)
    assert arrived.get(timeout=PATIENCE) == ("1234", seed)
    # The second copy and one that was not sent are asked now.
    assert early.p_hats(["1234", None, "1112", "1122", "1112"], 7) == [0.25, None, 0.75, 0.5, 0.75]
    assert sorted(arrived.get(timeout=PATIENCE)[0] for _ in range(2)) == ["1112", "1122"]
    assert arrived.empty()
    assert early.p_hats([None, "1111"], 8) == [None, 1.0]  # nothing was sent before
    assert arrived.get(timeout=PATIENCE) == ("1111", derived_seed(5, 8, 0))
    assert early.p_hats([None], 9) == [None]
    assert arrived.empty()


def test_failure_of_the_server_is_raised_with_the_reward(solver: Solver) -> None:
    early = EarlyAnswers(solver)
    early.ask(tagged("1112", "!"), 0)
    with pytest.raises(RzeroError, match="the server is gone"):
        early.p_hats(["1112", "!"], 0)


def test_rewards_are_those_without_overlap(solver: Solver) -> None:
    texts, state = tagged("1112", None, "1234", "1112"), SimpleNamespace(global_step=0)
    given: dict[str, Any] = {"trainer_state": state, "log_metric": lambda name, value: None}
    early = EarlyAnswers(solver)
    early.ask(texts[2:], 0)
    assert challenger_reward(solver, early=early)(texts, **given) == challenger_reward(solver)(
        texts, **given
    )


@pytest.mark.slow
@pytest.mark.parametrize("template", [True, False])
def test_training_asks_the_server_between_its_batches_of_rollouts(
    template: bool, tiny_model: Path, plain_model: Path, tmp_path: Path
) -> None:
    from rzero_cli.training.grpo import train

    server = ScriptedServer(lambda body: (200, completion(*[r"\boxed{5}"] * body.get("n", 1))))
    seen: list[list[str]] = []
    rewarded: list[str] = []
    with (
        server,
        open_solver(
            "openai", "m", Sampling(n=4, max_tokens=8), SOLVER, endpoints=[server.url]
        ) as solver,
    ):
        early = EarlyAnswers(solver)

        def finished(texts: list[str], update: int) -> None:
            assert update == 0
            seen.append(texts)
            early.ask(tagged(*texts), update)
            if len(seen) == 1:  # six rollouts are still to be generated
                deadline = time.monotonic() + PATIENCE
                while not server.requests:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)

        def reward(completions: Any, **columns: Any) -> list[float]:
            rewarded.extend(c if isinstance(c, str) else c[-1]["content"] for c in completions)
            p_hats = early.p_hats(rewarded, 0)
            assert {p for p, text in zip(p_hats, rewarded, strict=True) if text} == {1.0}
            return [float(i) for i in range(len(completions))]

        train(
            str(tiny_model if template else plain_model),
            [{"prompt": prompt_for(CHALLENGER)}] * 2,
            reward,
            plan=make_plan(steps=1, prompts=2, batch=2, group=4, max_tokens=8, per_device=8),
            grpo=group(Grpo),
            hardware=group(Hardware),
            sampling=group(SamplingOptions),
            seed=0,
            part=tmp_path,
            batch_size=2,
            on_update=lambda metrics: None,
            on_rollouts=finished,
        )
    assert [len(texts) for texts in seen] == [2, 2, 2, 2]
    assert [text for texts in seen for text in texts] == rewarded


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make test-vllm")
def test_vllm_tells_each_text_as_it_finishes(small_base: Path, tmp_path: Path) -> None:
    """In a process of its own: the real engine on the CPU keeps what it has taken."""
    script = tmp_path / "tell.py"
    script.write_text(
        "import json, sys\n"
        "from vllm import LLM, SamplingParams\n"
        "from rzero_cli.training.vllm_rollouts import tell_finished\n"
        "if __name__ == '__main__':\n"
        "    llm = LLM(sys.argv[1], enforce_eager=True, dtype='float32', max_model_len=64)\n"
        "    told = []\n"
        "    tell_finished(llm, told.append)\n"
        "    lengths = [12, 3, 7]\n"
        "    sampling = [SamplingParams(max_tokens=n, ignore_eos=True) for n in lengths]\n"
        "    prompts = [{'prompt_token_ids': [5]}] * 3\n"
        "    outputs = llm.generate(prompts, sampling, use_tqdm=False)\n"
        "    given = [list(one.outputs[0].token_ids) for one in outputs]\n"
        "    open('told.json', 'w').write(json.dumps([told, given]))\n"
    )
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    done = subprocess.run(
        [sys.executable, script, small_base],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    told, given = json.loads((tmp_path / "told.json").read_text())
    assert [len(tokens) for tokens in given] == [12, 3, 7]
    assert told == [[given[1]], [given[2]], [given[0]]]  # the shortest first
