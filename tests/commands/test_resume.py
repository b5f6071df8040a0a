"""`--resume`: an interrupted stage continues to the same bytes, and only with the same settings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from conftest import Rzero
from helpers.boxed_answers import boxed
from helpers.forkserver import Forked, ForkServer
from helpers.json_lines import jsonl, recorded
from helpers.scripted_server import Body, Reply, ScriptedServer, error, question


def _wait_for_records(path: Path, count: int, process: Forked) -> None:
    for _ in range(600):
        if path.exists() and len(recorded(path)) >= count:
            return
        assert process.poll() is None, "it finished before it was interrupted"
        time.sleep(0.05)
    raise AssertionError("it wrote nothing")


def _group_is_gone(group: int) -> bool:
    """Return True if no process of the group is left within a second."""
    for _ in range(20):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def _interrupt(
    forks: ForkServer, folder: Path, command: list[str], number: signal.Signals
) -> int | None:
    """Send a signal after five records of `-o out.jsonl` and return the exit status."""
    errors = folder / "errors"
    process = forks.start([*command, "-o", "out.jsonl"], cwd=folder, stderr=errors)
    _wait_for_records(folder / "out.jsonl.part", 5, process)
    process.send_signal(number)
    process.wait(timeout=60)
    assert "Traceback" not in errors.read_text()
    assert _group_is_gone(process.pid)
    assert not (folder / "out.jsonl").exists()
    return process.returncode


@pytest.mark.slow
def test_interrupted_label_resumes_to_the_same_bytes(
    rzero: Rzero, forks: ForkServer, tmp_path: Path, tiny_model: Path
) -> None:
    rows = [{"id": k, "question": f"reverse the digits of {k}"} for k in range(36)]
    (tmp_path / "in.jsonl").write_text(jsonl(*rows))
    command = ["label", "in.jsonl", "--solver", str(tiny_model), "--m", "3"]
    command += ["--max-tokens", "24", "--batch-size", "4", "--keep-completions"]
    part = tmp_path / "out.jsonl.part"

    assert _interrupt(forks, tmp_path, command, signal.SIGTERM) == 143
    assert 5 <= len(recorded(part)) < len(rows)
    refused = rzero(*command, "-o", "out.jsonl")
    assert (refused.status, refused.stderr.count("\n")) == (2, 1)
    other = rzero(*command, "--seed", "1", "-o", "out.jsonl", "--resume")
    assert (other.status, "other settings (seed)" in other.stderr) == (2, True)
    part.unlink()

    assert _interrupt(forks, tmp_path, command, signal.SIGINT) == 130
    finished = recorded(part)
    assert 5 <= len(finished) < len(rows)
    resumed = rzero(*command, "-o", "out.jsonl", "--resume")
    assert resumed.status == 0, resumed.stderr
    result = (tmp_path / "out.jsonl").read_bytes()
    assert result == rzero(*command).stdout.encode()
    records = [json.loads(line) for line in result.splitlines()]
    assert finished == {number: records[number] for number in finished}
    again = rzero(*command, "-o", "out.jsonl", "--resume")
    assert again.status == 0
    assert "out.jsonl is already complete" in again.stderr
    assert not part.exists()


@pytest.mark.slow
def test_resume_refuses_another_prompt_or_model(
    rzero: Rzero, forks: ForkServer, tmp_path: Path, tiny_model: Path
) -> None:
    # The output is in the model's folder; new files there do not change the model.
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "in.jsonl").write_text(jsonl(*({"question": f"copy {k}"} for k in range(36))))
    prompt = [{"role": "user", "content": "{question}"}]
    (model / "prompt.json").write_text(json.dumps(prompt))
    command = ["label", "in.jsonl", "--solver", str(model), "--m", "3", "--batch-size", "4"]
    command += ["--max-tokens", "24", "--prompt-file", "prompt.json"]
    assert _interrupt(forks, model, command, signal.SIGTERM) == 143

    def resumed() -> str:
        process = forks.run([*command, "-o", "out.jsonl", "--resume"], cwd=model)
        return process.stderr.decode() if process.status else ""

    (model / "prompt.json").write_text(json.dumps([*prompt, *prompt]))
    assert "other settings (prompt_file_sha256)" in resumed()
    (model / "prompt.json").write_text(json.dumps(prompt))
    weights = model / "model.safetensors"
    own = weights.read_bytes()
    weights.write_bytes(own[:-4] + bytes(4))  # the same size, and no record with its hash
    assert "other settings (models)" in resumed()
    weights.write_bytes(own)
    assert resumed() == ""
    assert len((model / "out.jsonl").read_text().splitlines()) == 36


@pytest.mark.slow
def test_resume_refuses_changed_weights_at_the_same_path(
    rzero: Rzero, tiny_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    arguments = ("sample", "--challenger", model, "-n", "8", "--max-tokens", "8", "-o", "q.jsonl")
    assert rzero(*arguments).status == 0
    begun = tmp_path / "q.jsonl.part"
    (tmp_path / "q.jsonl").rename(begun)
    settings = {"journal": 2, "model": "as it was"}
    (tmp_path / "q.jsonl.part.json").write_text(json.dumps(settings))
    (model / "rzero.json").write_text('{"finished": "later"}')
    refused = rzero(*arguments, "--resume")
    assert refused.status == 2
    assert "was made with other settings" in refused.stderr
    assert "models" in refused.stderr
    assert begun.exists()


def test_resume_accepts_another_batch_size_and_reports_it(rzero: Rzero, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    rows = [{"question": str(number)} for number in range(6)]
    (tmp_path / "q.jsonl").write_text(jsonl(*rows))
    broken = True

    def answer(body: Body) -> Reply:
        return (400, error("no more credit")) if broken and question(body) == "3" else boxed(body)

    with ScriptedServer(answer) as server:
        command = ("label", "q.jsonl", "--endpoint", server.url, "--m", "2", "-o", "l.jsonl")
        assert rzero(*command, "--batch-size", "1").status == 1
        finished = recorded(tmp_path / "l.jsonl.part")
        assert sorted(finished) == [0, 1, 2]
        other = rzero(*command, "--batch-size", "4", "--top-k", "5", "--resume")
        assert (other.status, other.stderr.count("\n")) == (2, 1)
        assert "was made with other settings (top_k): use the same" in other.stderr
        again = rzero(*command, "--batch-size", "4", "--resume", "--quiet")
        assert (again.status, again.stderr.count("\n")) == (1, 1)
        assert "--batch-size differs" not in rzero(*command, "--batch-size", "4", "--resume").stderr
        broken, before = False, len(server.requests)
        ended = rzero(*command, "--batch-size", "2", "--resume")
        assert ended.status == 0, ended.stderr
        asked = {question(body) for body in server.requests[before:]}
    first, *_ = ended.stderr.splitlines()
    assert first == (
        "label: --batch-size differs from the interrupted run: the remaining records may be "
        "sampled differently"
    )
    assert "3" in asked
    assert not asked & {"0", "1", "2"}
    records = [json.loads(line) for line in (tmp_path / "l.jsonl").read_text().splitlines()]
    assert [record["answer"] for record in records] == list("012345")
    assert finished == {number: records[number] for number in finished}
    meta = json.loads((tmp_path / "l.jsonl.meta.json").read_text())
    assert meta["settings"]["batch_size"] == 2


def test_journal_of_another_version_is_refused_in_one_line(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl({"answers": ["1"]}, {"answers": ["2"]}))
    assert rzero("vote", "a.jsonl", "-o", "v.jsonl").status == 0
    (tmp_path / "v.jsonl.meta.json").unlink()
    (tmp_path / "v.jsonl").rename(tmp_path / "v.jsonl.part")
    (tmp_path / "v.jsonl.part.json").write_text('{"strict": false}')
    refused = rzero("vote", "a.jsonl", "-o", "v.jsonl", "--resume")
    assert (refused.status, refused.stderr) == (
        2,
        "rzero: v.jsonl.part is from another version of rzero: finish it with that version, or "
        "remove v.jsonl.part*\n",
    )
    assert rzero("vote", "a.jsonl", "-o", "v.jsonl", "--resume", "--force").status == 0
    assert len((tmp_path / "v.jsonl").read_text().splitlines()) == 2
