"""The commands as a shell sees them: help, statuses, pipes, signals, and what they write."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer.main

from conftest import Ended, Refused, Rzero
from forks import Forked, ForkServer
from helpers.empty_checkpoints import hollow_checkpoint
from rzero_cli import cli
from rzero_cli.method.rewards import challenger_rewards

NAMES = [command.name for command in cli.COMMANDS]
HEAVY = (
    "torch",
    "transformers",
    "vllm",
    "trl",
    "datasets",
    "accelerate",
    "peft",
    "lm_eval",
    "matplotlib",
)

LABELED = "".join(
    json.dumps({"question": f"question {k}", "answer": str(k), "p_hat": k / 10}) + "\n"
    for k in range(11)
)


def records(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.lines]


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def shell(folder: Path, script: str, **environment: str) -> Ended:
    """Run a bash script in which `rzero` is this interpreter's."""
    preamble = f'rzero() {{ {shlex.quote(sys.executable)} -m rzero_cli "$@"; }}\n'
    ended = subprocess.run(
        ["bash", "-c", preamble + script],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


# ---------------------------------------------------------------- help and start-up


def test_help_lists_every_command_in_its_group(rzero: Rzero) -> None:
    ended = rzero("--help")
    assert ended.status == 0
    assert ended.stderr == ""
    for text in (*NAMES, *{command.panel for command in cli.COMMANDS}):
        assert text in ended.stdout


@pytest.mark.parametrize("command", cli.COMMANDS, ids=NAMES)
def test_a_command_is_documented(command: cli.Command) -> None:
    app = cli.build(command.name)
    parsed = typer.main.get_command(app).commands[command.name]  # type: ignore[attr-defined]
    summary, *paragraphs = parsed.help.split("\n\n")
    assert summary == command.summary
    at = next(i for i, text in enumerate(paragraphs) if text.startswith("[bold]Examples"))
    examples = paragraphs[at + 1 :]
    assert len(examples) >= 2
    flags = {flag for option in parsed.params for flag in option.opts} | {"--help"}
    for example in examples:
        ours = re.sub(r"\$\([^)]*\)", "FILES", example)  # not what another command is given
        used = re.search(rf"rzero {command.name}\b[^|&>]*", ours)
        assert used, example
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", used.group())) <= flags
    for option in parsed.params:
        assert option.help or option.name == "help", option.name


def test_what_needs_no_model_imports_none(tmp_path: Path) -> None:
    # Options are checked before anything heavy is loaded, too.
    (tmp_path / "labeled.jsonl").write_text(LABELED)
    graded = jsonl({"answer": "1/2", "reference": "0.5"}, {"answer": "x", "reference": "1"})
    (tmp_path / "graded.jsonl").write_text(graded)
    (tmp_path / "empty.jsonl").write_text("")
    runs = [
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in NAMES),
        ["filter", "labeled.jsonl", "-o", "1"],
        ["score", "labeled.jsonl", "-o", "2"],
        ["grade", "graded.jsonl", "-o", "3"],
        ["oracle", "labeled.jsonl", "--world", "-o", "7"],
        ["stats", "7", "--against", "labeled.jsonl"],
        ["label", "labeled.jsonl", "--solver", "nowhere"],
        ["sample", "--challenger", "nowhere"],
        ["challenge", "--challenger", "nowhere", "--solver", "nowhere", "-o", "4"],
        ["train-solver", "labeled.jsonl", "--solver", "nowhere", "-o", "5"],
        ["eval", "--model", "nowhere", "-o", "6"],
    ]
    code = (
        "import json, sys\nfrom rzero_cli.cli import run\n"
        "statuses = [run(arguments) for arguments in json.loads(sys.argv[1])]\n"
        "print(json.dumps([statuses, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, json.dumps(runs)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    statuses, modules = json.loads(ended.stderr.splitlines()[-1])
    assert statuses == [0] * (7 + len(NAMES)) + [2] * 5, ended.stderr
    assert not set(modules) & set(HEAVY)


def test_the_pure_core_imports_at_once() -> None:
    code = (
        "import sys\n"
        "from rzero_cli.data import jsonl, records\n"
        "from rzero_cli.method import filtering, plan, prompts, question, votes\n"
        "print(len(set(sys.modules) & {'numpy', 'scipy', 'sacrebleu', 'sympy', 'torch'}))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout == "0\n"


def test_version(rzero: Rzero) -> None:
    assert re.fullmatch(r"rzero \d+\.\d+\.\d+\n", rzero("--version").stdout)


# ---------------------------------------------------------------- endings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["filter", "--frobnicate"], "No such option: --frobnicate"),
        (["filter", "--preset", "x"], "unknown preset 'x'; known: paper, official, tiny"),
        (["filter", "--limit", "0"], "--limit"),
        (["filter", "--limit", "many"], "--limit"),
        (["filter", "--delta"], "--delta"),
        (["filter", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["filter", "."], ".: is a directory, not a file"),
        (["filter", "-o", "nowhere/out.jsonl"], "no such folder"),
        (["filter", "-o", "taken"], "taken exists: choose another name, or replace it"),
        (["filter", "-o", "folder", "--force"], "folder is a directory: give -o a file in it"),
        (["score", "-o", "folder", "--force"], "folder is a directory: give -o a file in it"),
        (["score", "-o", "taken"], "taken exists"),
        (["score", "--resume"], "--resume needs -o FILE"),
        (["score", "--bleu", "x"], "--bleu x: unknown; known: 13a"),
        (["score", "--rule", "x"], "--rule x: unknown; known: paper, official"),
        (["score", "--tau-bleu", "1.5"], "--tau-bleu"),
        (["score", "--lambda-rep", "-1"], "--lambda-rep"),
        (["score", "--batch", "0"], "--batch"),
        (["score", "nowhere.jsonl", "-o", "out"], "nowhere.jsonl: no such file"),
        (["grade", "nowhere.jsonl", "-o", "out"], "nowhere.jsonl: no such file"),
        (["label"], "--solver is missing: give a checkpoint directory or a hub name, or set RZ"),
        (["label", "--solver", "nowhere"], "--solver nowhere: no such directory"),
        (["label", "--solver", "./nowhere/x"], "--solver ./nowhere/x: no such directory"),
        (["label", "--solver", "folder"], "--solver folder: no checkpoint there (no config.json)"),
        (["label", "--solver", "taken"], "--solver taken: a file; a checkpoint is a directory"),
        (["label", "--solver", "model", "--m", "0"], "--m"),
        (["label", "--solver", "model", "--temperature", "-1"], "--temperature"),
        (["label", "--solver", "model", "--top-p", "1.1"], "--top-p"),
        (["label", "--solver", "model", "--engine", "x"], "--engine x: unknown; known: auto"),
        (["label", "--solver", "model", "--prompt-file", "nowhere"], "--prompt-file nowhere"),
        (["label", "--solver", "model", "--prompt-file", "taken"], "needs {question} in it"),
        (["label", "nowhere.jsonl", "--solver", "model"], "nowhere.jsonl: no such file"),
        (["label", "bad.jsonl", "--solver", "model", "-o", "out"], 'bad.jsonl:2: key "question"'),
        (["sample"], "--challenger is missing"),
        (["sample", "--challenger", "model", "-n", "0"], "-n"),
        (["init"], "DIR"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_at_once(
    refused: Refused, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "bad.jsonl").write_text('{"question": "a"}\n{"question": 5}\n')
    (tmp_path / "folder").mkdir()
    hollow_checkpoint(tmp_path / "model")
    before = sorted(tmp_path.rglob("*"))
    assert message in refused(*arguments)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("command", "line", "message"),
    [
        ("filter", "nonsense", "<stdin>:2: not JSON"),
        ("filter", "[]", "<stdin>:2: expected one JSON object a line"),
        ("filter", '{"answer": "1"}', '<stdin>:2: key "p_hat"'),
        ("filter", '{"p_hat": 0.5}', '<stdin>:2: key "answer"'),
        ("filter", '{"answer": 1, "p_hat": 0.5}', '<stdin>:2: key "answer" must be a string'),
        ("filter", '{"answer": "1", "p_hat": 1.5}', '<stdin>:2: key "p_hat" must be between'),
        ("filter", '{"answer": "1", "p_hat": "a"}', '<stdin>:2: key "p_hat" must be a number'),
        ("score", '{"p_hat": 0.5}', '<stdin>:2: key "question"'),
        ("score", '{"question": "a"}', '<stdin>:2: no "p_hat": give --solver MODEL'),
        ("score", '{"question": "a", "p_hat": 2}', '<stdin>:2: key "p_hat" must be between'),
        ("grade", '{"reference": "1"}', '<stdin>:2: key "answer"'),
        ("grade", '{"answer": "1"}', '<stdin>:2: key "reference"'),
        ("grade", '{"answer": 1, "reference": "1"}', '<stdin>:2: key "answer" must be a string'),
        (
            "oracle --world",
            '{"question": null}',
            '<stdin>:2: key "question" must be a string, not null',
        ),
    ],
)
def test_a_bad_record_names_file_line_and_key(
    rzero: Rzero, command: str, line: str, message: str
) -> None:
    good = '{"question": "a", "answer": "1", "p_hat": 0.5, "reference": "1"}\n'
    ended = rzero(*command.split(), input=f"{good}{line}\n{good}")
    assert ended.status == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
    # What stood before it is written, where records stream.
    assert len(ended.lines) == (0 if command == "score" else 1)


def test_a_debugger_gets_the_traceback(rzero: Rzero) -> None:
    assert "Traceback" in rzero("--debug", "filter", "nowhere").stderr
    ended = rzero("filter", "nowhere", environment={"RZERO_DEBUG": "1"})
    assert "Traceback" in ended.stderr


def test_a_full_disk_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "labeled.jsonl").write_text(LABELED)
    for command in ("filter", "score", "grade --reference-key answer"):
        ended = shell(tmp_path, f"rzero {command} labeled.jsonl > /dev/full")
        assert (ended.status, ended.stderr) == (
            1,
            "rzero: standard output: No space left on device\n",
        ), command


def test_quiet_prints_nothing_but_records(rzero: Rzero) -> None:
    for command in (["filter"], ["score"], ["grade", "--reference-key", "answer"]):
        ended = rzero(*command, "--quiet", input=LABELED)
        assert ended.stderr == ""
        assert ended.stdout != ""


def test_an_empty_input_gives_an_empty_output(rzero: Rzero, tmp_path: Path) -> None:
    for number, command in enumerate(("filter", "score", "grade")):
        ended = rzero(command, input="\n\n")
        assert (ended.status, ended.stdout) == (0, "")
        assert rzero(command, "-o", str(number)).status == 0
        assert (tmp_path / str(number)).read_bytes() == b""


def test_an_output_is_replaced_only_by_force_and_knows_where_it_came_from(
    rzero: Rzero, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text(LABELED)
    for command in (["filter"], ["score"]):
        out, meta = tmp_path / "out.jsonl", tmp_path / "out.jsonl.meta.json"
        assert rzero(*command, "in.jsonl", "-o", "out.jsonl").status == 0
        first = out.read_bytes()
        assert rzero(*command, "in.jsonl", "-o", "out.jsonl").status == 2
        assert rzero(*command, "in.jsonl", "-o", "out.jsonl", "--force").status == 0
        assert out.read_bytes() == first
        record = json.loads(meta.read_text())
        assert record["stage"] == command[0]
        assert [parent["path"] for parent in record["parents"]] == ["in.jsonl"]
        assert record["parents"][0]["sha256"] == _sha256(tmp_path / "in.jsonl")
        assert record["sha256"] == _sha256(out)
        assert sorted(tmp_path.iterdir()) == [tmp_path / "in.jsonl", out, meta]
        out.unlink()
        meta.unlink()


def _sha256(path: Path) -> str:
    printed = subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout
    return printed.split()[0]


# ---------------------------------------------------------------- pipes


def test_head_ends_a_command_quietly(tmp_path: Path) -> None:
    (tmp_path / "labeled.jsonl").write_text(LABELED * 2000)
    ended = shell(tmp_path, "set -o pipefail; rzero filter -q labeled.jsonl | head -1")
    assert (ended.status, ended.stderr) == (0, "")
    assert len(ended.lines) == 1
    ended = shell(tmp_path, "set -o pipefail; rzero score -q --batch 11 labeled.jsonl | head -1")
    assert (ended.status, ended.stderr) == (0, "")
    assert len(ended.lines) == 1
    for help in ("--help", "score --help"):
        ended = shell(tmp_path, f"set -o pipefail; rzero {help} | true")
        assert (ended.status, ended.stderr) == (0, "")


def test_stages_follow_one_another_through_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "labeled.jsonl").write_text(LABELED)
    script = "set -o pipefail; rzero filter labeled.jsonl | rzero score --lambda-rep 0 | {}"
    ended = shell(tmp_path, script.format("rzero grade -q --reference-key answer"))
    assert ended.status == 0, ended.stderr
    assert [row["answer"] for row in records(ended)] == list("34567")
    assert all(row["correct"] for row in records(ended))


def test_a_pipe_is_as_good_as_a_file(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "labeled.jsonl").write_text(LABELED)
    for command in ("filter", "score"):
        straight = rzero(command, "labeled.jsonl")
        piped = shell(
            tmp_path, f"rzero {command} <(cat labeled.jsonl) -qo {command} && cat {command}"
        )
        assert straight.stdout == piped.stdout != ""


def test_filter_passes_a_line_on_as_soon_as_it_has_it(tmp_path: Path) -> None:
    line = b'{"answer": "1", "p_hat": 0.5}\n'
    with subprocess.Popen(
        [sys.executable, "-m", "rzero_cli", "filter", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line  # while the input is still open
        process.stdin.close()
        assert process.wait(20) == 0


def test_filter_needs_constant_memory(tmp_path: Path) -> None:
    # 96 MB of records under an address space that holds the interpreter and little more.
    script = (
        'ulimit -v 260000; yes \'{"answer": "1", "p_hat": 0.5, "x": "'
        + "x" * 1000
        + "\"}' | head -n 96000 | rzero filter | wc -l"
    )
    ended = shell(tmp_path, script)
    assert ended.stdout.strip() == "96000", ended.stderr


def test_a_terminal_gets_the_help_and_not_a_hang(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    try:
        for name in ("filter", "score", "grade"):
            ended = subprocess.run(
                [sys.executable, "-m", "rzero_cli", name],
                stdin=theirs,
                capture_output=True,
                text=True,
                cwd=tmp_path,
                timeout=20,
            )
            assert ended.returncode == 2
            assert f"Usage: rzero {name}" in ended.stdout
    finally:
        os.close(ours)
        os.close(theirs)


# ---------------------------------------------------------------- score


def test_score_needs_no_model_where_p_hat_is_there(rzero: Rzero) -> None:
    rows: list[dict[str, Any]] = [
        {"x": [1, {"é": None}], "question": "how many primes are there below 100", "p_hat": 0.5},
        {"question": None, "p_hat": None, "completion": "no tags"},
        {"question": "how many primes are there below 200", "p_hat": 0.7, "reward": "old"},
        {"question": "reverse 12", "p_hat": 1},
    ]
    for rule in ("paper", "official"):
        ended = rzero("score", "--preset", rule, input=jsonl(*rows))
        assert ended.status == 0, ended.stderr
        expected = challenger_rewards(
            [row["question"] for row in rows],
            [row["p_hat"] for row in rows],
            rule=rule,
            bleu="nltk" if rule == "official" else "13a",
        )
        assert records(ended) == [
            row | reward.as_keys() for row, reward in zip(rows, expected, strict=True)
        ]
        # keys that were there stay where they were
        assert list(records(ended)[0])[:3] == ["x", "question", "p_hat"]


def test_score_looks_for_repetition_within_a_batch(rzero: Rzero) -> None:
    rows = [{"question": "the same one", "p_hat": 0.5} for _ in range(4)]
    whole = records(rzero("score", input=jsonl(*rows)))
    assert {row["r_rep"] for row in whole} == {1.0}
    twos = records(rzero("score", "--batch", "2", "--lambda-rep", "0.5", input=jsonl(*rows)))
    assert {row["r_rep"] for row in twos} == {0.5}  # 0.5 * 2/2
    threes = records(
        rzero("score", "--batch", "3", input=jsonl(*rows, rows[0] | {"question": "x"}))
    )
    assert [row["r_rep"] for row in threes] == [1.0, 1.0, 1.0, 0.5, 0.5]


def test_score_reads_another_key_and_only_so_many(rzero: Rzero) -> None:
    rows = [{"problem": f"{word} 1 2", "p_hat": 0.5} for word in ("copy", "reverse", "turn")]
    ended = rzero("score", "--question-key", "problem", "--limit", "2", input=jsonl(*rows))
    assert [row["r_rep"] for row in records(ended)] in ([0.5, 0.5], [1.0, 1.0])
    assert len(ended.lines) == 2


# ---------------------------------------------------------------- grade


def test_grade_compares_answers_and_completions(rzero: Rzero) -> None:
    rows: list[dict[str, Any]] = [
        {"answer": "0.5", "reference": r"\frac{1}{2}", "x": 1},
        {"answer": "0.3333", "reference": "1/3"},
        {"answer": None, "reference": "1"},
        {"completion": r"so \boxed{1} no \boxed{1,234}", "reference": "1234"},
        {"completion": "I do not know", "reference": "1"},
        # an answer counts before a completion
        {"answer": "2", "completion": r"\boxed{1}", "reference": "1"},
    ]
    ended = rzero("grade", input=jsonl(*rows))
    assert ended.status == 0, ended.stderr
    extracted = ["0.5", "0.3333", None, "1,234", None, "2"]
    correct = [True, False, False, True, False, False]
    assert records(ended) == [
        row | {"extracted": e, "correct": c}
        for row, e, c in zip(rows, extracted, correct, strict=True)
    ]
    assert "2 of 6 correct (33.3%)" in ended.stderr


def test_grade_maps_keys(rzero: Rzero) -> None:
    row = {"output": r"\boxed{5}", "gold": "5.0"}
    ended = rzero(
        "grade", "--completion-key", "output", "--reference-key", "gold", input=jsonl(row)
    )
    assert records(ended) == [row | {"extracted": "5", "correct": True}]
    row = {"guess": "6", "gold": "5.0"}
    ended = rzero("grade", "--answer-key", "guess", "--reference-key", "gold", input=jsonl(row))
    assert records(ended) == [row | {"extracted": "6", "correct": False}]


def test_grade_computes_the_truth_of_the_miniature(rzero: Rzero) -> None:
    rows = [
        {"question": "reverse the digits of 4071", "answer": "1704"},
        {"question": "reverse the digits of 4071", "answer": "4071", "reference": "4071"},
    ]
    graded = records(rzero("grade", "--truth", input=jsonl(*rows)))
    assert [row["reference"] for row in graded] == ["1704", "1704"]
    assert [row["correct"] for row in graded] == [True, False]


# ---------------------------------------------------------------- init and env


def test_init_writes_what_make_and_rzero_read(rzero: Rzero, tmp_path: Path) -> None:
    assert rzero("init", "a/b").status == 0
    folder = tmp_path / "a" / "b"
    assert sorted(path.name for path in folder.iterdir()) == ["Makefile", "rzero.toml", "slurm"]
    assert shell(folder, "rzero filter -q").status == 0
    assert subprocess.run(["make", "-n", "help"], cwd=folder, capture_output=True).returncode == 0
    (folder / "rzero.toml").write_text("mine")
    (folder / "Makefile").unlink()
    ended = rzero("init", "a/b")
    assert (ended.status, ended.stderr.count("\n")) == (2, 1)
    assert "exists" in ended.stderr
    assert not (folder / "Makefile").exists()
    assert rzero("init", "a/b", "--force").status == 0
    assert (folder / "rzero.toml").read_text() != "mine"


@pytest.mark.slow
def test_env_tells_what_is_here(rzero: Rzero) -> None:
    found = json.loads(rzero("env", "--json", environment={"RZERO_SEED": "3"}).stdout)
    assert found["machine"]["cores"] == os.cpu_count()
    assert found["engines"]["transformers"] == "ready"
    assert found["packages"]["vllm"] is None or found["packages"]["vllm"][0].isdigit()
    text = rzero("env").stdout
    for name in (*found, *found["packages"]):
        assert name in text


# ---------------------------------------------------------------- with a model

TINY = ["--max-tokens", "24", "--batch-size", "16"]


@pytest.mark.slow
def test_sample_draws_questions(rzero: Rzero, tmp_path: Path, small_base: Path) -> None:
    draw = ["sample", "--challenger", small_base, "-n", "60", *TINY, "--temperature", "2"]
    everything = rzero(*draw, "--keep-malformed")
    assert everything.status == 0, everything.stderr
    rows = records(everything)
    assert len(rows) == 60
    good = [row for row in rows if row["question"] is not None]
    bad = [row for row in rows if row["question"] is None]
    assert good
    assert bad
    assert all(list(row) == ["id", "question", "proposed_answer"] for row in good)
    assert all(row["id"] is None and "completion" in row for row in bad)
    assert f"sample: {len(good)} questions of 60 draws, {len(bad)} malformed" in everything.stderr
    assert rzero(*draw, "-o", "out.jsonl").status == 0
    assert records(Ended(0, (tmp_path / "out.jsonl").read_text(), "")) == good
    metrics = json.loads((tmp_path / "out.jsonl.meta.json").read_text())["metrics"]
    assert metrics == {"drawn": 60, "questions": len(good), "malformed": len(bad)}


@pytest.mark.slow
def test_label_adds_its_keys_and_keeps_the_others(rzero: Rzero, tiny_model: Path) -> None:
    rows = [
        {"z": 123456789012345678901234567890, "problem": "reverse the digits of 12", "é": "\ud800"},
        {"problem": "", "answer": "old"},
        {"problem": "in no token \ud800 at all"},
    ]
    ended = rzero(
        *("label", "--solver", tiny_model, "--m", "4", *TINY),
        *("--question-key", "problem", "--keep-completions"),
        input=jsonl(*rows),
    )
    assert ended.status == 0, ended.stderr
    labeled = records(ended)
    added = ["answer", "p_hat", "m", "majority", "answers", "votes", "completions"]
    assert list(labeled[0]) == ["z", "problem", "é", *added]
    assert list(labeled[1]) == ["problem", *added]
    for row, out in zip(rows, labeled, strict=True):
        assert out | row | {"answer": out["answer"]} == out
        assert out["m"] == len(out["answers"]) == len(out["completions"]) == 4
        assert out["p_hat"] == out["majority"] / 4
        assert out["majority"] == max(out["votes"].values(), default=0)
    assert "label: 3 questions x 4 answers" in ended.stderr


@pytest.mark.slow
def test_the_results_before_a_bad_line_come_out_first(rzero: Rzero, tiny_model: Path) -> None:
    ended = rzero(
        *("label", "--solver", tiny_model, "--m", "2", *TINY),
        input=jsonl({"question": "a"}, {"question": "b"}) + "nonsense\n",
    )
    assert ended.status == 2
    assert len(ended.lines) == 2
    assert "rzero: <stdin>:3: not JSON" in ended.stderr


@pytest.mark.parametrize("offline", ["1", "0"])
def test_a_hub_name_out_of_reach_fails_in_one_line(rzero: Rzero, offline: str) -> None:
    """Told to stay offline, or finding no way to the hub by itself."""
    environment = {"HF_HUB_OFFLINE": offline, "HF_ENDPOINT": "https://hub.invalid"}
    ended = rzero("sample", "--challenger", "nobody/nothing", environment=environment)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.startswith("rzero: --challenger nobody/nothing: no such directory; ")
    assert "out of reach" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_loop_through_pipes(rzero: Rzero, tmp_path: Path, small_base: Path) -> None:
    (tmp_path / "rzero.toml").write_text('preset = "tiny"\n')
    script = (
        "set -eo pipefail\n"
        "rzero sample --challenger $BASE -n 48 | tee questions.jsonl"
        " | rzero label --solver $BASE --m 4 | rzero filter --delta 0.25 > piped.jsonl\n"
    )
    ended = shell(tmp_path, script, BASE=str(small_base))
    assert ended.status == 0, ended.stderr
    for name, command in (
        ("labeled", "label questions.jsonl --m 4"),
        ("train", "filter labeled.jsonl --delta 0.25"),
        # label, then score, is score with a Solver
        ("scored", "score labeled.jsonl"),
        ("both", "score questions.jsonl --m 4"),
        ("graded", "grade --truth labeled.jsonl"),
    ):
        ended = rzero(*command.split(), environment={"RZERO_SOLVER": str(small_base)})
        assert ended.status == 0, ended.stderr
        (tmp_path / f"{name}.jsonl").write_text(ended.stdout)
    files = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in tmp_path.glob("*.jsonl")
    }
    labeled, kept = files["labeled"], files["train"]
    assert len(files["questions"]) == len(labeled) > 24
    assert kept == [row for row in labeled if row["answer"] and 0.25 <= row["p_hat"] <= 0.75]
    assert 0 < len(kept) < len(labeled)
    assert files["piped"] == kept
    assert files["scored"] == files["both"]
    assert {row["correct"] for row in files["graded"]} == {True, False}


def _wait_for_lines(path: Path, count: int, process: Forked) -> None:
    for _ in range(600):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None, "it ended before it was interrupted"
        time.sleep(0.05)
    raise AssertionError("it wrote nothing")


def _group_is_gone(group: int) -> bool:
    """Whether no process of a group is left, within a second."""
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
    """Send a signal after five records of `-o out.jsonl`; returns the exit status."""
    errors = folder / "errors"
    process = forks.start([*command, "-o", "out.jsonl"], cwd=folder, stderr=errors)
    _wait_for_lines(folder / "out.jsonl.part", 5, process)
    process.send_signal(number)
    process.wait(timeout=60)
    assert "Traceback" not in errors.read_text()
    assert _group_is_gone(process.pid)
    assert not (folder / "out.jsonl").exists()
    return process.returncode


@pytest.mark.slow
def test_an_interrupted_label_goes_on_to_the_same_bytes(
    rzero: Rzero, forks: ForkServer, tmp_path: Path, tiny_model: Path
) -> None:
    rows = [{"id": k, "question": f"reverse the digits of {k}"} for k in range(36)]
    (tmp_path / "in.jsonl").write_text(jsonl(*rows))
    command = ["label", "in.jsonl", "--solver", str(tiny_model), "--m", "3"]
    command += ["--max-tokens", "24", "--batch-size", "4", "--keep-completions"]
    part = tmp_path / "out.jsonl.part"

    assert _interrupt(forks, tmp_path, command, signal.SIGTERM) == 143
    assert 5 <= part.read_bytes().count(b"\n") < len(rows)
    refused = rzero(*command, "-o", "out.jsonl")
    assert (refused.status, refused.stderr.count("\n")) == (2, 1)
    other = rzero(*command, "--seed", "1", "-o", "out.jsonl", "--resume")
    assert (other.status, "other settings (seed)" in other.stderr) == (2, True)
    part.unlink()

    assert _interrupt(forks, tmp_path, command, signal.SIGINT) == 130
    finished = part.read_bytes()
    assert 5 <= finished.count(b"\n") < len(rows)
    resumed = rzero(*command, "-o", "out.jsonl", "--resume")
    assert resumed.status == 0, resumed.stderr
    result = (tmp_path / "out.jsonl").read_bytes()
    assert result == rzero(*command).stdout.encode()
    assert result.startswith(finished[: finished.rindex(b"\n") + 1])
    again = rzero(*command, "-o", "out.jsonl", "--resume")
    assert again.status == 0
    assert "out.jsonl is complete already" in again.stderr
    assert not part.exists()


@pytest.mark.slow
def test_a_journal_is_not_continued_with_another_prompt_or_model(
    rzero: Rzero, forks: ForkServer, tmp_path: Path, tiny_model: Path
) -> None:
    # The output lies in the model's folder, whose other files are the same model.
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
    weights.write_bytes(own[:-4] + bytes(4))  # as many, and without a record that would tell
    assert "other settings (models)" in resumed()
    weights.write_bytes(own)
    assert resumed() == ""
    assert len((model / "out.jsonl").read_text().splitlines()) == 36


@pytest.mark.slow
def test_train_solver_refuses_an_empty_set(rzero: Rzero, tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "train.jsonl").write_text("")
    ended = rzero("train-solver", "train.jsonl", "--solver", tiny_model, "-o", "out")
    assert ended.status == 2
    assert ended.stderr.splitlines()[-1].startswith("rzero: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("closed", "said"), [("<&-", "input"), (">&-", "output")])
def test_a_closed_standard_stream_is_said_in_one_line(
    tmp_path: Path, closed: str, said: str
) -> None:
    command = f"{sys.executable} -m rzero_cli filter - {closed}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, input="", cwd=tmp_path, timeout=60
    )
    assert done.returncode == 2
    assert f"standard {said} is closed" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_journal_is_not_continued_with_another_model_in_the_same_place(
    rzero: Rzero, tiny_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    arguments = ("sample", "--challenger", model, "-n", "8", "--max-tokens", "8", "-o", "q.jsonl")
    assert rzero(*arguments).status == 0
    begun = tmp_path / "q.jsonl.part"
    (tmp_path / "q.jsonl").rename(begun)
    settings = {"model": "as it was"}
    (tmp_path / "q.jsonl.part.json").write_text(json.dumps(settings))
    (model / "rzero.json").write_text('{"finished": "later"}')
    refused = rzero(*arguments, "--resume")
    assert refused.status == 2
    assert "was made with other settings" in refused.stderr
    assert "models" in refused.stderr
    assert begun.exists()
