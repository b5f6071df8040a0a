"""`rzero lineage`: real records followed back, by the command; what is moved, changed, hostile."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Ended, Refused, Rzero, _run
from forks import ForkServer
from rzero_cli.data.ancestry import MOST_DEEP, nodes, trace
from rzero_cli.data.provenance import (
    content_hash,
    describe,
    hashed_parents,
    write_checkpoint_meta,
    write_file_meta,
)

RZERO = [sys.executable, "-m", "rzero_cli"]
ANSWERS = [{"question": f"What is {n} + 1?", "answers": [str(n + 1)] * 2 + ["0"]} for n in range(3)]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lineage(folder: Path, *arguments: str, **environment: str) -> Ended:
    """The command in `folder`."""
    ended = subprocess.run(
        [*RZERO, "lineage", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        timeout=60,
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def states(tree: dict[str, Any]) -> dict[str, str]:
    return {Path(node["path"]).name: node["state"] for node in nodes(tree)}


def record(parents: list[str], output: str = "out.jsonl") -> dict[str, Any]:
    return describe(
        "vote",
        output=output,
        settings={},
        parents=hashed_parents(parents),
        seconds=0.0,
        metrics={},
    )


@pytest.fixture
def files(rzero: Rzero, tmp_path: Path) -> Path:
    """A folder with `run/`, where train.jsonl came from labeled.jsonl from answers.jsonl; made from
    the folder above."""
    (tmp_path / "run").mkdir()
    write_lines(tmp_path / "run" / "answers.jsonl", ANSWERS)
    for command in (
        ["vote", "run/answers.jsonl", "-o", "run/labeled.jsonl"],
        ["filter", "run/labeled.jsonl", "-o", "run/train.jsonl"],
    ):
        assert rzero(*command).status == 0
    return tmp_path


# ---------------------------------------------------------------- files


def test_a_file_is_followed_back_to_what_has_no_record(files: Path) -> None:
    ended = lineage(files, "run/train.jsonl")
    assert (ended.status, ended.stderr) == (0, "")
    top, middle, bottom = ended.lines
    hashes = {name: content_hash(files / "run" / f"{name}.jsonl") for name in ("train", "labeled")}
    assert top.startswith(f"run/train.jsonl  filter  {hashes['train'][:12]}  preset paper  20")
    assert middle.startswith(f"└── run/labeled.jsonl  vote  {hashes['labeled'][:12]}  ")
    assert bottom.startswith("    └── run/answers.jsonl  ")
    assert not bottom.endswith("]")
    verified = lineage(files, "--verify", "run/train.jsonl")
    assert (verified.status, verified.stdout, verified.stderr) == (0, ended.stdout, "")


def test_a_changed_and_a_missing_parent_are_named(files: Path) -> None:
    labeled = files / "run" / "labeled.jsonl"
    labeled.write_bytes(labeled.read_bytes() + b"\n")  # behind the back of its record
    (files / "run" / "answers.jsonl").unlink()
    ended = lineage(files, "run/train.jsonl")
    assert ended.status == 0
    assert [line.partition("  [")[2] for line in ended.lines] == ["", "changed since]", "missing]"]
    assert ended.stderr == "lineage: since then: 1 changed, 1 missing\n"
    assert lineage(files, "--quiet", "run/train.jsonl").stderr == ""
    verified = lineage(files, "--verify", "run/train.jsonl")
    assert (verified.status, verified.stdout) == (1, ended.stdout)
    expected = "rzero: run/train.jsonl: not as recorded: 1 changed, 1 missing\n"
    assert verified.stderr == expected
    # The artefact itself, too.
    ended = lineage(files, "run/labeled.jsonl")
    assert ended.lines[0].endswith("  [changed since]")


def test_json_is_one_object(files: Path) -> None:
    ended = lineage(files / "run", "train.jsonl", "--json")
    tree = json.loads(ended.stdout)
    assert ended.stdout.count("\n") == 1
    assert list(tree) == [
        *("path", "state", "sha256", "stage", "seed", "preset", "finished", "note", "above"),
        "parents",
    ]
    (labeled,) = tree["parents"]
    (answers,) = labeled["parents"]
    assert [node["path"] for node in (tree, labeled, answers)] == [
        str(files / "run" / f"{name}.jsonl") for name in ("train", "labeled", "answers")
    ]
    assert [node["stage"] for node in (tree, labeled, answers)] == ["filter", "vote", None]
    assert answers["sha256"] == content_hash(files / "run" / "answers.jsonl")
    assert set(states(tree).values()) == {"unchanged"}


@pytest.mark.parametrize("how", ["moved", "copied", "seen from elsewhere"])
def test_a_run_may_be_moved_or_copied(
    files: Path, tmp_path_factory: pytest.TempPathFactory, how: str
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    place = elsewhere / "other"
    if how == "moved":
        shutil.move(files / "run", place)
    elif how == "copied":
        shutil.copytree(files / "run", place)
    else:
        place = files / "run"
    tree = trace(str(place / "train.jsonl"))
    assert states(tree) == dict.fromkeys(
        ("train.jsonl", "labeled.jsonl", "answers.jsonl"), "unchanged"
    )
    assert {Path(node["path"]).parent for node in nodes(tree)} == {place}
    # One artefact alone: its parents stay where they were, and a namesake beside it is not one.
    if how == "copied":
        for name in ("train.jsonl", "train.jsonl.meta.json"):
            shutil.copy(place / name, elsewhere / name)
        (elsewhere / "labeled.jsonl").write_text("{}\n")
        tree = trace(str(elsewhere / "train.jsonl"))
        assert tree["parents"][0]["path"] == str(files / "run" / "labeled.jsonl")
        assert tree["parents"][0]["state"] == "unchanged"


def test_a_parent_without_hash_says_what_it_was(rzero: Rzero, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", ANSWERS)
    piped = f"{' '.join(RZERO)} vote <(cat a.jsonl) -q -o piped.jsonl"
    subprocess.run(["bash", "-c", piped], cwd=tmp_path, check=True)
    (parent,) = trace(str(tmp_path / "piped.jsonl"))["parents"]
    assert (parent["state"], parent["path"][:8]) == ("pipe", "/dev/fd/")
    (tmp_path / "x.jsonl").write_text("{}\n")
    names = ["Qwen/Qwen3-4B-Base", "strong at http://127.0.0.1:8000/v1", "-"]
    write_file_meta(tmp_path / "x.jsonl", tmp_path / "x.jsonl", record(names))
    tree = trace(str(tmp_path / "x.jsonl"), verify=True)
    assert [node["path"] for node in tree["parents"]] == names
    assert [node["state"] for node in tree["parents"]] == ["hub name", "server", "pipe"]
    ended = lineage(tmp_path, "--verify", "x.jsonl")
    assert ended.status == 0
    assert ended.lines[2] == "├── strong at http://127.0.0.1:8000/v1  [server]"


# ---------------------------------------------------------------- checkpoints


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Make a directory that is a checkpoint as far as records go."""

    def make(name: str, parents: list[Path], weights: str = "w") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "model.safetensors").write_text(weights)
        (folder / "config.json").write_text("{}")
        write_checkpoint_meta(folder, record([str(p) for p in parents], str(folder)))
        return folder

    return make


