"""Hostile answers, one for each way to break a parser."""

from __future__ import annotations

NEVER = r"\int \frac{1}{1+x^{17}+\sin x} dx"  # no antiderivative to be found
HOSTILE = [
    NEVER,
    '__import__("os").system("touch broken")',
    "exec('while 1: pass')",
    "9**9**9**9",
    "((((" * 20_000,
    r"\frac{1}{" * 500 + "1" + "}" * 500,
    "1e999999999999",
    "170141183460469231731687303715884105727!",
    r"\sqrt[99999999]{2^{99999999}}",
    "x" * 100_000,
    "{" * 30_000 + "}" * 30_000,
    r"\begin{pmatrix}" + " & ".join(["1"] * 3000) + r"\end{pmatrix}",
    r"\sum_{k=1}^{10^{12}} k!",
    "\x00\x1b[2J",
    "\ud800",
    "‮" * 1000,
    "=" * 20_000,
    r"\boxed{" * 5000,
    "1/" * 5000 + "1",
    "^".join(["2"] * 3000),
    ", ".join(str(n) for n in range(20_000)),
    "+".join(f"x_{{{n}}}^{{{n}}}" for n in range(2000)),
    r"(x+y+z+w+u+v)^{40}(x-y)^{40}",
    r"\left|" * 1000 + "x" + r"\right|" * 1000,
    "A" + " and A" * 10_000,
    "1 " * 20_000,
]
