"""The process that compares answers without a canonical key; `Equivalence` runs it as `python -m`.

It is a fork server. The parent imports math-verify once and never computes; it forks a child that
serves requests until it ends or is killed. The parent then reports the failure and forks the next
child, which takes milliseconds. Each request runs under kernel timers for processor time and
wall-clock time, whose signals keep their default action and so end even one long operation on big
integers in C. math-verify's own timeout, a Python exception, would wait for that operation.

The protocol is lines of JSON on stdin and stdout: `"ready"` once, then for each request
`[id, a, b]` a reply `[id, true or false]`, or `null` if it exceeded a limit. `a` and `b` are LaTeX
of one expression, or of a relation's difference of sides after its sign. Arguments: seconds of
processor time, seconds of wall-clock time, MiB of memory.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from rzero_cli.system.processes import end_with_parent

_POINTS = ((3, 7), (-5, 11))  # numerators and denominators of two trial values
_WHOLE = (2, 5)  # trial values of an exponent of -1
# Compared before the first fork, so that children inherit what sympy loads and caches on first use.
_WARM_UP = (
    (r"\sin^2 x + \cos^2 x", "1"),
    (r"\log_2 8", r"\sqrt{9}"),
    (r"\{1, \frac{x}{2}\}", "x"),
    ("2^{n+1}", r"2 \cdot 2^n"),
    ("2^n", "7"),
    (r"\frac{1}{x+1}", r"\frac{1}{1+x}"),
    ("x^2 - 1", r"2^n \pi"),
)

Limits = dict[int, float]  # timer -> seconds

# A child only computes and replies. Should hostile text ever make it do more, it cannot write
# files, start processes (not even as root: `_refuse`) or open many files.
_MOST = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_NPROC: 0, resource.RLIMIT_NOFILE: 32}
_EFFECTS = ("os", "subprocess", "socket", "ctypes", "shutil", "pty", "fcntl", "mmap", "syslog")
_HARMLESS = ("os.listdir", "os.scandir", "os.putenv", "os.unsetenv")  # of imports
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _refuse(event: str, details: tuple[Any, ...]) -> None:
    """Refuse, as an audit hook that cannot be removed, every effect outside of memory."""
    if event == "open":
        acts = bool(details[2] & _TO_WRITE)
    else:
        acts = event.partition(".")[0] in _EFFECTS and event not in _HARMLESS
    if acts:
        raise PermissionError(f"{event} is not allowed in a comparison")


def _comparer() -> Callable[[str, str], bool]:
    """Import math-verify and return `equal(a, b)`, exact and symmetric."""
    import sympy  # type: ignore[import-untyped]
    from latex2sympy2_extended import NormalizationConfig, normalize_latex
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy
    from math_verify import verify
    from math_verify.grader import should_treat_as_complex

    logging.disable(logging.CRITICAL)
    config, normalization = ConversionConfig(lowercase_symbols=False), NormalizationConfig()

    class Converter(_Latex2Sympy):  # type: ignore[misc] # it has no types
        def parse_number(self, text: str) -> Any:
            """Read the digits; the original has sympy evaluate them as Python."""
            digits = text.replace(",", "")
            return sympy.Integer(digits) if digits.isdecimal() else sympy.Float(digits)

    def parse(latex: str, is_real: bool | None) -> Any:
        converter = Converter(is_real=is_real, config=config)
        parsed = converter.parse(normalize_latex(latex, normalization))
        return parsed.subs({x: sympy.I for x in parsed.free_symbols if x.name == "i"})

    def differ_numerically(a: Any, b: Any) -> bool:
        """Return True if two expressions take different values, so that they cannot be equal."""
        if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
            return False
        symbols = sorted(a.free_symbols | b.free_symbols, key=str)
        for (numerator, denominator), whole in zip(_POINTS, _WHOLE, strict=True):
            values = {
                x: sympy.Rational(*((whole + i,) if x.is_integer else (numerator + i, denominator)))
                for i, x in enumerate(symbols)
            }
            difference = (a - b).doit().subs(values).evalf(30)
            if difference.is_number and abs(difference) > sympy.Float("1e-12"):
                return True
        return False

    def with_integers(*expressions: Any) -> list[Any]:
        """Take the exponents of negative numbers for integers, as in (-1)^n."""
        powers = {p for one in expressions for p in one.atoms(sympy.Pow) if p.base.is_negative}
        exponents = {x for p in powers for x in p.exp.free_symbols}
        integers = {x: sympy.Symbol(x.name, integer=True) for x in exponents}
        return [one.subs(integers) for one in expressions]

    def proportional(a: Any, b: Any) -> bool:
        """Return True if a relation of a to 0 is that of b: their ratio is a positive constant."""
        ratio = sympy.simplify(a / b)
        return bool(ratio.is_number and ratio.is_finite and ratio.is_real and ratio > 0)

    def equal(a: str, b: str) -> bool:
        try:
            sign, one, other = _sign_of(a), a, b
            if sign != _sign_of(b):
                return False
            if sign:
                one, other = a.partition(" ")[2], b.partition(" ")[2]
            # The same for both sides: to sympy, a real x and a complex x are different symbols.
            is_complex = should_treat_as_complex(one) or should_treat_as_complex(other)
            x, y = (parse(latex, None if is_complex else True) for latex in (one, other))
            # Only of expressions is a verdict a proof: two sets of solutions may both be empty.
            if not all(isinstance(side, sympy.Expr) and side.is_scalar is not False
                       for side in (x, y)):  # fmt: skip
                return False
            x, y = with_integers(x, y)
            if sign:
                return proportional(x, y) or (sign in "=!=" and proportional(x, -y))
            # Different values are found much faster than a proof of equality fails.
            if differ_numerically(x, y):
                return False
            # Otherwise a float and a fraction that agree to six places would be equal.
            exact = {"float_rounding": 30, "numeric_precision": 50, "timeout_seconds": None}
            return bool(verify(x, y, **exact) or verify(y, x, **exact))
        except (MemoryError, SystemError):  # antlr's parser raises the second if memory is short
            raise
        except Exception:  # an answer that cannot be parsed or compared is not equal
            return False

    return equal


def _sign_of(text: str) -> str:
    """Return the relation of an expression to 0, or "" for an expression."""
    sign = text.partition(" ")[0]
    return sign if sign in ("=", "!=", ">", ">=", "≈", "≡") else ""


def _serve(replies: int, equal: Callable[[str, str], bool], limits: Limits) -> None:
    """Serve requests until stdin ends."""
    while line := _read_line(0):
        request, a, b = json.loads(line)
        for timer, seconds in limits.items():
            signal.setitimer(timer, seconds)
        verdict = equal(a, b)
        for timer in limits:
            signal.setitimer(timer, 0)
        _reply(replies, [request, verdict])


def _read_line(descriptor: int) -> bytes:
    """Read a line unbuffered, so that a killed child does not lose further requests.

    Of several lines the last counts; the others were abandoned when an earlier child ended.
    """
    lines = b""
    while not lines.endswith(b"\n"):
        if not (chunk := os.read(descriptor, 65_536)):
            return b""
        lines += chunk
    return lines.splitlines()[-1]


def _reply(replies: int, message: object) -> None:
    os.write(replies, json.dumps(message).encode() + b"\n")


def _child(replies: int, equal: Callable[[str, str], bool], limits: Limits, parent: int) -> None:
    if not end_with_parent(signal.SIGKILL, parent):
        os._exit(0)
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    for limit, most in _MOST.items():
        resource.setrlimit(limit, (most, most))
    sys.addaudithook(_refuse)
    try:
        _serve(replies, equal, limits)
    except BaseException:
        os._exit(1)
    os._exit(0)


def main() -> None:
    """Serve comparisons in a forked child, replaced if it dies; return when stdin closes."""
    limits = {signal.ITIMER_PROF: float(sys.argv[1]), signal.ITIMER_REAL: float(sys.argv[2])}
    megabytes = int(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.dup(1)
    os.dup2(2, 1)  # nothing that is printed may reach the protocol
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    equal = _comparer()
    for pair in _WARM_UP:
        equal(*pair)
    gc.freeze()  # keeps these objects shared with the children
    _reply(replies, "ready")
    parent = os.getpid()
    while True:
        if (child := os.fork()) == 0:
            _child(replies, equal, limits, parent)
        _, status = os.waitpid(child, 0)
        if status == 0:
            os._exit(0)
        _reply(replies, None)


if __name__ == "__main__":
    main()
