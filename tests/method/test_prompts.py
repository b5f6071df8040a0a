"""The prompts of both roles, and files that replace them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.errors import UsageError
from rzero_cli.method.prompts import CHALLENGER, SOLVER, load_prompt, plain_text, prompt_for


def test_challenger_prompt_states_the_checked_format() -> None:
    text = plain_text(CHALLENGER)
    for part in ("<question>", "</question>", r"\boxed{", "30 %"):
        assert part in text
    assert prompt_for(CHALLENGER) == CHALLENGER


@given(st.text())
def test_solver_prompt_contains_the_question_unchanged(question: str) -> None:
    system, user = prompt_for(SOLVER, question)
    assert user == {"role": "user", "content": question}
    assert system == SOLVER[0]
    assert r"\boxed{}" in system["content"]


def test_prompt_replaces_only_the_placeholder() -> None:
    # str.format's braces and a placeholder inside the question have no meaning.
    template = [{"role": "user", "content": r"{0} {question} \boxed{} {question}"}]
    (message,) = prompt_for(template, "{question} {x}")
    assert message["content"] == r"{0} {question} {x} \boxed{} {question} {x}"


def test_plain_text_of_a_chat() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
    assert plain_text(messages) == "system: Be brief.\nuser: 1+1?\nassistant:"


def _prompt(folder: Path, text: str) -> str:
    (folder / "prompt").write_text(text, "utf-8")
    return str(folder / "prompt")


def test_prompt_file_contains_text_or_messages(tmp_path: Path) -> None:
    assert load_prompt(None, SOLVER) is SOLVER
    text = _prompt(tmp_path, "\n Löse: {question}\n")
    assert load_prompt(text, SOLVER) == [{"role": "user", "content": "Löse: {question}"}]
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": "{question}?"}]
    assert load_prompt(_prompt(tmp_path, " " + json.dumps(messages)), SOLVER) == messages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no placeholder", "a Solver's prompt must contain {question}"),
        ("[{", "not JSON"),
        ("[]", "expected"),
        ("[1]", "expected"),
        ('[{"role": "user"}]', "expected"),
        ('[{"role": "user", "content": 5}]', "expected"),
        ('[{"role": "user", "content": "", "name": ""}]', "expected"),
    ],
)
def test_malformed_prompt_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"--prompt-file .*prompt: ") as error:
        load_prompt(_prompt(tmp_path, text), SOLVER)
    assert message in str(error.value)


def test_challenger_prompt_needs_no_placeholder(tmp_path: Path) -> None:
    path = _prompt(tmp_path, "Ask me.")
    assert load_prompt(path, CHALLENGER) == [{"role": "user", "content": "Ask me."}]


def test_unreadable_prompt_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    for name in ("nowhere", ".", "binary"):
        with pytest.raises(UsageError, match="--prompt-file"):
            load_prompt(str(tmp_path / name), SOLVER)
