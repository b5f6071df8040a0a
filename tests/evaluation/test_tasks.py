"""lm-eval's tasks, run with an engine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")
datasets = pytest.importorskip("datasets")
pytest.importorskip("torch")

from helpers.evaluations import some  # noqa: E402
from helpers.scripted_engine import Scripted, records  # noqa: E402
from rzero_cli.engines import Completion, Sampling  # noqa: E402
from rzero_cli.engines.transformers import TransformersEngine  # noqa: E402
from rzero_cli.errors import RzeroError, UsageError  # noqa: E402
from rzero_cli.evaluation.lm import quiet  # noqa: E402
from rzero_cli.evaluation.loading import load_tasks  # noqa: E402
from rzero_cli.evaluation.tasks import evaluate_tasks  # noqa: E402

QUESTIONS = records(*({"question": f"{i} + {i}?", "reference": str(2 * i)} for i in range(5)))


GENERATE = """
task: rzero_sums
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{reference}}"
output_type: generate_until
generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 4}
filter_list:
  - {name: last, filter: [{function: regex, regex_pattern: "(.)$"}, {function: take_first}]}
  - {name: whole, filter: [{function: take_first}]}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 2.0}
"""

CHOOSE = """
task: rzero_choice
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: ["0", "2", "4", "6"]
doc_to_target: "{{[\\"0\\", \\"2\\", \\"4\\", \\"6\\"].index(reference)}}"
output_type: multiple_choice
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""

