"""What `rzero eval` writes: lm-eval's results, and ours beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rzero_cli.evaluation.scores import average
from rzero_cli.evaluation.suite import GENERAL, MATH, PAPER

__all__ = ["averages", "joined", "merged"]

_PER_TASK = ("configs", "versions", "n-shot", "n-samples")
_NAMES = ("name", "alias")


def merged(
    found: Mapping[str, Any],
    owners: Mapping[str, str],
    *,
    drop: Collection[str] = (),
    configs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """lm-eval's results with the passes of one task as one task.

    Args:
        found: what lm-eval's `evaluate` returns.
        owners: by the name of a pass, the task whose pass it is.
        drop: metrics that are no numbers.
        configs: of some tasks, in place of lm-eval's.
    """
    results: dict[str, dict[str, Any]] = {}
    better: dict[str, dict[str, Any]] = {}
    for name, metrics in found["results"].items():
        owner = owners.get(name, name)
        into = results.setdefault(owner, {"name": owner, "alias": owner})
        into |= {
            key: value
            for key, value in metrics.items()
            if key not in _NAMES and key.partition(",")[0].removesuffix("_stderr") not in drop
        }
        directions = found["higher_is_better"].get(name, {})
        better.setdefault(owner, {}).update(
            {metric: up for metric, up in directions.items() if metric not in drop}
        )
    own = {
        key: {name: value for name, value in found[key].items() if owners.get(name, name) == name}
        for key in _PER_TASK
    }
    own["configs"] = {
        name: plain(config) for name, config in {**own["configs"], **(configs or {})}.items()
    }
    rest = {key: value for key, value in found.items() if key not in own}
    return {**rest, **own, "results": results, "higher_is_better": better}


def plain(value: Any) -> Any:
    """A task's configuration as JSON has it: functions by name, since addresses change.

    Where its file lay is left out: a task whose data was given lay in a file of the moment.
    """
    if callable(value):
        return f"{value.__module__.rpartition('/')[2]}.{value.__qualname__}"
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if k != "config_source"}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The results of several calls of lm-eval's, of different tasks, as one."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            whole[key] = {**whole.get(key, {}), **value}
    return whole


def averages(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The suites' averages as the paper forms them, where all their tasks were evaluated.

    Args:
        tasks: results by the task's name.

    Returns:
        `rzero_math`, the mean of its seven benchmarks; `rzero_general`, of its three; and
        `rzero_overall`, which is the paper's "Overall AVG": the mean of the first and of the three
        of the second, four numbers. Each is a score (`scores.average`) with `of`, the names it is
        the mean of, and `paper`, the version meant, or None where a task was not evaluated as it is
        defined: in part, or with another k.
    """
    found: dict[str, Any] = {}
    for name, members in (
        ("rzero_math", MATH),
        ("rzero_general", GENERAL),
        ("rzero_overall", ("rzero_math", *GENERAL)),
    ):
        known = {**tasks, **found}
        if all(member in known for member in members):
            mean = average([known[member] for member in members])
            whole = all(known[member].get("as_defined", True) for member in members)
            of = {"of": list(members), "as_defined": whole, "paper": PAPER if whole else None}
            found[name] = mean | of
    return found
