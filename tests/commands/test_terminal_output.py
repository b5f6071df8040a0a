"""The commands on a terminal with hostile names and records: the output is escaped."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from helpers.pseudo_terminal import FORBIDDEN, HOSTILE, MARKUP, SHOWN, OnTerminal


def test_records_are_escaped_on_a_terminal_and_copied_in_a_pipe(rzero: Any, tmp_path: Path) -> None:
    record = {"question": HOSTILE.replace("\x1b", "").replace("\x07", ""), "answer": "1"}
    raw = json.dumps(record | {"p_hat": 0.5, "é\x85": "\u2066"}, ensure_ascii=False) + "\n"
    assert FORBIDDEN.search(raw)
    (tmp_path / "l.jsonl").write_text(raw)
    shown = OnTerminal(tmp_path, "filter", "l.jsonl", "--quiet")
    assert shown.status == 0
    assert shown.is_harmless()
    assert json.loads(shown.text) == json.loads(raw)
    assert rzero("filter", "l.jsonl").stdout == raw
    # Records that a stage writes itself are also escaped.
    shown = OnTerminal(tmp_path, "score", "l.jsonl", "--quiet")
    assert shown.status == 0, shown.text
    assert shown.is_harmless()
    assert json.loads(shown.text)["é\x85"] == "\u2066"


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value) + "\n")
    return path


def one(score: float) -> dict[str, Any]:
    return {"score": score, "stderr": 0.1, "ci95": [score - 0.1, score + 0.1]}


def result(score: float, k: Any = 0) -> dict[str, Any]:
    sample = {"id": HOSTILE, "question": HOSTILE, "greedy": score, "correct": [], "maj": None}
    task = {"version": 1, "k": k, "n": 1, "greedy": one(score), "samples": [sample]}
    task |= {**one(score), "mean_at_k": one(score) if k else None, "metric": "greedy"}
    versions = {"torch": HOSTILE if score > 0.5 else "2"}
    origin = {"stage": "eval", "versions": versions, "seconds": 1.0, "settings": {}, "parents": []}
    return {
        "tasks": {HOSTILE: task},
        "averages": {HOSTILE: one(score) | {"of": [HOSTILE]}},
        "origin": origin,
    }


FOLDER = HOSTILE  # except for "/", it has no character that a file name cannot contain


def test_stats_escapes_hostile_questions(tmp_path: Path) -> None:
    for name in ("a", FOLDER):
        rows = [{"id": HOSTILE, "question": f"how many {HOSTILE} are there in a dozen of them"}]
        write(tmp_path / "x" / name, rows[0])
    shown = OnTerminal(
        tmp_path, "stats", "x/a", f"x/{FOLDER}", "--against", f"x/{FOLDER}", "--against", "x/a"
    )
    assert shown.status == 0, shown.text
    assert shown.is_harmless(), shown.raw
    assert SHOWN in shown.bare.replace("\n", "")
    assert "[red]r[/]" in shown.bare


def test_compare_escapes_hostile_names(tmp_path: Path) -> None:
    names = [str(write(tmp_path / f"{i} {FOLDER}", result(i))) for i in (0, 1)]
    shown = OnTerminal(tmp_path, "compare", *names)
    assert shown.status == 0, shown.text
    assert shown.is_harmless(), shown.raw
    assert shown.bare.count("[link=evil]l[/link] :boom:") >= 4
    assert f"A = {tmp_path}/0 {SHOWN}" in shown.bare


@pytest.mark.parametrize("options", [(), ("--json",), ("-o", "s.txt", "-o", "s.json")])
def test_report_escapes_hostile_names_and_settings(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    run = tmp_path / FOLDER
    write(run / "base" / "eval.json", result(0.5, k=HOSTILE))
    write(run / "iter-1" / "eval.json", result(0.75, k=HOSTILE))
    write(
        run / "iter-1" / "labeled.jsonl.meta.json",
        {"seconds": 1, "stage": HOSTILE}
        | {"metrics": {"questions": HOSTILE}, "settings": {HOSTILE: HOSTILE}},
    )
    shown = OnTerminal(tmp_path, "report", FOLDER, *options)
    assert shown.status == 0, shown.text
    assert shown.is_harmless(), shown.raw
    if options != ("--json",):
        assert "[red]r[/]" in " ".join(shown.bare.split())
    if "s.txt" in options:
        assert not FORBIDDEN.search((tmp_path / "s.txt").read_text())


def test_lineage_escapes_hostile_records(tmp_path: Path) -> None:
    write(tmp_path / FOLDER, {})
    parents = [{"path": HOSTILE, "sha256": HOSTILE}]
    record = {"stage": HOSTILE, "parents": parents, "settings": {"seed": HOSTILE}, "versions": {}}
    record |= {"directory": str(tmp_path), "output": FOLDER, "finished": HOSTILE, "sha256": "0"}
    write(tmp_path / f"{FOLDER}.meta.json", record)
    for options in ((), ("--json",), ("--verify",)):
        shown = OnTerminal(tmp_path, "lineage", FOLDER, *options)
        assert shown.status in (0, 1), shown.text
        assert SHOWN in shown.bare or "--json" in options
        assert shown.is_harmless(), shown.raw


def test_eval_table_escapes_hostile_names() -> None:
    from rich.console import Console

    from rzero_cli.evaluation.tables import results_table

    found = result(0.5)
    found["tasks"][HOSTILE]["groups"] = {HOSTILE: found["tasks"][HOSTILE]}
    stream = io.StringIO()
    table = results_table(found["tasks"], found["averages"])
    Console(file=stream, width=300, force_terminal=True).print(table)
    assert not FORBIDDEN.search(stream.getvalue())
    assert stream.getvalue().count(f"{SHOWN} {MARKUP}") == 3


def test_env_escapes_hostile_settings(tmp_path: Path) -> None:
    shown = OnTerminal(tmp_path, "env", RZERO_MODEL=HOSTILE, RZERO_ENGINE="[red]")
    assert shown.status == 0
    assert shown.is_harmless(), shown.raw
    assert f"{SHOWN} {MARKUP}" in shown.bare


@pytest.mark.parametrize(
    "arguments",
    [
        ("filter", FOLDER),
        ("label", "q.jsonl", "--solver", f"./{FOLDER}"),
        ("label", "q.jsonl", "--engine", HOSTILE, "--solver", "m"),
        ("filter", f"--{HOSTILE}"),
        (HOSTILE,),
        ("filter", "bad.jsonl"),
        ("filter", "keys.jsonl"),
        ("--debug", "filter", FOLDER),
        ("lineage", FOLDER),
        ("report", FOLDER),
        ("filter", "q.jsonl", "-o", f"nowhere/{FOLDER}"),
        ("filter", "q.jsonl", "--config", FOLDER),
    ],
)
def test_error_messages_escape_hostile_text(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "a"}\n')
    (tmp_path / "bad.jsonl").write_text(HOSTILE)
    (tmp_path / "keys.jsonl").write_text(json.dumps({HOSTILE: 1}))
    shown = OnTerminal(tmp_path, *arguments)
    assert shown.status == 2, shown.text
    assert shown.is_harmless(), shown.raw
    assert arguments[0] == "--debug" or shown.text.count("\n") == 1
    assert shown.text.splitlines()[-1].startswith("rzero: ")


def test_server_messages_are_escaped(tmp_path: Path) -> None:
    from helpers.scripted_server import ScriptedServer, error

    pytest.importorskip("openai")
    (tmp_path / "q.jsonl").write_text('{"question": "a"}\n')
    with ScriptedServer(lambda body: (400, error(HOSTILE))) as server:
        shown = OnTerminal(tmp_path, "label", "q.jsonl", "--quiet", "--endpoint", server.url)
    assert shown.status == 1
    assert r"\x1b]0;owned\x07" in shown.bare
    assert shown.is_harmless(), shown.raw
