"""`rzero` for tests of the loop: stages that need a model write prepared results.

`plan.json` in the working directory describes the results: for the probe, how many of 200 questions
each model answers right (the base first); for the labels, how many of 100 questions and answers are
distinct (0: there are none). `guard` is the real one. Each command is logged to `commands.log`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

QUESTIONS = 200


def evaluation(model: str, data: str, right: int) -> dict[str, object]:
    """Return an evaluation that is right on the first `right` questions of a file."""
    samples = [
        {"id": str(n), "question": f"{data} {n}", "greedy": n < right, "correct": [n < right] * 2}
        for n in range(QUESTIONS)
    ]
    score = {"score": right / QUESTIONS, "stderr": 0.02, "ci95": [0, 1]}
    task = {"samples": samples, "k": 2, "metric": "mean_at_k", "data_sha256": data}
    task |= {"greedy": score, "mean_at_k": score}
    return {"tasks": {Path(data).stem: task}, "origin": {"settings": {"model": model}}}


def main(arguments: list[str]) -> None:
    with Path("commands.log").open("a") as log:
        print(*arguments, file=log)
    name = arguments[0]
    if name == "guard":
        from rzero_cli.cli import run

        sys.exit(run(arguments))
    plan = json.loads(Path("plan.json").read_text())
    output = Path(arguments[arguments.index("-o") + 1]) if "-o" in arguments else None
    found = re.search(r"iter-(\d+)", str(output))
    iteration = int(found[1]) if found else 0
    if output is None:  # `stats`
        return
    if name in ("challenge", "train-solver"):
        output.mkdir()
        output /= "rzero.json"
    text = "{}\n"
    if name == "eval":
        model, data = (arguments[arguments.index(flag) + 1] for flag in ("--model", "--data"))
        right = plan["probe"][iteration] if "probe" in data else QUESTIONS // 2
        text = json.dumps(evaluation(model, data, right))
    elif name == "label":
        different = plan["different"][iteration - 1]
        rows = [
            {"question": f"{'abcdefgh'[n % 8]} {n} of {iteration}", "answer": str(n), "p_hat": 0.5}
            for n in (k % different for k in range(100 if different else 0))
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
    output.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
