"""Training curves over the updates of all iterations, from each `log.jsonl`.

The iterations follow each other on one axis. A long curve is plotted as means of several updates,
with at most about `MOST_POINTS` points.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rzero_cli.data.jsonl import read_lines
from rzero_cli.method.plan import LENGTH
from rzero_cli.report.parts import Chart, Series, number

MOST_POINTS = 240
"""Points of a line; more are not visible at this size."""

Log = list[dict[str, Any]]

# (name of the chart, title, y axis, {key of the log: name of the line}, limits of the y axis)
_SHARES = (0.0, 1.02)
_OF_BOTH: list[tuple[str, str, str, dict[str, str], tuple[float, float] | None]] = [
    ("kl", "KL to the reference model", "KL, nats per token", {"kl": "KL"}, None),
    ("entropy", "entropy of the policy", "nats per token", {"entropy": "entropy"}, None),
    (
        "length",
        "completion length",
        "tokens",
        {LENGTH: "mean", "completions/max_length": "longest"},
        None,
    ),
    (
        "idle",
        "groups with equal rewards, truncated completions",
        "fraction",
        {"frac_reward_zero_std": "all rewards equal", "completions/clipped_ratio": "truncated"},
        _SHARES,
    ),
]
_REWARDS: dict[str, dict[str, str]] = {
    "challenger": {
        "reward": "reward",
        "r_unc": "uncertainty r_unc",
        "r_rep": "repetition r_rep",
        "valid": "valid questions",
    },
    "solver": {
        "reward": "reward",
        "agrees_with_label": "agrees with the label",
        "readable": "readable answers",
    },
}


def read_log(path: Path) -> Log:
    """Return the updates in a training log; an incomplete line left by a crash is skipped."""
    lines = read_lines([str(path)], reject=lambda *bad: None)
    return [line.record for line in lines if number(line.record.get("update")) is not None]


def training_charts(role: str, logs: Sequence[tuple[str, Log]]) -> list[Chart]:
    """Return the charts of one role.

    Args:
        role: "challenger" or "solver".
        logs: (name, updates) of each iteration, in order.
    """
    logs = [(name, log) for name, log in logs if log]
    if not logs:
        return []
    starts, end = list[float](), 0.0
    for _, log in logs:
        starts.append(end)
        end += max(line["update"] for line in log)
    bucket = max(1, -(-sum(len(log) for _, log in logs) // MOST_POINTS))
    middle = [(a + b) / 2 for a, b in zip(starts, [*starts[1:], end], strict=True)]
    several = len(logs) > 1
    every = -(-len(logs) // 8)
    place: dict[str, Any] = {
        "x": "update, counted over all iterations" if several else "update",
        "ticks": {
            x: name.removeprefix("iter-") if i % every == 0 else ""
            for i, (x, (name, _)) in enumerate(zip(middle, logs, strict=True))
        }
        if several
        else {},
        "marks": starts[1:],
        "note": f"Each point is the mean of {bucket} updates." if bucket > 1 else "",
        "format": ".3g",
    }
    kinds = [
        ("reward", "reward and its parts", "mean over rollouts", _REWARDS[role], _SHARES),
        *_OF_BOTH,
    ]
    charts = []
    for kind, title, y, keys, limits in kinds:
        lines = [_line(name, key, starts, logs, bucket) for key, name in keys.items()]
        lines = _merge_equal([line for line in lines if line.y])
        if lines:
            values = [y for line in lines for y in line.y]
            within = limits is not None and limits[0] <= min(values) <= max(values) <= limits[1]
            charts.append(
                Chart(
                    id=f"{role}-{kind}",
                    title=f"{role.capitalize()}: {title}",
                    series=lines,
                    y=y,
                    limits=limits if within else None,
                    **place,
                )
            )
    return charts


def _merge_equal(lines: Sequence[Series]) -> list[Series]:
    """Merge lines with equal values, such as a reward and its only part, under both names."""
    found: dict[tuple[float, ...], Series] = {}
    for line in lines:
        same = found.get(tuple(line.y))
        name = f"{same.name} = {line.name}" if same else line.name
        found[tuple(line.y)] = Series(name, line.x, line.y)
    return list(found.values())


def _line(
    name: str, key: str, starts: Sequence[float], logs: Sequence[tuple[str, Log]], bucket: int
) -> Series:
    """Return one metric over all iterations, as means of `bucket` updates that have it."""
    points: list[tuple[float, float]] = []
    for start, (_, log) in zip(starts, logs, strict=True):
        found = [(start + line["update"], number(line.get(key))) for line in log]
        there = [(x, y) for x, y in found if y is not None]
        for i in range(0, len(there), bucket):
            xs, ys = zip(*there[i : i + bucket], strict=True)
            points.append((sum(xs) / len(xs), sum(ys) / len(ys)))
    return Series(name, [x for x, _ in points], [y for _, y in points])
