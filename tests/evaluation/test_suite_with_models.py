"""The paper's benchmarks with real models, compared with lm-eval."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Ended, Rzero

lm_eval = pytest.importorskip("lm_eval")
pytest.importorskip("datasets")

from helpers.suite_rows import ROWS, jsonl, load  # noqa: E402
from rzero_cli.evaluation.loading import load_tasks  # noqa: E402
from rzero_cli.evaluation.suite import FOLDER, GENERAL, MATH  # noqa: E402
from rzero_cli.evaluation.suite.docs import grade  # noqa: E402

pytestmark = pytest.mark.usefixtures("own_cache")


def evaluate(
    rzero: Rzero, folder: Path, model: Path, *more: str
) -> tuple[Ended, dict[str, Any], list[dict[str, Any]]]:
    command = ["eval", "--model", model, *more, "-o", "out.json", "--log-samples", "log.jsonl"]
    ended = rzero(*command)
    assert ended.status == 0, ended.stderr
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return ended, json.loads((folder / "out.json").read_text()), log


@pytest.mark.slow
def test_whole_suite_runs_on_local_files(rzero: Rzero, tmp_path: Path, tiny_model: Path) -> None:
    files = [
        f"--data-file={name}={jsonl(tmp_path / f'{name}.jsonl', *[row] * 3)}"
        for name, (row, _, _) in ROWS.items()
    ]
    more = ["--tasks", "rzero_math,rzero_general", *files, "--max-tokens", "8", "--limit", "2"]
    ended, results, log = evaluate(rzero, tmp_path, tiny_model, *more)
    assert list(results["tasks"]) == [*MATH, *GENERAL]
    assert set(results["averages"]) == {"rzero_math", "rzero_general", "rzero_overall"}
    for name, task in results["tasks"].items():
        assert (task["n"], task["k"]) == (2, 32 if "a" in name[6:8] and name[6] == "a" else 0)
        assert results["results"][name]["score,none"] == task["score"]
        assert results["versions"][name] == task["version"] == 1.0
        assert results["n-samples"][name] == {"original": 3, "effective": 2}
        assert task["as_defined"] is False
    assert results["origin"]["settings"]["k"] is None
    sampled = [r for r in log if r["pass"] == "sampled"]
    assert {r["task"] for r in sampled} == {"rzero_amc23", "rzero_aime24", "rzero_aime25"}
    assert all(len(r["completions"]) == 32 and len(set(r["completions"])) > 24 for r in sampled)
    assert "rzero_overall" in ended.stderr


@pytest.mark.slow
def test_option_k_overrides_the_k_of_a_task(rzero: Rzero, tmp_path: Path, tiny_model: Path) -> None:
    names = ("rzero_amc23", "rzero_gsm8k")
    files = [
        f"--data-file={name}={jsonl(tmp_path / f'{name}.jsonl', ROWS[name][0])}" for name in names
    ]
    more = ["--tasks", ",".join(names), *files, "--max-tokens", "8"]
    _, results, _ = evaluate(rzero, tmp_path, tiny_model, *more, "--k", "2")
    amc, gsm8k = (results["tasks"][name] for name in names)
    assert (amc["k"], amc["metric"], amc["greedy"]) == (2, "mean_at_k", None)
    assert (amc["as_defined"], gsm8k["as_defined"]) == (False, True)
    assert results["config"]["model"] == amc["protocol"]["engine"] == "transformers"
    assert (gsm8k["k"], gsm8k["metric"], gsm8k["score"]) == (
        2,
        "greedy",
        gsm8k["greedy"]["score"],
    )
    _, results, _ = evaluate(rzero, tmp_path, tiny_model, *more, "--k", "0", "--force")
    amc = results["tasks"]["rzero_amc23"]
    assert (amc["k"], amc["metric"], amc["mean_at_k"]) == (0, "greedy", None)
    (tmp_path / "rzero.toml").write_text("[eval]\nk = 3\n")
    _, results, _ = evaluate(rzero, tmp_path, tiny_model, *more, "--force")
    assert results["tasks"]["rzero_amc23"]["k"] == results["origin"]["settings"]["k"] == 3


N = 4  # questions of GSM8K that the real model answers


@pytest.fixture(scope="module")
def gsm8k(benchmarks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GSM8K's file at a path without spaces, for commands."""
    path = tmp_path_factory.mktemp("gsm8k") / "test.jsonl"
    path.write_bytes((benchmarks / "gsm8k_test.jsonl").read_bytes())
    return path


