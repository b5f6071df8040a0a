"""Single expressions: their leaves and their LaTeX for the equivalence worker."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rzero_cli.answers.algebra import NotMaths, Undecided, constant, key_of
from rzero_cli.answers.items import kinds_of, text_of
from rzero_cli.answers.parser import APPLIED, Parser, number_of
from rzero_cli.answers.tokens import TIMES, Token
from rzero_cli.answers.trees import Leaf

# What an expression for the worker may hold: no word, no list, no relation but in a sum's index.
_PLAIN = frozenset(
    ("n", "s", "S", "w", "f", "+", "-", "*", "/", "^", "_", "(", ")", "[", "]", "{", "}", ",", "!",
     "=", ":to", r"\frac", r"\sqrt", r"\binom", r"\choose", r"\over", r"\infty")
)  # fmt: skip
_OPEN, _CLOSE = Token("(", "("), Token(")", ")")
_ENDS = {"+", "-", "*", "/", ",", "=", "f", ")", "]", "}"}
_WITHOUT_BRACKETS = {
    f"\\{arc}{name}{h}"
    for name in ("sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp")
    for arc in ("", "arc")
    for h in ("", "h")
}
_INVERSES = re.compile(r"S\^(?:\{-n\}|\{?S\}?)\*?S|S\*?S\^(?:\{-n\}|\{?S\}?)")
_HIDDEN_PRODUCT = re.compile(r"[sS)}\]!]n\^")


def latex_of(tokens: Iterable[Token]) -> str:
    """Return LaTeX with decimals as fractions, so that the worker sees no floats."""
    return " ".join(
        "\\frac{{{}}}{{{}}}".format(*number_of(t.text).as_integer_ratio())
        if t.kind == "n" and not t.text.isdigit()
        else t.text
        for t in tokens
    ).replace("*", r"\cdot")


def worker_latex(tokens: Iterable[Token]) -> str:
    """Return LaTeX that math-verify reads as it was meant.

    Raises:
        NotMaths: there are two readings.
    """
    written = _with_signs(_with_arguments(_with_applications(list(tokens))))
    return latex_of(_with_braces(written))


def leaf_of(tokens: list[Token]) -> Leaf:
    if len(tokens) == 1 and tokens[0].kind == "n":
        return Leaf(key_of(constant(number_of(tokens[0].text))), tuple(tokens))
    tokens = _with_products(tokens)
    if _depends_on_order(tokens):
        raise NotMaths("a product of matrices")
    if _is_derivative(tokens):
        raise NotMaths("a derivative, not a fraction")
    try:
        value = Parser(tokens).whole()
        comparable = all(token.kind in _PLAIN for token in tokens)
        return Leaf(key_of(value), tuple(tokens) if comparable else ())
    except Undecided:
        return Leaf(None, worker_tokens(tokens))


def _depends_on_order(tokens: list[Token]) -> bool:
    """Return True if a product of capitals may be one of matrices: `A^{-1}B`, `AB - BA`."""
    kinds = kinds_of(tokens)
    if kinds.count("S") < 2:
        return False
    if _INVERSES.search(kinds):
        return True
    pairs = {(tokens[i].text, tokens[i + 1].text) for i in range(len(kinds) - 1)
             if kinds[i : i + 2] == "SS"}  # fmt: skip
    crossed = (
        text_of(tokens[i : i + 3]) for i, t in enumerate(tokens) if kinds[i : i + 3] == "S*S"
    )
    return any(a != b and (b, a) in pairs for a, b in pairs) or any(
        r"\times" in product for product in crossed
    )


def _is_derivative(tokens: list[Token]) -> bool:
    """Return True for `\\frac{dy}{dx}` or `d/dt`."""
    ds = [i for i, token in enumerate(tokens) if token.text == "d"]
    is_quotient = len(ds) > 1 and any(token.kind in ("/", r"\frac") for token in tokens)
    return is_quotient and any(tokens[i + 1].kind == "s" for i in ds if i + 1 < len(tokens))


def worker_tokens(tokens: list[Token]) -> tuple[Token, ...]:
    """Return an expression with all its products written out, and nothing but an expression."""
    depth = 0
    for token in tokens:
        depth += (token.kind in ("(", "[", "{")) - (token.kind in (")", "]", "}"))
        if token.kind not in _PLAIN or (depth == 0 and token.kind in (",", "=", ":to")):
            raise NotMaths(f"{token.text} in an expression")
    _check_readings(tokens)
    worker_latex(tokens)  # raises if there are two readings
    latex_of(tokens)  # raises if a number is too large for the worker
    return tuple(_with_products(tokens))


def _with_arguments(tokens: list[Token]) -> list[Token]:
    r"""Write out what a function is applied to, before an operator: `\sin x \cdot \cos x`.

    Raises:
        NotMaths: there are two readings: `\ln 2 \cdot 3`.
    """
    written: list[Token] = []
    at = 0
    while at < len(tokens):
        if tokens[at].text not in _WITHOUT_BRACKETS:
            written.append(tokens[at])
            at += 1
            continue
        start = at + 1
        while start < len(tokens) and tokens[start].kind in ("^", "_"):
            start = _end(tokens, start + 1)
        is_bracketed = start < len(tokens) and tokens[start].kind in ("(", "[", "{")
        end = _end(tokens, start)
        while not is_bracketed and end < len(tokens) and tokens[end].kind not in _ENDS:
            if tokens[end].kind == "(":
                raise NotMaths(r"\sin x (y + 1) has two readings")
            end = _end(tokens, end)
        argument = _with_arguments(tokens[start:end])
        applied = [*tokens[at:start], *argument]
        if end < len(tokens) and tokens[end].kind in ("*", "/"):
            after = tokens[end + 1 : end + 2]
            is_clear = after and (after[0].kind == "f" or after[0].text.startswith("u_"))  # a unit
            if not (is_bracketed or is_clear):
                raise NotMaths(r"\ln 2 \cdot 3 has two readings")
            argument = argument if is_bracketed else [_OPEN, *argument, _CLOSE]
            applied = [_OPEN, *tokens[at:start], *argument, _CLOSE]
        written += applied
        at = end
    return written


def _with_signs(tokens: list[Token]) -> list[Token]:
    """Write out products that math-verify would add up: to it `2(12)` is 2 + 12, a mixed number."""
    written: list[Token] = []
    for i, token in enumerate(tokens):
        before = written[-1].kind if written else ""
        if token.kind in ("(", "n") and before in ("n", ")", "!"):
            written.append(TIMES)
        elif token.kind == r"\frac" and before in ("n", ")", "!"):
            proper = re.match(r"F\{n\}\{n\}", kinds_of(tokens[i : i + 7]))
            if before != "n" or not proper or int(tokens[i + 2].text) >= int(tokens[i + 5].text):
                written.append(TIMES)
        # To sympy, I is the imaginary unit.
        written.append(Token("s", "u_{73}") if token == ("S", "I") else token)
    return written


def _with_braces(tokens: list[Token]) -> list[Token]:
    """Put an exponent in brackets into braces, without which math-verify cannot read it."""
    written = list(tokens)
    for at in range(1, len(tokens)):
        if tokens[at - 1].kind == "^" and tokens[at].kind == "(":
            end = _end(tokens, at) - 1
            if tokens[end].kind == ")":
                written[at], written[end] = Token("{", "{"), Token("}", "}")
    return written


def _check_readings(tokens: list[Token]) -> None:
    """Raise NotMaths if math-verify could read an expression in another way than it was meant."""
    kinds = kinds_of(tokens)
    if "!!" in kinds:
        raise NotMaths("double factorial")
    for i, token in enumerate(tokens):
        if token.text == r"\lim":
            raise NotMaths("a limit, which sympy takes from one side only")
        if token.kind == "^" and kinds[(end := _end(tokens, i + 1)) : end + 1] == "^":
            raise NotMaths("2^3^2 has two readings")
        if token.kind == "/":
            end = _end(tokens, i + 1)
            while kinds[end : end + 1] in ("^", "_") and end < len(tokens):
                end = _end(tokens, end + 1)
            is_factor = tokens[end : end + 1] and (
                tokens[end].kind in ("n", "s", "S", "(", "{", r"\frac", r"\sqrt", r"\binom")
                or tokens[end].text in _WITHOUT_BRACKETS
            )
            if is_factor and tokens[i + 1].kind not in ("f", r"\frac", r"\sqrt", r"\binom"):
                raise NotMaths("1/2x has two readings")
    _check_bars(tokens)


def _check_bars(tokens: list[Token]) -> None:
    """Raise NotMaths if a bar between factors may open or close: `|x|y|z|`."""
    bars = [i for i, token in enumerate(tokens) if token.text in ("|", r"\vert")]
    opened = 0
    for i in bars:
        before = tokens[i - 1] if i else Token("(", "(")
        after = tokens[i + 1] if i + 1 < len(tokens) else Token(")", ")")
        ends = before.kind in ("n", "s", "S", ")", "}", "!") or (i - 1 in bars and opened > 1)
        starts = after.kind in ("n", "s", "S", "(", "{") or after.kind[0] == "\\"
        if len(bars) > 2 and ends and starts and opened:
            raise NotMaths("bars have two readings")
        opened += -1 if ends and opened else 1


def _with_applications(tokens: list[Token]) -> list[Token]:
    """Replace each f(x) by a variable of its own, since the worker would multiply f by x.

    Raises:
        NotMaths: a power of a function, which may be an inverse or an iterate.
    """
    written: list[Token] = []
    at = 0
    while at < len(tokens):
        end = at + 1
        if tokens[at].kind in ("s", "S"):
            while end < len(tokens) and tokens[end].kind == "_":
                end = _end(tokens, end + 1)
            is_function = tokens[at].text.strip("\\") in APPLIED
            if is_function and kinds_of(tokens[end : end + 1]) == "^":
                behind = _end(tokens, end + 1)
                if kinds_of(tokens[behind : behind + 1]) == "(":
                    raise NotMaths("an inverse or a power of a function")
            inside = kinds_of(tokens[end : end + 3])
            if inside[:1] == "(" and (is_function or inside in ("(s)", "(S)")):
                end = _end(tokens, end)
                text = text_of(tokens[at:end])
                written.append(Token("s", f"u_{{{int.from_bytes(text.encode(), 'big')}}}"))
                at = end
                continue
        written += tokens[at:end]
        at = end
    return written


def _end(tokens: list[Token], at: int) -> int:
    """Return the index behind the token or the brackets at an index."""
    depth = 0
    for i in range(at, len(tokens)):
        depth += (tokens[i].kind in ("(", "[", "{")) - (tokens[i].kind in (")", "]", "}"))
        if depth <= 0:
            return i + 1
    return len(tokens)


def _with_products(tokens: list[Token]) -> list[Token]:
    r"""Write out the product before a power of a number: `(n+4)3^n`, `\frac25 7^n`."""
    if not _HIDDEN_PRODUCT.search(kinds_of(tokens)):
        return tokens
    written: list[Token] = []
    opened: list[str] = []  # what each open bracket belongs to
    closed = ""  # what the group before the token belongs to
    in_function = False
    for token, after in zip(tokens, [*tokens[1:], Token("end", "")], strict=True):
        before = written[-1].kind if written else ""
        in_function = (in_function and before not in ("+", "-")) or before == "f"
        if token.kind == "n" and after.kind == "^" and not in_function:
            is_argument = (before, closed) in (("}", r"\frac"), ("}", r"\binom"), ("]", r"\sqrt"))
            if before in ("s", "S", ")", "]", "}", "!") and not is_argument:
                written.append(TIMES)
        if token.kind in ("{", "(", "["):
            opened.append("" if before == "}" else before)
        closed = opened.pop() if token.kind in ("}", ")", "]") and opened else ""
        written.append(token)
    return written