def test_a_checkpoint_put_in_anothers_place_is_noticed_without_its_weights(
    checkpoint: Callable[..., Path],
) -> None:
    base = checkpoint("base", [])
    child = checkpoint("child", [base])
    checkpoint("base", [], weights="of another seed")
    assert states(trace(str(child)))["base"] == "changed"
    # What somebody does to the weights alone only --verify sees.
    checkpoint("base", [])
    (base / "model.safetensors").write_text("edited")
    assert states(trace(str(child)))["base"] == "unchanged"
    hashed: list[str] = []
    found = states(trace(str(child), verify=True, notify=hashed.append))
    assert found == {"child": "unchanged", "base": "changed"}
    assert hashed == [f"hashing {child}", f"hashing {base}"]
    # One without a record tells nothing by itself.
    (base / "rzero.json").unlink()
    assert states(trace(str(child)))["base"] == "unchecked"
    (base / "model.safetensors").write_text("w")
    assert states(trace(str(child), verify=True))["base"] == "unchanged"


def test_what_occurs_again_is_expanded_once_and_hashed_once(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    base = checkpoint("base", [])
    solver = checkpoint("solver", [base], weights="1")
    questions = tmp_path / "q.jsonl"
    questions.write_text("{}\n")
    write_file_meta(questions, questions, record([str(solver)], str(questions)))
    later = checkpoint("later", [questions, solver], weights="2")
    lines = lineage(tmp_path, "later").lines
    # Models first, so that a run's Solvers are the spine of its tree.
    assert [re.split(r"(?<=\w)  ", line)[0] for line in lines] == [
        "later",
        "├── solver",
        "│   └── base",
        "└── q.jsonl",
        "    └── solver",
    ]
    assert [number for number, line in enumerate(lines) if line.endswith("[see above]")] == [4]
    hashed: list[str] = []
    trace(str(later), verify=True, notify=hashed.append)
    assert len(hashed) == len(set(hashed)) == 3


# ---------------------------------------------------------------- records that are wrong


def test_cycles_and_long_chains_end(rzero: Rzero, files: Path) -> None:
    # A file filtered onto itself is its own parent.
    done = rzero("filter", "run/labeled.jsonl", "-o", "run/labeled.jsonl", "--force")
    assert done.status == 0
    tree = trace(str(files / "run" / "labeled.jsonl"))
    assert [node["above"] for node in nodes(tree)] == [False, True]
    a, b = files / "a.jsonl", files / "b.jsonl"
    for one, other in ((a, b), (b, a), (a, b)):
        one.write_text("{}\n")
        write_file_meta(one, one, record([str(other)], str(one)))
    assert [node["above"] for node in nodes(trace(str(a)))] == [False, False, True]
    for number in range(MOST_DEEP + 100):
        path = files / f"{number}.jsonl"
        path.write_text("{}\n")
        parents = [str(files / f"{number - 1}.jsonl")] if number else []
        write_file_meta(path, path, record(parents, str(path)))
    ended = lineage(files, str(path), "--json")
    assert ended.status == 0, ended.stderr
    found = list(nodes(json.loads(ended.stdout)))
    assert len(found) == MOST_DEEP + 1
    assert str(MOST_DEEP) in found[-1]["note"]
    assert lineage(files, str(path)).stdout.count("\n") == MOST_DEEP + 1


def test_hostile_names_are_shown_harmless_and_do_no_harm(tmp_path: Path) -> None:
    names = ["\x1b[2Jq", "two\nlines", "nul\0", "x" * 5000, "\ud800", "\u202ertl", "../../../x"]
    path = tmp_path / "x.jsonl"
    path.write_text("{}\n")
    told = record([]) | {"parents": [{"path": name, "sha256": "\x1b[31m0"} for name in names]}
    told["parents"] += [{"path": "/dev/zero", "sha256": "0"}]
    told |= {"stage": "\x1b[5m", "finished": "\r", "settings": {"seed": "\x07", "preset": [1]}}
    meta = tmp_path / "x.jsonl.meta.json"
    meta.write_text(json.dumps(told))
    ended = lineage(tmp_path, "x.jsonl")
    assert ended.status == 0, ended.stderr
    assert len(ended.lines) == 1 + len(names) + 1
    assert all(character.isprintable() for line in ended.lines for character in line)
    assert r"\x1b[2Jq" in ended.stdout
    assert ended.stdout.count("[missing]") == len(names) + 1
    parents = json.loads(lineage(tmp_path, "x.jsonl", "--json").stdout)["parents"]
    assert parents[0]["path"].endswith(names[0])


BROKEN = ["{", "[]", '{"stage": 1}', "[" * 100_000, '{"stage": "x", "parents": [{"path": 1}]}']


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_record_ends_the_command_or_its_branch(
    refused: Refused, files: Path, text: str
) -> None:
    meta = files / "run" / "labeled.jsonl.meta.json"
    meta.write_text(text)
    assert "run/labeled.jsonl.meta.json: " in refused("lineage", "run/labeled.jsonl")
    ended = lineage(files, "run/train.jsonl")
    assert (ended.status, len(ended.lines)) == (0, 2)
    assert "labeled.jsonl.meta.json: " in ended.lines[1]
    ended = lineage(files, "run/train.jsonl", "--verify")
    assert (ended.status, ended.stderr.count("\n")) == (1, 1)


def test_what_is_no_artefact_is_refused(refused: Refused, files: Path) -> None:
    (files / "plain.json").write_text('{"tasks": {}}')
    os.mkfifo(files / "fifo")
    for path, reason in {
        "nowhere": "no such file or directory",
        "fifo": "no such file or directory",
        "run": "run/rzero.json",
        "run/answers.jsonl": "run/answers.jsonl.meta.json",
        "plain.json": "plain.json.meta.json",
    }.items():
        said = refused("lineage", path)
        assert said.startswith(f"{path}: ")
        assert reason in said


# ---------------------------------------------------------------- what the shell sees


def test_whoever_reads_a_pipe_may_leave(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("{}\n")
    many = [{"path": f"{'y' * 100}{number}", "sha256": "0"} for number in range(3000)]
    meta = tmp_path / "x.jsonl.meta.json"
    meta.write_text(json.dumps(record([]) | {"parents": many}))
    command = f"{' '.join(RZERO)} lineage -q x.jsonl | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("x.jsonl  vote  ")


def test_colours_are_for_terminals(files: Path) -> None:
    assert "\x1b" not in lineage(files, "run/train.jsonl").stdout
    assert "\x1b[1m" in lineage(files, "run/train.jsonl", FORCE_COLOR="1").stdout


def test_torch_is_not_imported(files: Path) -> None:
    code = (
        "import sys; from rzero_cli.cli import run; "
        "assert run(['lineage', '--verify', 'run/train.jsonl']) == 0; "
        "assert not {'torch', 'transformers', 'vllm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=files, check=True, capture_output=True)


# ---------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def run(small_base: Path, forks: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One iteration by the commands, whose Solver is an adapter, and its evaluation."""
    root = tmp_path_factory.mktemp("root")
    base = root / "run" / "base"
    shutil.copytree(small_base, base)
    made = json.loads((base / "rzero.json").read_text())
    write_checkpoint_meta(base, made)  # a base from a cache may be older than its record's keys
    training = "--steps 1 --prompts 4 --batch 4 --group 4 --per-device 16 --lora-r 4 --lora-alpha 8"
    for command in (
        "sample --challenger run/base -n 12 --seed 7 -o run/q.jsonl",
        "label run/q.jsonl --solver run/base --m 4 -o run/l.jsonl",
        "filter run/l.jsonl --delta 0.5 -o run/t.jsonl",
        f"train-solver run/t.jsonl --solver run/base {training} -o run/solver",
        "eval --model run/solver --data run/base/heldout.jsonl --limit 4 --k 0 -o run/eval.json",
    ):
        done = _run(root, [*command.split(), "--preset", "tiny"], forks=forks)
        assert done.status == 0, done.stderr
    return root


@pytest.mark.slow
def test_a_run_is_followed_back_to_its_base(run: Path) -> None:
    ended = lineage(run, "run/eval.json", "--verify")
    assert ended.status == 0, ended.stderr
    shown = [line.partition("  20")[0].split("run/") for line in ended.lines]
    parts = [(len(indent) // 4, *rest.split("  ")) for indent, rest in shown]
    assert (
        [(depth, name, *facts[:1]) for depth, name, *facts in parts]
        == [
            (0, "eval.json", "eval"),
            (1, "solver", "train-solver"),
            (2, "base", "tiny-base"),
            (2, "t.jsonl", "filter"),
            (3, "l.jsonl", "label"),
            (4, "base", "tiny-base"),
            (4, "q.jsonl", "sample"),
            (5, "base", "tiny-base"),
            (1, "base", "tiny-base"),  # an adapter is followed by the base that it needs
            (1, "base/heldout.jsonl", content_hash(run / "run" / "base" / "heldout.jsonl")[:12]),
        ]
    )
    assert parts[6][4:6] == ("seed 7", "preset tiny")
    assert ended.stderr.count("hashing") == 2


@pytest.mark.slow
def test_a_moved_run_is_all_there(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "run", tmp_path / "moved")
    hidden = run.rename(run.with_name("gone"))
    try:
        ended = lineage(tmp_path, "moved/eval.json", "--verify", "--json")
    finally:
        hidden.rename(run)
    assert ended.status == 0, ended.stderr
    found = list(nodes(json.loads(ended.stdout)))
    assert {node["state"] for node in found} == {None, "unchanged"}
    assert all(node["path"].startswith(f"{tmp_path}/moved/") for node in found)


@pytest.mark.slow
def test_weights_that_were_trained_on_are_noticed(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    shutil.copytree(run / "run", place)
    weights = place / "solver" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    hidden = run.rename(run.with_name("gone"))
    try:
        assert states(trace(str(place / "eval.json")))["solver"] == "unchanged"
        ended = lineage(tmp_path, "run/eval.json", "--verify", "-q")
    finally:
        hidden.rename(run)
    assert (ended.status, "1 changed" in ended.stderr) == (1, True)


@pytest.mark.slow
def test_records_hold_the_facts(run: Path) -> None:
    place = run / "run"
    for name, has_tokens in {"q": True, "l": True, "t": False}.items():
        told = json.loads((place / f"{name}.jsonl.meta.json").read_text())
        assert (told["directory"], told["output"]) == (str(run), f"run/{name}.jsonl")
        assert ("tokens" in told) is has_tokens
        assert told["host"]["cores"] >= 1
        assert told["host"]["memory_gib"] > 0
        assert told["host"]["name"]
        assert told["host"]["gpus"] == []
    assert 12 <= json.loads((place / "q.jsonl.meta.json").read_text())["tokens"] <= 12 * 24
    solver = json.loads((place / "solver" / "rzero.json").read_text())
    assert solver["sha256"] == content_hash(place / "solver")
    assert solver["output"] == "run/solver"