def test_grader_agrees_with_lm_eval_on_the_same_outputs(own_gsm8k: str, gsm8k: Path) -> None:
    """Grade the 1,319 solutions as outputs for their own questions, and for the next ones.

    lm-eval's filter, the last number, extracts the answer for both graders.
    """
    how: dict[str, Any] = {"include_path": own_gsm8k, "num_fewshot": 0}
    found = load_tasks(["own_gsm8k"], data_files={"own_gsm8k": str(gsm8k)}, **how)
    theirs = found.others["tasks"]["own_gsm8k"]
    theirs.build_all_requests()
    solutions = [one.doc["answer"] for one in theirs.instances]
    references = [q.reference for q in load("rzero_gsm8k", str(gsm8k)).questions]
    for outputs in (solutions, [*solutions[1:], solutions[0]]):
        for instance, output in zip(theirs.instances, outputs, strict=True):
            instance.resps = [output]
        theirs.apply_filters()
        last = [one.filtered_resps["flexible-extract"] for one in theirs.instances]
        verdicts = [
            bool(theirs.process_results(one.doc, [answer])["exact_match"])
            for one, answer in zip(theirs.instances, last, strict=True)
        ]
        boxed = ["\\boxed{" + answer + "}" for answer in last]
        pairs = zip(boxed, references, strict=True)
        ours = [grade({"reference": r}, [text])["score"] == 1 for text, r in pairs]
        differ = [
            (a, r) for a, r, x, y in zip(last, references, verdicts, ours, strict=True) if x != y
        ]
        assert differ == []
        assert (sum(verdicts) == 1319) == (outputs is solutions)


@pytest.mark.slow
def test_gsm8k_runs_with_a_real_model(
    rzero: Rzero, tmp_path: Path, smollm2: Path, gsm8k: Path
) -> None:
    more = ["--tasks", "rzero_gsm8k", f"--data-file=rzero_gsm8k={gsm8k}", "--limit", str(N)]
    _, results, log = evaluate(rzero, tmp_path, smollm2, *more, "--max-tokens", "64")
    task = results["tasks"]["rzero_gsm8k"]
    assert (task["n"], len(log), results["n-samples"]["rzero_gsm8k"]["effective"]) == (N, N, N)
    # The model writes about the question, but without boxes.
    assert "eggs" in log[0]["completions"][0]
    assert task["unreadable"] > 0.5


@pytest.mark.slow
def test_lm_evals_gsm8k_has_the_same_scores_as_in_lm_eval(
    rzero: Rzero, tmp_path: Path, smollm2: Path, gsm8k: Path
) -> None:
    """Run one task with lm-eval's model class and with `rzero eval`, as chats."""
    source = Path(lm_eval.__file__).parent / "tasks" / "gsm8k" / "gsm8k.yaml"
    own_task(tmp_path, f"{source}", gsm8k, "training_split: null\nfewshot_split: null\n")
    how = ["--tasks", "own", "--include-path", "tasks", "--limit", str(N), "--max-tokens", "48"]
    _, ours, log = evaluate(rzero, tmp_path, smollm2, *how, "--chat", "--batch-size", str(N))
    theirs = lm_eval_alone(tmp_path, smollm2, limit=N, max_gen_toks=48, apply_chat_template=True)
    for name in ("strict-match", "flexible-extract"):
        for key in (f"exact_match,{name}", f"exact_match_stderr,{name}"):
            assert ours["results"]["own"][key] == theirs["results"]["own"][key]
    # Equal scores could both be zero, so the outputs are compared, too.
    rows = [row for row in theirs["samples"]["own"] if row["filter"] == "strict-match"]
    assert [record["completions"][0] for record in log] == [row["resps"][0][0] for row in rows]


def own_task(folder: Path, source: str, data: Path, more: str = "") -> None:
    """Write the task `own` into `folder/tasks`: a task file with local data and no examples."""
    (folder / "tasks").mkdir()
    (folder / "tasks" / "own.yaml").write_text(
        f"include: {source}\ntask: own\ndataset_path: json\ndataset_name: null\n"
        f"dataset_kwargs: {{data_files: {{test: {data}}}}}\nnum_fewshot: 0\n{more}"
    )


ALONE = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

model, limit, length, chat = sys.argv[1:]
found = simple_evaluate(
    model="hf",
    model_args={"pretrained": model, "dtype": "float32"},
    tasks=["own"],
    task_manager=TaskManager(include_path="tasks", include_defaults=False),
    device="cpu",
    batch_size=int(limit),
    limit=int(limit),
    gen_kwargs={"max_gen_toks": int(length)},
    apply_chat_template=chat == "True",
    fewshot_as_multiturn=chat == "True",
)
with open("theirs.json", "w") as stream:
    json.dump({key: found[key] for key in ("results", "samples")}, stream, default=str)
"""


def lm_eval_alone(
    folder: Path, model: Path, *, limit: int, max_gen_toks: int, apply_chat_template: bool = False
) -> dict[str, Any]:
    """Return lm-eval's results for the task `own`."""
    arguments = [str(model), str(limit), str(max_gen_toks), str(apply_chat_template)]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *arguments],
        cwd=folder,
        env=os.environ | {"HF_DATASETS_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((folder / "theirs.json").read_text())
    assert isinstance(results, dict)
    return results


@pytest.mark.slow
def test_lm_eval_alone_runs_the_task_files(tmp_path: Path, tiny_model: Path, gsm8k: Path) -> None:
    own_task(tmp_path, f"{FOLDER}/gsm8k.yaml", gsm8k)
    theirs = lm_eval_alone(tmp_path, tiny_model, limit=3, max_gen_toks=8)["results"]["own"]
    assert (theirs["score,none"], theirs["unreadable,none"]) == (0.0, 1.0)
