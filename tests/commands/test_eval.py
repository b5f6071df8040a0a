"""`rzero eval`: what it writes and prints, and how it resumes."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import Ended, Rzero, _run
from helpers.forkserver import ForkServer

pytest.importorskip("lm_eval")


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


ROWS = [
    {"question": f"reverse the digits of {k}", "reference": str(k), "group": f"level {k % 2}"}
    for k in range(6)
]


# ---------------------------------------------------------------- one evaluation

K = 3
COMMAND = ["eval", "--model", "base", "--data", "held.jsonl", "--k", str(K), "--max-tokens", "24"]
COMMAND += ["--batch-size", "4"]


def timeless(results: dict[str, Any]) -> dict[str, Any]:
    """Return results without the fields that differ between equal runs: times and host facts."""
    tasks = {
        name: {key: value for key, value in task.items() if key != "seconds"}
        for name, task in results["tasks"].items()
    }
    return {key: value for key, value in results.items() if key != "origin"} | {"tasks": tasks}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_base: Path) -> Path:
    """A folder with thirty of the small base's questions, and a link to the base."""
    folder = tmp_path_factory.mktemp("eval")
    (folder / "base").symlink_to(small_base)
    lines = (small_base / "heldout.jsonl").read_text().splitlines()
    (folder / "held.jsonl").write_text("".join(f"{line}\n" for line in lines[:: len(lines) // 30]))
    (folder / "results.json").write_text("old")
    return folder


@pytest.fixture(scope="module")
def ended(folder: Path, forks: ForkServer) -> Ended:
    more = ["--log-samples", "log.jsonl", "--json", "--force", "-o", "results.json"]
    ended = _run(folder, [*COMMAND, *more], forks=forks)
    assert ended.status == 0, ended.stderr
    return ended


@pytest.fixture(scope="module")
def whole(folder: Path, ended: Ended) -> dict[str, Any]:
    found = json.loads((folder / "results.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def results(whole: dict[str, Any]) -> dict[str, Any]:
    """The result of the only task."""
    (found,) = whole["tasks"].values()
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_eval_results_hold_a_verdict_for_every_answer(
    folder: Path, results: dict[str, Any]
) -> None:
    held = read(folder / "held.jsonl")
    samples = results["samples"]
    for name in ("id", "question", "reference", "group"):
        assert [sample[name] for sample in samples] == [row[name] for row in held]
    assert {len(s["answers"]) for s in samples} == {len(s["correct"]) for s in samples} == {K}
    assert (results["k"], results["n"]) == (K, len(held))
    assert results["greedy"]["score"] == sum(s["greedy"] for s in samples) / len(held)
    shares = [sum(s["correct"]) / K for s in samples]
    assert results["mean_at_k"]["score"] == pytest.approx(sum(shares) / len(held))
    assert results["maj_at_k"]["score"] == sum(s["maj"] for s in samples) / len(held)
    # The answers are neither all right nor all wrong.
    assert 0 < results["greedy"]["score"] < 1
    assert 0 < results["mean_at_k"]["score"] < 1


@pytest.mark.slow
def test_eval_verdicts_match_the_logged_completions(folder: Path, results: dict[str, Any]) -> None:
    from rzero_cli.answers import extract_boxed

    log = read(folder / "log.jsonl")
    n = results["n"]
    assert [record["pass"] for record in log] == ["greedy"] * n + ["sampled"] * n
    assert {record["task"] for record in log} == {"held"}
    assert [record["id"] for record in log] == [sample["id"] for sample in results["samples"]] * 2
    assert [len(record["completions"]) for record in log] == [1] * n + [K] * n
    for sample, greedy, sampled in zip(results["samples"], log[:n], log[n:], strict=True):
        drawn = [extract_boxed(text) for text in sampled["completions"]]
        assert [extract_boxed(greedy["completions"][0])] == [sample["answer"]]
        assert drawn == sample["answers"]
        # The answers are digits, and leading zeros are insignificant.
        same = [a is not None and a.lstrip("0") == sample["reference"].lstrip("0") for a in drawn]
        assert same == sample["correct"] == sampled["correct"]
        assert [greedy["answers"], greedy["correct"]] == [[sample["answer"]], [sample["greedy"]]]
        assert sampled["prompt"][-1]["content"] == sample["question"]
    assert results["tokens"] == sum(sum(record["tokens"]) for record in log)


@pytest.mark.slow
def test_eval_scores_every_group(folder: Path, results: dict[str, Any]) -> None:
    members: dict[str, list[bool]] = {}
    for sample in results["samples"]:
        members.setdefault(sample["group"], []).append(sample["greedy"])
    assert {name: group["n"] for name, group in results["groups"].items()} == {
        name: len(verdicts) for name, verdicts in members.items()
    }
    for name, verdicts in members.items():
        assert results["groups"][name]["greedy"]["score"] == sum(verdicts) / len(verdicts)


@pytest.mark.slow
def test_eval_results_record_their_origin(folder: Path, whole: dict[str, Any]) -> None:
    from rzero_cli.data.provenance import content_hash

    origin = whole["origin"]
    assert origin["stage"] == "eval"
    assert {parent["path"]: parent["sha256"] for parent in origin["parents"]} == {
        name: content_hash(folder / name) for name in ("base", "held.jsonl")
    }
    drawn = {name: origin["settings"][name] for name in ("k", "max_tokens", "seed", "data")}
    assert drawn == {"k": K, "max_tokens": 24, "seed": 0, "data": "held.jsonl"}
    assert origin["seconds"] > 0
    assert {"loading", "generating", "votes and rewards"} <= origin["spent"].keys()


@pytest.mark.slow
def test_eval_json_prints_scores_alone(ended: Ended, results: dict[str, Any]) -> None:
    assert ended.stdout.count("\n") == 1
    shown = {key: value for key, value in results.items() if key != "samples"}
    assert json.loads(ended.stdout) == {"tasks": {"held": shown}, "averages": {}}


@pytest.mark.slow
def test_eval_scores_and_standard_errors_match_lm_eval(whole: dict[str, Any]) -> None:
    theirs, ours = whole["results"]["held"], whole["tasks"]["held"]
    assert (ours["metric"], ours["score"]) == ("mean_at_k", ours["mean_at_k"]["score"])
    for name, metric in (("score", "mean_at_k"), ("greedy", "greedy"), ("maj_at_k", "maj_at_k")):
        assert theirs[f"{name},none"] == pytest.approx(ours[metric]["score"])
        assert theirs[f"{name}_stderr,none"] == pytest.approx(ours[metric]["stderr"])
    assert whole["n-samples"]["held"] == {"original": 30, "effective": 30}
    assert whole["configs"]["held"]["repeats"] == K


@pytest.mark.slow
def test_interrupted_eval_resumes_to_the_same_results(
    folder: Path,
    forks: ForkServer,
    tmp_path: Path,
    whole: dict[str, Any],
    results: dict[str, Any],
) -> None:
    for name in ("base", "held.jsonl"):
        (tmp_path / name).symlink_to(folder / name)
    part = tmp_path / "out.json.part"
    process = forks.start([*COMMAND, "-o", "out.json"], cwd=tmp_path, stderr=tmp_path / "errors")
    while not part.exists() or part.read_bytes().count(b"\n") < 5:
        assert process.poll() is None, "it finished before it was interrupted"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "Traceback" not in (tmp_path / "errors").read_text()
    (tmp_path / "errors").unlink()
    assert not (tmp_path / "out.json").exists()
    finished = part.read_bytes().count(b"\n")
    assert 5 <= finished < 2 * results["n"]

    more = ["-o", "out.json", "--resume", "--log-samples", "log.jsonl"]
    refused = _run(tmp_path, [*COMMAND, *more, "--seed", "1"], forks=forks)
    assert (refused.status, "other settings (seed)" in refused.stderr) == (2, True)
    resumed = _run(tmp_path, [*COMMAND, *more], forks=forks)
    assert (resumed.status, resumed.stdout) == (0, ""), resumed.stderr
    assert "eval: out.json" in resumed.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert timeless(found) == timeless(whole)
    assert found["origin"]["settings"] == whole["origin"]["settings"]
    assert (tmp_path / "log.jsonl").read_bytes() == (folder / "log.jsonl").read_bytes()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"base", "held.jsonl", "out.json", "log.jsonl"}

    # A finished evaluation is not a failure.
    again = _run(tmp_path, [*COMMAND, *more], forks=forks)
    assert (again.status, "out.json is already complete" in again.stderr) == (0, True)


# ---------------------------------------------------------------- choices


@pytest.mark.slow
def test_eval_with_other_keys_a_limit_and_greedy_alone(
    rzero: Rzero, tmp_path: Path, tiny_model: Path
) -> None:
    rows = [{"problem": r["question"], "truth": r["reference"], "level": r["group"]} for r in ROWS]
    # Lines past the limit are not read.
    (tmp_path / "q.jsonl").write_text(jsonl(rows[:3]) + "no record\n")
    keys = ["--question-key", "problem", "--reference-key", "truth", "--group-key", "level"]
    command = ["eval", "--model", tiny_model, "--data", "q.jsonl", *keys, "--limit", "3"]
    ended = rzero(*command, "--k", "0", "--max-tokens", "8", "-o", "out.json")
    assert (ended.status, ended.stdout) == (0, ""), ended.stderr
    assert "mean@" not in ended.stderr
    assert "eval: out.json" in ended.stderr
    results = json.loads((tmp_path / "out.json").read_text())["tasks"]["q"]
    assert (results["k"], results["n"]) == (0, 3)
    assert results["mean_at_k"] is results["maj_at_k"] is None
    assert [s["answers"] for s in results["samples"]] == [[]] * 3
    assert [s["question"] for s in results["samples"]] == [row["problem"] for row in rows[:3]]
    assert [s["reference"] for s in results["samples"]] == [row["truth"] for row in rows[:3]]
    assert {name: group["n"] for name, group in results["groups"].items()} == {
        "level 0": 2,
        "level 1": 1,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "q.jsonl"]


TASK = """
task: rzero_digits
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{reference}}"
output_type: generate_until
generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 4}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1.0}
"""


@pytest.mark.slow
def test_eval_runs_a_custom_task(rzero: Rzero, tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "q.jsonl").write_text(jsonl(ROWS))
    (tmp_path / "tasks").mkdir()
    task = TASK.replace("DATA", str(tmp_path / "q.jsonl"))
    (tmp_path / "tasks" / "digits.yaml").write_text(task)
    command = ["eval", "--model", tiny_model, "--tasks", "rzero_digits", "--include-path", "tasks"]
    command += ["--k", "2", "--limit", "4", "--log-samples", "log.jsonl", "--json"]
    ended = rzero(*command, "-o", "out.json")
    assert ended.status == 0, ended.stderr
    results = json.loads((tmp_path / "out.json").read_text())
    found = results["tasks"]["rzero_digits"]
    assert (found["metric"], found["n"], found["k"]) == ("exact_match,none", 4, 2)
    assert [len(sample["correct"]) for sample in found["samples"]] == [2] * 4
    assert results["origin"]["settings"]["tasks"] == "rzero_digits"
    log = read(tmp_path / "log.jsonl")
    assert [record["pass"] for record in log] == ["greedy"] * 4 + ["sampled"] * 8
    assert [record["reference"] for record in log[:4]] == ["0", "1", "2", "3"]
    printed = json.loads(ended.stdout)
    assert printed["tasks"]["rzero_digits"]["greedy"] == found["greedy"]
    assert ended.stdout.count("\n") == 1


# ---------------------------------------------------------------- a judge


@pytest.mark.slow
def test_judge_scores_are_added_to_the_graders(
    rzero: Rzero, tmp_path: Path, small_base: Path, folder: Path
) -> None:
    """A judge that accepts every answer raises only the judge scores."""
    from helpers.scripted_server import ScriptedServer, completion

    command = ["eval", "--model", small_base, "--data", folder / "held.jsonl", "--k", "2"]
    command += ["--max-tokens", "24", "--limit", "6"]
    alone = rzero(*command, "-o", "alone.json")
    assert alone.status == 0, alone.stderr
    with ScriptedServer(lambda body: (200, completion("same"))) as server:
        ended = rzero(*command, "--judge-endpoint", server.url, "-o", "out.json")
    assert ended.status == 0, ended.stderr
    assert "judged" in ended.stderr
    raw, both = (
        json.loads((tmp_path / name).read_text())["tasks"]["held"]
        for name in ("alone.json", "out.json")
    )
    judged = both.pop("judged")
    wrong = [
        answer
        for s in both["samples"]
        for answer, right in [
            (s["answer"], s["greedy"]),
            *zip(s["answers"], s["correct"], strict=True),
        ]
        if answer is not None and not right
    ]
    assert wrong
    assert (judged["changed"], judged["unclear"]) == (len(wrong), 0)
    assert judged["greedy"]["score"] == sum(s["answer"] is not None for s in both["samples"]) / 6
    assert judged["greedy"]["score"] > both["greedy"]["score"]
    assert {k: v for k, v in both.items() if k != "seconds"} == {
        k: v for k, v in raw.items() if k != "seconds"
    }


@pytest.mark.slow
def test_resume_refuses_another_judge(
    rzero: Rzero, tmp_path: Path, small_base: Path, folder: Path
) -> None:
    from helpers.scripted_server import ScriptedServer, completion

    command = ["eval", "--model", small_base, "--data", folder / "held.jsonl", "--k", "0"]
    command += ["--max-tokens", "24", "--limit", "6", "-o", "out.json"]
    refuses = (400, {"error": "no more"})
    with ScriptedServer(lambda body: refuses, models=("one",)) as server:
        ended = rzero(*command, "--judge-endpoint", server.url)
    assert ended.status == 1
    with ScriptedServer(lambda body: (200, completion("different")), models=("two",)) as server:
        other = rzero(*command, "--judge-endpoint", server.url, "--resume")
    assert (other.status, "other settings (judge)" in other.stderr) == (2, True), other.stderr
