"""Split LaTeX and plain text into tokens."""

from __future__ import annotations

import re
from typing import NamedTuple

from rzero_cli.answers.algebra import MAX_DEPTH, NotMaths
from rzero_cli.answers.spelling import SIGN
from rzero_cli.answers.units import KNOWN


def _words(table: str) -> set[str]:
    return set(table.split())


class Token(NamedTuple):
    kind: str  # n number, s letter, S capital, w word, u unit sign, f function, or the operator
    text: str  # LaTeX


TIMES = Token("*", r"\cdot")

_SAME = {
    "leq": "le", "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne",
    "varnothing": "emptyset",
    "cdot": "*", "times": "*", "div": "/", "lt": "<", "gt": ">", "colon": ":", "to": ":to",
    "lbrace": r"\{", "rbrace": r"\}", "langle": "(", "rangle": ")", "lvert": "|", "rvert": "|",
    "dots": "…", "ldots": "…", "cdots": "…",
    "wedge": "land", "vee": "lor", "overleftrightarrow": "overline",
}  # fmt: skip
_OPERATORS = _words("""
    le ge ne approx equiv in cup pm mp infty emptyset frac sqrt over choose binom land lor quad mid
""")
_GREEK = _words("""
    alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi pi rho sigma
    tau phi varphi chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell hbar
""") - {"Gamma", "zeta"}  # functions more often than names
_FUNCTIONS = _words("""
    sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim int iint sum
    prod max min gcd lcm det lfloor rfloor lceil rceil vert Gamma zeta arccot arcsinh
""")
_TEXT = re.compile(
    r"text(?:bf|it|rm|sf|tt|sc|sl|up|md|normal)?|emph|underline|mathrm|mbox|operatorname\*?"
)
_STYLE = _words("""
    mathbf mathit boldsymbol bm mathsf mathcal mathbb mathtt mathscr mathfrak boxed fbox
""")
# Units that are read as words behind a number; `nm` or `ms` may be a product of variables.
_UNITS = {u for u in KNOWN if len(u) > 2 or not u.islower()} | _words("""
    cm mm km kg mg ml ft in yd mi lb oz hr sq cu
""")
# Units whose case matters: `mW` is not `MW`. The case of other words does not.
_CASED = re.compile("[mM](?:Hz|W|Wh|Pa|J|N|V|g|m|L|A|K)")
_SHORT_WORDS = _words("""
    no yes and or not all the is are odd for of to by per if one two six ten red sum even true
    false dne none east west north south almost begin know most ghost first old base per mod
""")
_UNIT_LETTERS = set("msghlLNJWVKCF")
_TOKEN = re.compile(
    rf"{SIGN}(?P<unit>[a-z]+[CF]?)"
    r"|(?P<repeat>\d*\.\d*\\(?:overline|bar)\s*\{\d+\})"
    r"|(?P<num>(?<![_^])\d{1,3}(?: \d{3})+(?![\d/])|\d+(?:,\d+)*(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+)"
    r"|(?P<set>\\math(?:bb|cal|scr|frak)\s*(?:\{\s*[A-Z]\s*\}|[A-Z]))"
    r"|(?P<env>\\(?:begin|end)\s*\{[A-Za-z]+\*?\})"
    r"|(?P<cmd>\\(?:operatorname\*|[A-Za-z]+|.))|(?P<word>[A-Za-z]+)|(?P<op>\S)"
)
_VECTOR = re.compile(r"\\(?:mathbf|boldsymbol|bm|vec|overrightarrow)\s*\{?\s*[A-Za-z]")
_BRACES = {"{": 1, "}": -1}
_BRACKETS = {"(": 1, "[": 1, r"\{": 1, ")": -1, "]": -1, r"\}": -1}
_TAKES_GROUP = {"^", "_", "}", r"\frac", r"\binom", r"\sqrt"}
_NUMBER_RUN = re.compile(r"[1-9]\d{0,2}(?:[ ,]\d{3})+(?:\.\d+)?")


def tokenize(text: str) -> list[Token]:
    """Return the tokens of an answer.

    Raises:
        NotMaths: it is nested too deeply, or has two readings.
    """
    tokens: list[Token] = []
    words: list[int] = []  # brace depths at which a \\text{...} starts
    styles: list[int] = []  # brace depths at which a \\mathbf{...} starts
    depth = brackets = 0
    for match in _TOKEN.finditer(text):
        kind, found = str(match.lastgroup), match.group()
        name = found[1:] if kind == "cmd" else ""
        if text.startswith("{", match.end()):
            # A power of an underlined exponent falls: n(n-1)(n-2)...
            if _TEXT.fullmatch(name) and not (name == "underline" and depth):
                words.append(depth)
                continue
            if name in _STYLE and not (tokens and tokens[-1].kind in _TAKES_GROUP):
                styles.append(depth)
                continue
        if kind in ("op", "cmd"):
            depth += _BRACES.get(found, 0)
            brackets += _BRACKETS.get(found, 0)
            if max(depth, brackets) > MAX_DEPTH:
                raise NotMaths("nested too deeply")
        opened = _opened(depth - (found == "{"), words, styles) if found in "{}" else None
        if opened is not None:
            if found == "}":
                opened.pop()
        elif kind == "word" and _is_time(found, tokens, text[match.end() :]):
            tokens.append(Token("w", found))
        elif kind == "word":
            is_after_number = bool(tokens) and (
                tokens[-1].kind in "n}{)w/u" or tokens[-1].text == r"\pi"
            ) and any(t.kind == "n" for t in tokens)  # fmt: skip
            is_glued = match.start() > 0 and text[match.start() - 1].isdigit()
            letters = _letters(found, bool(words), is_after_number, is_glued)
            if tokens and tokens[-1].kind == r"\sqrt" and letters[0].kind in ("s", "S"):
                letters[:1] = [Token("{", "{"), letters[0], Token("}", "}")]
            tokens += letters
        elif kind == "num":
            numbers = _numbers(found, brackets > 0)
            tokens += _braced_argument(tokens[-1].kind, numbers) if tokens else numbers
        elif kind == "repeat":
            tokens.append(Token("n", found))
        elif kind == "unit":
            tokens.append(Token("u", found[1:].casefold()))
        elif kind == "set":
            style = re.sub("scr", "cal", re.match(r"\\[a-z]+", found)[0])  # type: ignore[index]
            tokens.append(Token("S", rf"{style}{{{found.strip(' }')[-1]}}}"))
        elif kind == "env":
            tokens.append(Token(r"\begin" if "begin" in found else r"\end", found))
        elif found == "." and tokens and tokens[-1].kind == "w":  # an abbreviation: `20 min.`
            continue
        elif name == "times" and _VECTOR.search(text):  # a cross product depends on the order
            tokens.append(Token(found, found))
        elif name not in _STYLE:
            tokens.append(_operator(name or found, found))
    return _side_by_side(tokens) if r"\quad" in text else tokens


