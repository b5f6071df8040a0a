"""Evaluation of a file of questions: hand-calculated scores, then a real tiny model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from rich.console import Console

pytest.importorskip("lm_eval")
pytest.importorskip("datasets")
pytest.importorskip("torch")

from helpers.evaluations import some
from helpers.scripted_engine import DEFAULTS, Scripted, records
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.engines.transformers import TransformersEngine
from rzero_cli.errors import DataError
from rzero_cli.evaluation.passes import evaluate_data
from rzero_cli.evaluation.scores import Answered, summarize
from rzero_cli.evaluation.tables import results_table
from rzero_cli.method.prompts import Messages, prompt_for

QUESTIONS = records(*({"question": f"{i} + {i}?", "reference": str(2 * i)} for i in range(5)))


# --- the arithmetic -------------------------------------------------------------------------------

SCRIPT = {
    "half?": [r"\boxed{0.5}", r"so \boxed{\frac{1}{2}}", r"\boxed{2}", r"\boxed{0.50}", "?"],
    "seven?": ["hm", r"\boxed{7}", r"\boxed{8}", r"\boxed{8}", r"\boxed{7"],
    "three?": [r"\boxed{4}", r"\boxed{3}", r"\boxed{4}", r"\boxed{3}", r"\boxed{4}"],
    "four?": [r"\boxed{4}", r"\boxed{4}", r"\boxed{3}", r"\boxed{4}", r"\boxed{3}"],
}
ASKED = records(
    {"id": "h", "question": "half?", "reference": "1/2", "group": "a"},
    {"id": "s", "question": "seven?", "reference": "7", "group": "a"},
    {"id": "t", "question": "three?", "reference": "3", "group": "b"},
    {"id": "f", "question": "four?", "reference": "4", "group": "b"},
)


def test_benchmark_scores_by_hand(equivalence: Equivalence) -> None:
    engine = Scripted(SCRIPT, truncated="hm")
    result = evaluate_data(engine, ASKED, equivalence=equivalence, **DEFAULTS)
    samples = {s["id"]: s for s in result["samples"]}

    assert samples["h"]["answers"] == [r"\frac{1}{2}", "2", "0.50", None]
    assert samples["h"]["correct"] == [True, False, True, False]
    assert samples["s"]["answers"] == ["7", "8", "8", None]
    assert [s["greedy"] for s in samples.values()] == [True, False, False, True]
    # A tie goes to the smallest canonical key: 3, which is right for one question only.
    assert [s["majority"] for s in samples.values()][2:] == ["3", "3"]
    assert [s["maj"] for s in samples.values()] == [True, False, True, False]

    assert result["greedy"]["score"] == 2 / 4
    assert result["mean_at_k"]["score"] == (2 / 4 + 1 / 4 + 2 / 4 + 2 / 4) / 4
    assert result["maj_at_k"]["score"] == 2 / 4
    # Wilson's interval for 2 of 4.
    assert result["greedy"]["ci95"] == pytest.approx([0.1500, 0.8500], abs=1e-4)
    assert (result["n"], result["k"], result["tokens"]) == (4, 4, 20 * 5)
    assert result["unreadable"] == 3 / 20
    assert result["truncated"] == 1 / 20
    assert result["timeouts"] == 0

    groups = result["groups"]
    assert {name: group["n"] for name, group in groups.items()} == {"a": 2, "b": 2}
    assert [groups[g]["greedy"]["score"] for g in "ab"] == [1 / 2, 1 / 2]
    assert [groups[g]["mean_at_k"]["score"] for g in "ab"] == [3 / 8, 1 / 2]
    assert [groups[g]["maj_at_k"]["score"] for g in "ab"] == [1 / 2, 1 / 2]


def test_references_that_are_solutions_are_read(equivalence: Equivalence) -> None:
    solved = [
        row.record | {"reference": f"So it is.\n#### {row.record['reference']}"} for row in ASKED
    ]
    engine, lines = Scripted(SCRIPT), list(records(*solved))
    result = evaluate_data(engine, lines, equivalence=equivalence, **DEFAULTS)
    assert [s["reference"] for s in result["samples"]] == [r.record["reference"] for r in ASKED]
    assert result["greedy"]["score"] == 2 / 4
    whole = {"reference_extract": ("whole",)}
    result = evaluate_data(engine, lines, equivalence=equivalence, **DEFAULTS, **whole)
    assert result["greedy"]["score"] == 0


def test_results_are_json(equivalence: Equivalence) -> None:
    result = evaluate_data(Scripted(SCRIPT), ASKED, equivalence=equivalence, **DEFAULTS)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_unreadable_answers_are_all_wrong(equivalence: Equivalence) -> None:
    lines = records({"question": "q", "reference": "None"})
    result = evaluate_data(Scripted({"q": ["x"] * 5}), lines, equivalence=equivalence, **DEFAULTS)
    sample = result["samples"][0]
    assert (sample["majority"], sample["maj"], sample["greedy"]) == (None, False, False)
    assert result["mean_at_k"]["score"] == 0
    assert result["unreadable"] == 1


def test_other_keys_and_questions_without_group(equivalence: Equivalence) -> None:
    lines = records(
        {"problem": "three?", "truth": "3", "level": 1},
        {"problem": "four?", "truth": "4", "level": None},
    )
    keys = {"question_key": "problem", "reference_key": "truth", "group_key": "level"}
    result = evaluate_data(Scripted(SCRIPT), lines, equivalence=equivalence, **DEFAULTS, **keys)
    assert {name: group["n"] for name, group in result["groups"].items()} == {"1": 1}
    assert result["n"] == 2


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"question": "q"}, r'held.jsonl:1: key "reference" .* missing'),
        ({"question": "q", "reference": 4}, r'held.jsonl:1: key "reference" must be a string'),
        ({"reference": "4"}, r'held.jsonl:1: key "question"'),
        ({"question": "q", "reference": "4", "group": []}, r'held.jsonl:1: key "group"'),
    ],
)
def test_bad_records_are_named(
    record: dict[str, Any], message: str, equivalence: Equivalence
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate_data(Scripted({}), records(record), equivalence=equivalence, **DEFAULTS)


def test_benchmark_without_records_is_an_error(equivalence: Equivalence) -> None:
    with pytest.raises(DataError, match="no questions"):
        evaluate_data(Scripted({}), [], equivalence=equivalence, **DEFAULTS)


def test_lone_surrogates_are_evaluated(equivalence: Equivalence) -> None:
    lines = records({"question": "\ud800?", "reference": "\ud800"})
    engine = Scripted({"\ud800?": [r"\boxed{5}"] * 5})
    result = evaluate_data(engine, lines, equivalence=equivalence, **DEFAULTS)
    assert result["greedy"]["score"] == 0


def test_prompt_of_several_turns_reaches_the_engine(equivalence: Equivalence) -> None:
    seen: list[Messages] = []

    class Listening(Scripted):
        def complete(self, asked: Iterable[Any], *rest: Any, **more: Any) -> Any:
            listed = list(asked)
            seen.extend(prompt for _, prompt in listed)
            return super().complete(listed, *rest, **more)

    prompt = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "an example"},
        {"role": "assistant", "content": r"{\boxed{1}}"},
        {"role": "user", "content": "{question}"},
    ]
    settings = DEFAULTS | {"k": 0, "prompt": prompt}
    evaluate_data(Listening(SCRIPT), ASKED[:1], equivalence=equivalence, **settings)
    assert seen == [prompt_for(prompt, "half?")]


def test_summary_of_one_question_without_samples() -> None:
    summary = summarize([{"greedy": True, "correct": [], "maj": None, "group": None}], 0)
    assert (summary["greedy"]["score"], summary["mean_at_k"], summary["groups"]) == (1, None, {})
    assert summary["greedy"]["stderr"] is None


def test_results_table_shows_scores_groups_and_intervals(equivalence: Equivalence) -> None:
    result = evaluate_data(Scripted(SCRIPT), ASKED, equivalence=equivalence, **DEFAULTS)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(results_table({"held.jsonl": result}))
    text = capture.get()
    assert [word in text for word in ("mean@4", "maj@4", "held.jsonl", "  a ", "  b ")] == [
        True
    ] * 5
    assert "50.0 (15.0-85.0)" in text


# --- a real model ---------------------------------------------------------------------------------


def run(engine: TransformersEngine, equivalence: Equivalence, **changes: Any) -> dict[str, Any]:
    """Evaluate the tiny model; add its journal as "log" and its completions as "shown"."""
    log: dict[int, dict[str, Any]] = {}
    shown: list[dict[str, Any]] = []
    how = DEFAULTS | {"log": log.__setitem__, "report": shown.append} | changes
    result = evaluate_data(engine, QUESTIONS, equivalence=equivalence, **how)
    assert result.pop("seconds") >= 0
    return result | {"log": log, "shown": shown}


def texts(result: dict[str, Any], which: str) -> list[list[str]]:
    return [record["completions"] for record in result["shown"] if record["pass"] == which]


def test_k_samples_are_different(engine: TransformersEngine, equivalence: Equivalence) -> None:
    result = run(engine, equivalence)
    assert [len(answers) for answers in texts(result, "greedy")] == [1] * 5
    assert [len(set(answers)) for answers in texts(result, "sampled")] == [4] * 5


def test_repeated_question_is_sampled_twice(
    engine: TransformersEngine, equivalence: Equivalence
) -> None:
    log: dict[int, dict[str, Any]] = {}
    questions = QUESTIONS[:1] * 2
    evaluate_data(engine, questions, equivalence=equivalence, log=log.__setitem__, **DEFAULTS)
    greedy_1, greedy_2, sampled_1, sampled_2 = (log[number]["completions"] for number in range(4))
    assert greedy_1 == greedy_2
    assert len({*sampled_1, *sampled_2}) == 8


def test_evaluation_depends_only_on_the_seed(
    engine: TransformersEngine, equivalence: Equivalence
) -> None:
    first = run(engine, equivalence)
    assert run(engine, equivalence) == first
    other = run(engine, equivalence, seed=1)
    assert texts(other, "greedy") == texts(first, "greedy")
    assert texts(other, "sampled") != texts(first, "sampled")


def test_greedy_answers_do_not_depend_on_sampling(
    engine: TransformersEngine, equivalence: Equivalence
) -> None:
    changes = ({}, {"k": 2}, {"k": 0}, {"temperature": 0.3, "top_k": 3}, {"seed": 7})
    runs = [run(engine, equivalence, **change) for change in changes]
    assert len({json.dumps(texts(one, "greedy")) for one in runs}) == 1


@pytest.mark.parametrize("change", [{"k": 0}, {"temperature": 0.0}])
def test_without_sampling_there_are_only_greedy_scores(
    change: dict[str, Any], engine: TransformersEngine, equivalence: Equivalence
) -> None:
    result = run(engine, equivalence, **change)
    assert (result["k"], result["mean_at_k"], result["maj_at_k"]) == (0, None, None)
    assert result["samples"][0]["answers"] == result["samples"][0]["correct"] == []
    assert texts(result, "sampled") == []


def test_token_counts_and_truncation_match_the_completions(
    engine: TransformersEngine, equivalence: Equivalence
) -> None:
    result = run(engine, equivalence, max_tokens=3)
    truncated = [t for record in result["log"].values() for t in record["truncated"]]
    assert result["tokens"] == sum(t for record in result["log"].values() for t in record["tokens"])
    assert result["truncated"] == sum(truncated) / 25
    assert result["truncated"] > 0


def test_progress_covers_every_answer(engine: TransformersEngine, equivalence: Equivalence) -> None:
    steps: list[Answered] = []
    result = run(engine, equivalence, on_progress=steps.append)
    assert [step.answers for step in steps] == [1] * 5 + [4] * 5
    assert sum(step.tokens for step in steps) == result["tokens"]
    # Progress comes in the order in which requests finish.
    right = [
        [s["greedy"] for s in result["samples"]],
        [sum(s["correct"]) for s in result["samples"]],
    ]
    assert [sorted(step.right for step in part) for part in (steps[:5], steps[5:])] == [
        sorted(part) for part in right
    ]
    assert not any(step.earlier for step in steps)
    steps.clear()
    run(engine, equivalence, on_progress=steps.append, done=some(result["log"], 7))
    assert sorted(step.earlier for step in steps) == [False] * 3 + [True] * 7


@pytest.mark.parametrize("finished", [1, 5, 7, 10])
def test_interrupted_evaluation_resumes_to_the_same_results(
    finished: int, engine: TransformersEngine, equivalence: Equivalence
) -> None:
    whole = run(engine, equivalence)
    done = some(whole["log"], finished)
    rest = run(engine, equivalence, done=done)
    new = rest.pop("log")
    assert not new.keys() & done.keys()
    assert new | done == whole.pop("log")
    assert rest == whole


def test_evaluate_data_prints_nothing(
    engine: TransformersEngine, equivalence: Equivalence, capfd: pytest.CaptureFixture[str]
) -> None:
    run(engine, equivalence)
    assert capfd.readouterr() == ("", "")
