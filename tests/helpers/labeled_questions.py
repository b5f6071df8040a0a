"""Labelled questions, one for each value of p_hat."""

from __future__ import annotations

import json

LABELED = "".join(
    json.dumps({"question": f"question {k}", "answer": str(k), "p_hat": k / 10}) + "\n"
    for k in range(11)
)
