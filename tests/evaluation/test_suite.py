"""The paper's benchmarks as tasks: grading, prompts, averages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

lm_eval = pytest.importorskip("lm_eval")
pytest.importorskip("datasets")

from helpers.suite_rows import ROWS, jsonl  # noqa: E402
from rzero_cli.evaluation.results import averages  # noqa: E402
from rzero_cli.evaluation.suite import FOLDER, GENERAL, MATH  # noqa: E402
from rzero_cli.evaluation.suite.docs import choice_letter, grade, grade_choice  # noqa: E402
from rzero_cli.method.prompts import SOLVER, prompt_for  # noqa: E402
from rzero_cli.options.presets import preset_value  # noqa: E402

pytestmark = pytest.mark.usefixtures("own_cache")


# --- grading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxed", "letter"),
    [
        ("C", "C"),
        ("(C)", "C"),
        ("c", "C"),
        (r"\text{C}", "C"),
        (r"\textbf{(C)}", "C"),
        ("C.", "C"),
        ("C. 12 m", "C"),
        ("(C) 12 m", "C"),
        ("C: the third", "C"),
        ("Option C", "C"),
        ("answer: J", "J"),
        ("$C$", "C"),
        (None, None),
        ("", None),
        ("12 m", None),
        ("A and B", None),
        ("A, B", None),
        ("AB", None),
        ("A train", None),
        ("(A)(B)", None),
        ("(A) or (B)", None),
        ("(A) and (C)", None),
        ("A. and B.", None),
        ("A. or B", None),
        ("A) & B", None),
        ("(A) the first, or (B)", None),
        ("(C) Vitamin A", "C"),
        ("None of them", None),
    ],
)
def test_choice_letter_is_read_and_never_guessed(boxed: str | None, letter: str | None) -> None:
    assert choice_letter(boxed) == letter


def test_unreadable_choice_is_wrong_for_any_reference() -> None:
    for reference in "ABCDEFGHIJ":
        found = grade_choice({"reference": reference}, ["It is Paris, \\boxed{Paris}."])
        assert found == {"score": 0.0, "maj_at_k": 0.0, "unreadable": 1.0}


def test_all_repeats_are_graded() -> None:
    texts = ["\\boxed{27}", "\\boxed{27.0}", "\\boxed{28}", "no box"]
    assert grade({"reference": "27"}, [texts]) == {
        "score": 0.5,
        "maj_at_k": 1.0,
        "unreadable": 0.25,
    }


RECORDED = Path(__file__).with_name("recorded_outputs.jsonl")


def test_recorded_outputs_get_their_known_verdicts() -> None:
    """No wrong answer is graded right; the listed right ones are graded wrong."""
    rows = [json.loads(line) for line in RECORDED.read_text("utf-8").splitlines()]
    graded = [grade(row, [row["completion"]])["score"] == 1 for row in rows]
    errors = [row for row, right in zip(rows, graded, strict=True) if right != row["correct"]]
    assert [(row["correct"], row["reference"]) for row in errors] == [
        (True, "\\frac{3}{4}"),  # 75 %: the sign is dropped
        (True, "5"),  # a number in words
        (True, "\\sqrt{51}"),  # an empty box after the right one
    ]


# --- the task files themselves --------------------------------------------------------------------


def test_task_files_give_lm_eval_the_prompts_and_settings_of_rzero(tmp_path: Path) -> None:
    """With lm-eval alone the prompt, the sampling and the token limits are the same."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(FOLDER), include_defaults=False)
    assert {*MATH, *GENERAL} == set(manager.all_subtasks)
    for group, members in (("rzero_math", MATH), ("rzero_general", GENERAL)):
        assert manager.task_index[group].cfg["task"] == list(members)
    for name, (row, text, _) in ROWS.items():
        path = jsonl(tmp_path / f"{name}.jsonl", row)
        own = tmp_path / f"{name}.yaml"
        own.write_text(
            f"include: {manager.task_index[name].yaml_path}\ndataset_path: json\n"
            "dataset_name: null\ntest_split: test\n"
            f"dataset_kwargs: {{data_files: {{test: {path}}}}}"
        )
        (task,) = manager.load([str(own)])["tasks"].values()
        context = task.fewshot_context(
            task.eval_docs[0],
            0,
            apply_chat_template=True,
            fewshot_as_multiturn=True,
            chat_template=lambda messages, add_generation_prompt: json.dumps(messages),
        )
        assert json.loads(context) == prompt_for(SOLVER, text)
        settings = task.config.generation_kwargs
        assert settings["max_gen_toks"] == preset_value("eval", "max_tokens")
        if task.config.repeats > 1:
            assert settings["temperature"] == preset_value("eval", "temperature")
            assert settings["top_p"] == preset_value("eval", "top_p")


# --- averages -------------------------------------------------------------------------------------


def test_averages_reproduce_the_papers_tables() -> None:
    """Qwen3-4B-Base and its third iteration, from the paper's table of general reasoning."""
    for maths, general, overall in (
        (42.58, (37.38, 20.88, 7.57), 27.10),
        (49.07, (51.53, 27.55, 10.42), 34.64),
    ):
        tasks = {name: {"score": maths / 100, "stderr": 0.01} for name in MATH}
        tasks |= {
            name: {"score": value / 100, "stderr": 0.02}
            for name, value in zip(GENERAL, general, strict=True)
        }
        found = averages(tasks)
        assert round(100 * found["rzero_overall"]["score"], 2) == overall
        assert found["rzero_math"]["score"] == pytest.approx(maths / 100)
        assert found["rzero_math"]["stderr"] == pytest.approx(0.01 / 7**0.5)
        assert found["rzero_overall"]["paper"].startswith("arXiv:2508.05004v")


def test_partial_evaluation_is_not_called_the_papers_average() -> None:
    tasks = {name: {"score": 0.5, "stderr": 0.1, "as_defined": True} for name in (*MATH, *GENERAL)}
    tasks["rzero_aime25"]["as_defined"] = False
    found = averages(tasks)
    assert [one["paper"] is None for one in found.values()] == [True, False, True]


def test_incomplete_suite_has_no_average() -> None:
    assert averages({name: {"score": 0.5, "stderr": 0.1} for name in MATH[:-1]}) == {}
