"""Run checks as subprocesses, one after the other, and report each as soon as it has ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rzero_cli.system.processes import ended_with_us

PASSED, FAILED, RUNNING = "passed", "failed", "running"
NOT_APPLICABLE, NOT_RUN = "not applicable", "not run"
OUT_OF_TIME = "time"
LEAST = 15.0
"""Seconds that must be left to start a check."""


class Failed(Exception):
    """A check's result is wrong; the message has the reason."""


@dataclass(frozen=True)
class Check:
    """A path through the code, taken by real commands."""

    name: str
    about: str
    commands: Sequence[Sequence[str]]
    """Command lines, run in order in the folder of the run."""
    holds: Callable[[Path, list[str]], dict[str, Any]] = lambda folder, outputs: {}
    """Check the results, given the folder and the commands' outputs, and return what to report.

    Raises Failed; any other exception counts as failed, too."""
    packages: Sequence[str] = ()
    """The packages that it needs, by their import names."""
    gpus: int = 0
    """The GPUs that it needs. With 0 it also runs on the CPU."""
    after: Sequence[str] = ()
    """The checks whose files it uses."""
    limit: float = 120.0
    """Seconds until it is killed."""


@dataclass
class Result:
    """The result of a check."""

    name: str
    about: str
    status: str = NOT_RUN
    reason: str = ""
    seconds: float = 0.0
    found: dict[str, Any] = field(default_factory=dict)
    """What the check measured."""


def run(
    checks: Sequence[Check],
    folder: Path,
    *,
    gpus: Sequence[str],
    seconds: float,
    report: Callable[[list[Result]], None],
) -> list[Result]:
    """Run the checks in order.

    Args:
        checks: a check comes after those that it names.
        folder: their working directory, with their output in `logs`.
        gpus: this machine's, as CUDA_VISIBLE_DEVICES names them.
        seconds: the limit of all checks together.
        report: called with all results, before and after each check.
    """
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    results = {check.name: Result(check.name, check.about) for check in checks}
    end = time.monotonic() + seconds
    for check in checks:
        result, left = results[check.name], end - time.monotonic()
        if reason := _not_applicable(check, len(gpus)):
            result.status, result.reason = NOT_APPLICABLE, reason
        elif without := [name for name in check.after if results[name].status != PASSED]:
            # Not applicable if the other is not, either: without its package there is no input.
            result.status = results[without[0]].status
            result.status = NOT_APPLICABLE if result.status == NOT_APPLICABLE else NOT_RUN
            result.reason = f"needs {without[0]}: {results[without[0]].status}"
        elif left < LEAST:
            result.reason = OUT_OF_TIME
        else:
            _run(check, result, folder, gpus, left, lambda: report(list(results.values())))
        report(list(results.values()))
    return list(results.values())


def _run(
    check: Check,
    result: Result,
    folder: Path,
    gpus: Sequence[str],
    left: float,
    report: Callable[[], None],
) -> None:
    """Run a check and set its result."""
    began = time.monotonic()
    result.status = RUNNING
    report()
    visible = {"CUDA_VISIBLE_DEVICES": ",".join(gpus[: max(1, check.gpus)])} if gpus else {}
    try:
        outputs = _commands(check, folder, visible, began + min(check.limit, left))
        result.found = check.holds(folder, outputs)
        result.status = PASSED
    except subprocess.TimeoutExpired:
        if check.limit <= left:
            result.status, result.reason = FAILED, f"not finished in {check.limit:.0f} s"
        else:
            result.status, result.reason = NOT_RUN, f"{OUT_OF_TIME}: ended after {left:.0f} s"
    except KeyboardInterrupt:
        result.status, result.reason = NOT_RUN, "interrupted"
        report()
        raise
    except Failed as error:
        result.status, result.reason = FAILED, str(error)
    except Exception as error:  # a result that is missing or has another form
        result.status, result.reason = FAILED, f"{type(error).__name__}: {error}"
    result.seconds = round(time.monotonic() - began, 1)


def _commands(check: Check, folder: Path, visible: dict[str, str], end: float) -> list[str]:
    """Run the commands of a check, and return their standard outputs.

    Raises:
        Failed: a command failed; the message is the last line of its standard error.
        subprocess.TimeoutExpired: they have not finished at `end`; they are killed, with all
            processes that they started.
    """
    outputs = []
    for number, words in enumerate(check.commands, 1):
        log = folder / "logs" / f"{check.name}-{number}"
        out, errors = log.with_suffix(".out"), log.with_suffix(".err")
        with out.open("wb") as stdout, errors.open("wb") as stderr, ended_with_us():
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=os.environ | visible,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # a Ctrl-C in the terminal ends it through us
            )
            try:
                status = process.wait(max(0.0, end - time.monotonic()))
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if status:
            raise Failed(_last_line(errors) or _ended(status))
        outputs.append(out.read_text("utf-8", "replace"))
    return outputs


def _not_applicable(check: Check, gpus: int) -> str:
    """Return why a check cannot be run on this machine; "" if it can."""
    if check.gpus > gpus:
        return f"needs {check.gpus} GPUs; this machine has {gpus}" if gpus else "no GPU"
    missing = [name for name in check.packages if not installed(name)]
    return f"{', '.join(dict.fromkeys(missing))} not installed" if missing else ""


def installed(package: str) -> bool:
    """Return whether this Python has a package; it is not imported."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _last_line(errors: Path) -> str:
    lines = errors.read_text("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _ended(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


# ------------------------------------------------------------ the report


def write_report(folder: Path, machine: Mapping[str, Any], results: Sequence[Result]) -> None:
    """Write `report.json` and `report.md`; each is complete at any time."""
    rows = [asdict(result) for result in results]
    _write(folder / "report.json", json.dumps({**machine, "checks": rows}, indent=2) + "\n")
    _write(folder / "report.md", as_markdown(machine, results))


def as_markdown(machine: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Return the report as a page."""
    lines = ["# GPU check", "", f"Python {machine['python']}, {machine['system']}", ""]
    if machine["packages"]:
        lines += ["| Package | Installed | Supported |", "|---|---|---|"]
    for package in machine["packages"]:
        there, bounds = package["installed"] or "not installed", package["bounds"] or ""
        outside = " (outside)" if package["fits"] is False else ""
        lines.append(f"| {package['name']} | {there} | {bounds}{outside} |")
    lines += ["", "| Check | Result | Seconds | |", "|---|---|--:|---|"]
    for one in results:
        seconds = f"{one.seconds:.0f}" if one.seconds else ""
        notes = "; ".join(filter(None, [one.reason, describe(one.found)])) or one.about
        notes = notes.replace("|", "\\|")
        lines.append(f"| `{one.name}` | {one.status} | {seconds} | {notes} |")
    lines += ["", *(f"- `{one.name}`: {one.about}" for one in results)]
    return "\n".join(lines) + "\n"


def describe(found: Mapping[str, Any]) -> str:
    """Return what a check measured as a line of text."""
    return ", ".join(f"{name} {_text(value)}" for name, value in found.items())


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return f"({describe(value)})"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)