TASK_DEFAULTS: dict[str, Any] = {
    "k": 3,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "seed": 0,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A directory with tasks on a local file, with a separate data cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "held.jsonl"
    data.write_text("".join(json.dumps(line.record) + "\n" for line in QUESTIONS[:4]), "utf-8")
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name, task in (("sums", GENERATE), ("choice", CHOOSE)):
        (tasks / f"{name}.yaml").write_text(task.replace("DATA", str(data)), "utf-8")
    broken = GENERATE.replace("rzero_sums", "rzero_broken").replace("DATA", "/no/such/file.json")
    (tasks / "broken.yaml").write_text(broken, "utf-8")
    unsafe = GENERATE.replace("rzero_sums", "rzero_unsafe").replace("DATA", str(data))
    (tasks / "unsafe.yaml").write_text(unsafe + "unsafe_code: true\n", "utf-8")
    return str(tasks)


def load(names: list[str], **how: Any) -> dict[str, Any]:
    return load_tasks(names, **how).others


def test_custom_task_is_evaluated(folder: str, engine: TransformersEngine) -> None:
    log: list[dict[str, Any]] = []
    tasks = load(["rzero_sums"], include_path=folder)
    found = evaluate_tasks(engine, tasks, report=log.append, **TASK_DEFAULTS)
    result = found["tasks"]["rzero_sums"]
    assert (result["metric"], result["version"]) == ("exact_match,last", 2.0)
    assert (result["n"], result["k"]) == (4, 3)
    assert {"exact_match,last", "exact_match,whole"} <= set(result["metrics"])
    assert result["stderr"] == found["results"]["rzero_sums"]["exact_match_stderr,last"]
    assert [sample["id"] for sample in result["samples"]] == [0, 1, 2, 3]
    assert [len(sample["correct"]) for sample in result["samples"]] == [3] * 4

    outputs = [(r["pass"], r["id"], r["completions"][0]) for r in log]
    assert [how for how, _, _ in outputs] == ["greedy"] * 4 + ["sampled"] * 12
    assert all(
        len({text for how, i, text in outputs if how == "sampled" and i == q}) > 1 for q in range(4)
    )
    for sample, record in zip(result["samples"], log, strict=False):
        assert sample["greedy"] == (record["completions"][0][-1:] == record["reference"])


def test_tasks_depend_only_on_the_seed(folder: str, engine: TransformersEngine) -> None:
    def outputs(seed: int) -> list[Any]:
        log: list[dict[str, Any]] = []
        tasks = load(["rzero_sums"], include_path=folder)
        evaluate_tasks(engine, tasks, report=log.append, **TASK_DEFAULTS | {"seed": seed})
        return log

    assert outputs(0) == outputs(0)
    assert outputs(0)[:4] == outputs(1)[:4]
    assert outputs(0)[4:] != outputs(1)[4:]


def test_mean_at_k_of_a_task_by_hand(folder: str) -> None:
    # Sampled answers 0, 0, 1 / 2, 2, 2 / 5, 5, 4 / 0, 1, 2 against 0, 2, 4, 6.
    sampled = {"0 + 0?": "001", "1 + 1?": "222", "2 + 2?": "554", "3 + 3?": "012"}

    class Turning(Scripted):
        def complete(self, asked: Any, sampling: Sampling, **more: Any) -> Any:
            seen: dict[str, int] = {}
            for item, messages in asked:
                question = messages[-1]["content"]
                turn = seen[question] = seen.get(question, -1) + 1
                text = sampled[question][turn] if sampling.temperature > 0 else "2"
                yield item, [Completion(f"= {text}", 3, False)]

    tasks = load(["rzero_sums"], include_path=folder)
    result = evaluate_tasks(Turning({}), tasks, **TASK_DEFAULTS)["tasks"]["rzero_sums"]
    assert [s["greedy"] for s in result["samples"]] == [0, 1, 0, 0]
    assert [sum(s["correct"]) for s in result["samples"]] == [2, 3, 1, 0]
    assert result["greedy"]["score"] == 1 / 4
    assert result["mean_at_k"]["score"] == pytest.approx((2 / 3 + 1 + 1 / 3 + 0) / 4)
    assert result["metrics"]["exact_match,whole"] == 0


@pytest.mark.parametrize("finished", [0, 1, 4, 9, 16, 21, 31])
def test_tasks_resume_from_a_journal(
    folder: str, engine: TransformersEngine, finished: int
) -> None:
    """The journal has 32 requests: greedy and sampled answers, and log-likelihoods."""
    shown: list[dict[str, Any]] = []

    def once(done: dict[int, Any]) -> tuple[dict[str, Any], dict[int, Any]]:
        log: dict[int, Any] = {}
        tasks = load(["rzero_sums", "rzero_choice"], include_path=folder)
        how = TASK_DEFAULTS | {"log": log.__setitem__, "report": shown.append, "done": done}
        found = evaluate_tasks(engine, tasks, **how)
        for task in found["tasks"].values():
            task.pop("seconds")
        return found, log

    whole, journal = once({})
    assert sorted(journal) == list(range(32))
    assert {"scores" in record for record in journal.values()} == {True, False}
    done = some(journal, finished)
    rest, more = once(done)
    assert not more.keys() & done.keys()
    assert more | done == journal
    assert rest == whole
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]