def _opened(depth: int, *groups: list[int]) -> list[int] | None:
    """Return the list of groups of which the last starts at this depth."""
    return next((group for group in groups if group and group[-1] == depth), None)


def _side_by_side(tokens: list[Token]) -> list[Token]:
    r"""Turn a \quad between two relations into a comma; drop the others."""
    relations = {"=", "<", ">", r"\le", r"\ge", r"\ne", r"\equiv", r"\approx", r"\in"}
    kept: list[Token] = []
    for i, token in enumerate(tokens):
        if token.kind != r"\quad":
            kept.append(token)
            continue
        start = max((j for j in range(i) if tokens[j].kind in (r"\quad", ",", ";")), default=-1)
        ends = [j for j in range(i + 1, len(tokens)) if tokens[j].kind in (r"\quad", ",", ";")]
        sides = tokens[start + 1 : i], tokens[i + 1 : min(ends, default=len(tokens))]
        if all(any(t.kind in relations for t in side) for side in sides):
            kept.append(Token(",", ","))
    return kept


def _braced_argument(command: str, numbers: list[Token]) -> list[Token]:
    r"""Give a bare number after a command its braces: `\frac12` is a half, `2^10` is 2^{10}."""
    if command not in (r"\frac", r"\binom", r"\sqrt", "^", "_") or len(numbers) > 1:
        return numbers
    number = numbers[0].text
    if command == r"\sqrt" and len(number) > 1:
        raise NotMaths(r"\sqrt12 has two readings: TeX takes one digit")
    digits = [*number] if command in (r"\frac", r"\binom") and number.isdigit() else [number]
    return [t for d in digits for t in (Token("{", "{"), Token("n", d), Token("}", "}"))]


def _operator(name: str, found: str) -> Token:
    name = _SAME.get(name, name)
    if name == "…":
        return Token(name, r"\dots")
    if name in _GREEK:
        return Token("s", found)
    if name in _FUNCTIONS or name in ("|", "vert"):
        return Token("f", found)
    if name in _OPERATORS:
        return Token("\\" + name, "\\" + name)
    if name in ("(", ")", r"\{", r"\}"):
        return Token(name, name)
    # A command of one letter must not get that letter's kind: `\n` is not a number.
    return Token(found if name in "{}" or len(name) > 1 or name.isalpha() else name, found)


def _is_time(run: str, before: list[Token], after: str) -> bool:
    """Return True if `min` or `sec` at the end, after a number, is a unit of time."""
    last = run in ("min", "sec") and not after.strip(" .}")
    return last and bool(before) and before[-1].kind in "n}"


def _letters(run: str, is_text: bool, is_after_number: bool, is_glued: bool) -> list[Token]:
    """Return the tokens of a run of letters: a function, a word or a product of variables."""
    if not is_text and run in _FUNCTIONS:
        return [Token("f", "\\" + run)]
    if run in ("pi", "sqrt", "infty"):
        return [_operator(run, "\\" + run)]
    if len(run) > 1 and (is_text or _is_word(run, is_after_number, is_glued)):
        return [Token("w", run if _CASED.fullmatch(run) else run.casefold())]
    if is_text and run in _UNIT_LETTERS:
        return [Token("w", run)]
    return [Token("S" if letter.isupper() else "s", letter) for letter in run]


def _is_word(run: str, is_after_number: bool, is_glued: bool) -> bool:
    if is_after_number and (run in _UNITS or (len(run) > 2 and run.lower() in _UNITS)):
        return True
    if is_glued:
        return False
    spoken = len(run) > 3 or re.fullmatch(r"[^aeiou][aeiou][^aeiou]", run.lower()) is not None
    product_of_variables = run.isupper() or list(run) == sorted(set(run))
    return {run, run.lower()} & _SHORT_WORDS != set() or (spoken and not product_of_variables)


def _numbers(run: str, in_brackets: bool) -> list[Token]:
    """Return one number with thousands separators, or a list: `100,200` in brackets is two."""
    groups = re.split(r"[ ,]", run)
    if _NUMBER_RUN.fullmatch(run) and (
        " " in run or not in_brackets or any(group[0] == "0" for group in groups[1:])
    ):
        return [Token("n", "".join(groups))]
    numbers = [token for group in groups for token in (Token("n", group), Token(",", ","))]
    return numbers[:-1]
