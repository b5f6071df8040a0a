"""Check after `make demo` that its summary holds what the README promises.

The Solver is at least 15 points of mean@k above the base model after the last iteration, and the
95 % intervals of the two are far apart.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

POINTS = 0.15


def check(summary: dict[str, list[dict[str, object]]]) -> str:
    """Return the verdict in a line; raise AssertionError if the promise is not kept."""
    rows = {str(row["model"]): row for row in summary["rows"]}
    assert list(rows) == ["base", "base-challenger", "iter-1", "iter-2", "iter-3"], list(rows)
    base, last = rows["base"], rows["iter-3"]
    gain = float(str(last["mean_at_k"])) - float(str(base["mean_at_k"]))
    assert gain >= POINTS, f"gained {gain:.3f}, promised {POINTS}"
    low, high = last["ci95"][0], base["ci95"][1]  # type: ignore[index]
    assert low - high >= POINTS / 2, f"intervals too close: {low:.3f} and {high:.3f}"
    for row in summary["rows"][2:]:
        for key in ("label_accuracy", "p_hat_mean", "questions", "kept", "greedy", "maj_at_k"):
            assert row[key] is not None, (row["model"], key)
    return f"gained {100 * gain:.1f} points of mean@{base['k']}: kept"


if __name__ == "__main__":
    print(check(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