def test_log_likelihoods_resume_within_a_block(
    folder: str, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rzero_cli.evaluation.lm._SCORED_AT_ONCE", 6)

    def once(done: dict[int, Any]) -> tuple[Any, dict[int, Any]]:
        log: dict[int, Any] = {}
        tasks = load(["rzero_choice"], include_path=folder)
        how = TASK_DEFAULTS | {"log": log.__setitem__, "done": done}
        return evaluate_tasks(engine, tasks, **how)["tasks"]["rzero_choice"]["samples"], log

    samples, journal = once({})
    for finished in (5, 6, 7, 12, 16):
        done = some(journal, finished)
        more = {number: record for number, record in journal.items() if number not in done}
        assert once(done) == (samples, more)


def test_prompts_are_raw_unless_chat_is_set(
    folder: str, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    complete = engine.complete

    def listen(asked: Iterable[Any], *rest: Any, **more: Any) -> Any:
        listed = list(asked)
        seen.extend(prompt for _, prompt in listed)
        return complete(listed, *rest, **more)

    monkeypatch.setattr(engine, "complete", listen)
    tasks = load(["rzero_sums"], include_path=folder)
    evaluate_tasks(engine, tasks, **TASK_DEFAULTS | {"k": 0})
    template = "{% for m in messages %}<{{m.content}}>{% endfor %}"
    monkeypatch.setattr(engine.tokenizer, "chat_template", template)
    evaluate_tasks(engine, tasks, chat=True, **TASK_DEFAULTS | {"k": 0})
    assert seen[0] == "0 + 0?"
    assert seen[4] == [{"role": "user", "content": "0 + 0?"}]


def test_limit_and_max_tokens_apply_to_tasks(folder: str, engine: TransformersEngine) -> None:
    log: list[dict[str, Any]] = []
    tasks = load(["rzero_sums"], include_path=folder)
    options = TASK_DEFAULTS | {"limit": 2, "max_tokens": 1, "k": 0}
    result = evaluate_tasks(engine, tasks, report=log.append, **options)["tasks"]["rzero_sums"]
    assert (result["n"], result["mean_at_k"]) == (2, None)
    assert all(len(record["completions"][0]) <= 1 for record in log)


def test_log_likelihoods_with_the_transformers_engine(
    folder: str, engine: TransformersEngine
) -> None:
    tasks = load(["rzero_choice", "rzero_sums"], include_path=folder)
    found = evaluate_tasks(engine, tasks, **TASK_DEFAULTS)["tasks"]
    choice = found["rzero_choice"]
    assert (choice["metric"], choice["n"], choice["k"]) == ("acc,none", 4, 0)
    assert choice["greedy"]["score"] == choice["metrics"]["acc,none"]
    assert found["rzero_sums"]["k"] == 3


def test_unsupported_log_likelihoods_are_rejected_before_generation(folder: str) -> None:
    engine = Scripted({})
    tasks = load(["rzero_sums", "rzero_choice"], include_path=folder)
    with pytest.raises(RzeroError, match="task rzero_choice needs log-likelihoods"):
        evaluate_tasks(engine, tasks, **TASK_DEFAULTS)
    assert engine.asked == 0


def test_chat_needs_a_chat_template(
    folder: str, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = load(["rzero_sums"], include_path=folder)
    with pytest.raises(UsageError, match="no chat template"):
        evaluate_tasks(engine, tasks, chat=True, **TASK_DEFAULTS)
    template = "{% for m in messages %}<{{m.content}}>{% endfor %}"
    monkeypatch.setattr(engine.tokenizer, "chat_template", template)
    assert (
        evaluate_tasks(engine, tasks, chat=True, **TASK_DEFAULTS)["tasks"]["rzero_sums"]["n"] == 4
    )


def test_evaluate_tasks_prints_nothing(
    folder: str, engine: TransformersEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    tasks = load(["rzero_sums", "rzero_choice"], include_path=folder)
    evaluate_tasks(engine, tasks, **TASK_DEFAULTS)
    assert capfd.readouterr() == ("", "")


def test_lm_evals_bar_of_prompts_is_hidden(folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    """If lm-eval drops the bar or gets an option for it, `quiet` need not replace its `tqdm`."""
    task = load(["rzero_sums"], include_path=folder)["tasks"]["rzero_sums"]
    task.build_all_requests()
    assert "4/4" in capfd.readouterr().err
    with quiet():
        task.build_all_requests()
    assert capfd.readouterr() == ("", "")
    task.build_all_requests()
    assert "4/4" in capfd.readouterr().err


def test_task_without_data_is_one_line(folder: str) -> None:
    with pytest.raises(RzeroError, match=r"no data for rzero_broken .*/no/such/file") as caught:
        load_tasks(["rzero_broken"], include_path=folder)
    assert "\n" not in str(caught.value)


def test_tasks_that_run_generated_code_are_rejected(folder: str) -> None:
    with pytest.raises(UsageError, match="rzero_unsafe: refused: the task executes code"):
        load_tasks(["rzero_unsafe"], include_path=folder)


def test_yaml_file_is_a_task(folder: str) -> None:
    assert list(load([f"{folder}/sums.yaml"], include_path=folder)["tasks"]) == ["rzero_sums"]


@pytest.mark.slow  # reads the index of lm-eval's own tasks
def test_unknown_task_error_suggests_similar_names(folder: str) -> None:
    with pytest.raises(UsageError, match=r"--tasks gsm8: no such task.*gsm8k"):
        load_tasks(["gsm8"], include_path=folder)
