"""Split LaTeX and plain text into tokens, removing differences of spelling that do not matter."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from rzero_cli.answers.algebra import MAX_DEPTH, NotMaths
from rzero_cli.answers.conventions import DEFAULT, Conventions


def _words(table: str) -> set[str]:
    return set(table.split())


class Token(NamedTuple):
    kind: str  # n number, s letter, S capital, w word, u unit sign, f function, or the operator
    text: str  # LaTeX


_UNICODE = {
    **dict.fromkeys("\u2212\u2013\u2014\u2010\u2011", "-"),
    "\u00d7": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "≤": r"\le ", "≥": r"\ge ",
    "≠": r"\ne ", "≈": r"\approx ", "∞": r"\infty ", "π": r"\pi ", "√": r"\sqrt ", "±": r"\pm ",
    "\u222a": r"\cup ", "∈": r"\in ", "∅": r"\emptyset ", "°": r"^\circ ", "θ": r"\theta ",
    "\u03b1": r"\alpha ", "β": r"\beta ", "λ": r"\lambda ", "φ": r"\phi ",
}  # fmt: skip
_SUPERSCRIPT = {"²": "2", "³": "3", "¹": "1", "⁰": "0", "⁻": "-", "ⁿ": "n"} | {
    chr(0x2070 + d): str(d) for d in range(4, 10)
}
_TRIG = r"\\(?:sin|cos|tan|cot|sec|csc)"
_DEGREE = (
    r" ?(?:\^ ?\{? ?(?:\\circ|\\(?:text|mathrm) ?\{ ?o ?\})(?![A-Za-z]) ?\}?|(?<=\d)\^(?:o|\{o\})"
    r"(?![A-Za-z])"
    r"|\\(?:text)?degrees?(?![a-z]))"
)
_SCALE = r"(?:\\text ?\{ ?([CF])\}| ?([CF])(?![A-Za-z]))?"
_CURRENCIES = {
    r"\$": "dollars", r"\textdollar": "dollars", "€": "euros", r"\euro": "euros",
    "£": "pounds", r"\pounds": "pounds", "¥": "yen", "₹": "rupees", "¢": "cents",
}  # fmt: skip
CURRENCIES = set(_CURRENCIES.values())
_SIGN = "\ue000"  # marks the name of a unit that was a sign: \ue000percent
_LAYOUT = (
    r"left|right|[bB]igg?[lrm]?|(?:display|text|script)style|(?:no)?limits|tiny|scriptsize"
    r"|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|bf|rm|it"
)
_THOUSAND = r"(?=\d{3}(?!\d))"
# (a substring of every match, as a cheap test; the pattern; its replacement)
_Rule = tuple[str, str, str | Callable[[re.Match[str]], str]]
_BEFORE: list[_Rule] = [  # thousands separators that cannot be a list's; degrees in a function
    ("{,}", rf"(?<=\d)\{{,\}}{_THOUSAND}", ""),
    ("~", rf"(?<=\d)~{_THOUSAND}", ""),
    ("\\", rf"(?<=\d)(?:,\\!|\\[, ;]){_THOUSAND}", ""),
    ("\\", rf"({_TRIG} ?[({{]? ?)(\d+(?:\.\d+)?){_DEGREE}", r"\1\\frac{\2\\pi}{180}"),
]
_AFTER: list[_Rule] = [
    ("$", r"\$", " "),
    ("\\", r"(?<!\\)\\[()\[\]]", " "),
    ("\\", rf"\\right ?\.|\\(?:{_LAYOUT})(?![A-Za-z])", ""),
    (r"\\", r"(\\\\) ?\[ ?[\d.]+ ?(?:mm|cm|in|pt|em|ex) ?\]", r"\1"),
    ("\\", r"(?<!\\)\\[,;:! ~]|\\q?quad(?![a-z])|\\(?:phantom|hspace)\{[^{}]*\}", " "),
    ("~", "~", " "),
    ("\\", r"\\[dtc](frac|binom)(?![a-z])", r"\\\1 "),
    (r"\begin", r"\\begin ?\{array\} ?\{[lcr ]*\}", r"\\begin{matrix}"),
    (r"\end", r"\\end ?\{array\}", r"\\end{matrix}"),
    (r"\mathbb", r"\\mathbb ?(?:\{ ?R ?\}|R(?![A-Za-z]))(?! ?[_^\\])", r"(-\\infty,\\infty)"),
    ("<=", "<=", r"\\le "),
    (">=", ">=", r"\\ge "),
    ("=", r"\\not ?=|(?<= )!=", r"\\ne "),
    ("**", r"\*\*(.+)\*\*$", r"\1"),
    ("**", r"\*\*", "^"),
    ('"', r'^"([^"]*)"$', r"\1"),
    (":", r"(?<=:\d\d) ?([AaPp][Mm])(?![A-Za-z])", r" \\text{\1}"),
    (".", r"(?<![A-Za-z.\\])(?:[A-Za-z]\.)+[A-Za-z](?![A-Za-z])\.?",  # an initialism: `p.m.`
     lambda match: rf"\text{{{match[0].replace('.', '')}}}"),
]  # fmt: skip


@lru_cache
def _rules(
    conventions: Conventions,
) -> list[tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]]]:
    keep = conventions.units == "keep"
    degrees = r" \\text{degrees\1\2} " if keep else rf" {_SIGN}degree\1\2 "
    signs: list[_Rule] = [("^", _DEGREE + _SCALE, degrees), (r"degree", _DEGREE + _SCALE, degrees)]
    percent = r"\\?%|(?<![A-Za-z])[Pp]er ?cent(?![A-Za-z])"
    if conventions == DEFAULT:
        signs.append(("", percent, f" {_SIGN}percent "))
    else:
        signs.append(("", percent, " " if conventions.percent == "drop" else "*0.01 "))
    for sign, name in _CURRENCIES.items():
        pattern = re.escape(sign) + ("(?![a-z])" if sign[-1].isalpha() else "")
        signs.append((sign, pattern, rf" \\text{{{name}}} " if keep else f" {_SIGN}{name} "))
    return [(needle, re.compile(pattern), new) for needle, pattern, new in _BEFORE + signs + _AFTER]


_SAME = {
    "leq": "le", "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne",
    "varnothing": "emptyset",
    "cdot": "*", "times": "*", "div": "/", "lt": "<", "gt": ">", "colon": ":", "to": ":to",
    "lbrace": r"\{", "rbrace": r"\}", "langle": "(", "rangle": ")", "lvert": "|", "rvert": "|",
    "dots": "…", "ldots": "…",
    "wedge": "land", "vee": "lor", "overleftrightarrow": "overline",
}  # fmt: skip
_OPERATORS = _words("le ge ne approx in cup pm mp infty emptyset frac sqrt over choose binom")
_GREEK = _words("""
    alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi pi rho sigma
    tau phi varphi chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell hbar
""") - {"Gamma", "zeta"}  # functions more often than names
_FUNCTIONS = _words("""
    sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim int iint sum
    prod max min gcd det lfloor rfloor lceil rceil vert Gamma zeta
""")
_TEXT = re.compile(
    r"text(?:bf|it|rm|sf|tt|sc|sl|up|md|normal)?|emph|underline|mathrm|mbox|operatorname\*?"
)
_STYLE = {"mathbf", "mathit", "boldsymbol", "bm", "mathsf", "mathcal", "mathbb", "boxed", "fbox"}
UNITS = _words("""
    cm mm km kg mg ml mL kL km mph kph ft in yd mi lb lbs oz hr hrs min mins sec secs deg rad
    kmh kWh kJ Hz kHz MHz Pa kPa mol gal sq cu units unit hours hour days day years dollars
    cent cents usd degrees meters miles feet inches minutes seconds percent
""")
# Units whose case matters: `mW` is not `MW`. The case of other words does not.
_CASED = re.compile("[mM](?:Hz|W|Wh|Pa|J|N|V|g|m|L|A|K)")
_SHORT_WORDS = UNITS | _words("""
    no yes and or not all the is are odd for of to by per if one two six ten red sum even true
    false dne none east west north south almost begin know most ghost first
""")
_UNIT_LETTERS = set("msghlLNJWVKCF")
# Words after a number that change its meaning; such an answer is text.
NOT_UNITS = _words("""
    a p am pm ad bc ce bce million billion trillion thousand hundred dozen half halves third
    thirds quarter quarters fourths fifths sixths sevenths eighths ninths tenths twelfths
    hundredths thousandths millionths tens dozens hundreds thousands millions billions trillions
    lakh lakhs crore crores gross score twice thrice fold zeros squared cubed factorial mod modulo
    base remainder
    over times more less fewer not or and at least most if when unless for where with only is
    are otherwise north south east west left right up down ago clockwise counterclockwise
    positive negative real complex distinct except than no nor but by plus minus divided to
    through between increase decrease profit loss gain above below under inside outside before
    after earlier later early late faster slower older younger
""")
_TOKEN = re.compile(
    rf"{_SIGN}(?P<unit>[a-z]+[CF]?)"
    r"|(?P<repeat>\d*\.\d*\\(?:overline|bar)\s*\{\d+\})"
    r"|(?P<num>(?<![_^])\d{1,3}(?: \d{3})+(?![\d/])|\d+(?:,\d+)*(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+)"
    r"|(?P<env>\\(?:begin|end)\s*\{[A-Za-z]+\*?\})"
    r"|(?P<cmd>\\(?:[A-Za-z]+\*?|.))|(?P<word>[A-Za-z]+)|(?P<op>\S)"
)
_NUMBER_RUN = re.compile(r"[1-9]\d{0,2}(?:[ ,]\d{3})+(?:\.\d+)?")


def clean(answer: str, conventions: Conventions = DEFAULT) -> str:
    """Return an answer without layout and, unless the conventions keep them, signs of units."""
    if not answer.isascii():
        answer = "".join(map(_ascii, answer))
    answer = " ".join(answer.split())
    if conventions.units == "keep" and len(re.findall(r"(?<!\\)\$", answer)) == 1:
        answer = answer.replace("$", r"\$").replace(r"\\$", r"\$")  # a single $ is a currency
    for needle, pattern, new in _rules(conventions):
        if needle in answer:
            answer = pattern.sub(new, answer)
    return re.sub(r"(?<!\.)\.$", "", " ".join(answer.split())).strip()


def _ascii(char: str) -> str:
    if char in _UNICODE:
        return _UNICODE[char]
    if char in _SUPERSCRIPT:
        return f"^{{{_SUPERSCRIPT[char]}}}"
    if (digit := unicodedata.decimal(char, None)) is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", char)
    if "\u2044" in plain:  # a vulgar fraction
        numerator, _, denominator = plain.partition("\u2044")
        return rf"\frac{{{numerator}}}{{{denominator}}}"
    return plain if len(plain) == 1 else char


def tokenize(text: str) -> list[Token]:
    tokens: list[Token] = []
    words: list[int] = []  # brace depths at which a \\text{...} starts
    depth = brackets = 0
    for match in _TOKEN.finditer(text):
        kind, found = str(match.lastgroup), match.group()
        name = found[1:] if kind == "cmd" else ""
        if _TEXT.fullmatch(name) and text.startswith("{", match.end()):
            words.append(depth)
            continue
        depth += {"{": 1, "}": -1}.get(found, 0)
        brackets += {"(": 1, "[": 1, r"\{": 1, ")": -1, "]": -1, r"\}": -1}.get(found, 0)
        if max(depth, brackets) > MAX_DEPTH:
            raise NotMaths("nested too deeply")
        if words and found in "{}" and depth - (found == "{") == words[-1]:
            if found == "}":
                words.pop()
        elif kind == "word" and _is_time(found, tokens, text[match.end() :]):
            tokens.append(Token("w", found))
        elif kind == "word":
            glued = match.start() > 0 and text[match.start() - 1].isdigit()
            tokens += _letters(found, bool(words), glued)
        elif kind == "num":
            numbers = _numbers(found, brackets > 0)
            tokens += _braced_argument(tokens[-1].kind, numbers) if tokens else numbers
        elif kind == "repeat":
            tokens.append(Token("n", found))
        elif kind == "unit":
            tokens.append(Token("u", found[1:].casefold()))
        elif kind == "env":
            tokens.append(Token(r"\begin" if "begin" in found else r"\end", found))
        elif found == "." and tokens and tokens[-1].kind == "w":  # an abbreviation: `20 min.`
            continue
        elif name not in _STYLE:
            tokens.append(_operator(name or found, found))
    return tokens


def _braced_argument(command: str, numbers: list[Token]) -> list[Token]:
    r"""Give a bare number after a command its braces: `\frac12` is a half, `2^10` is 2^{10}."""
    if command not in (r"\frac", r"\binom", r"\sqrt", "^", "_") or len(numbers) > 1:
        return numbers
    number = numbers[0].text
    digits = [*number] if command in (r"\frac", r"\binom") and number.isdigit() else [number]
    return [t for d in digits for t in (Token("{", "{"), Token("n", d), Token("}", "}"))]


def _operator(name: str, found: str) -> Token:
    name = _SAME.get(name, name)
    if name in ("and", "or"):
        return Token("w", name)
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


def _letters(run: str, is_text: bool, glued: bool) -> list[Token]:
    """Return the tokens of a run of letters: a function, a word or a product of variables."""
    if not is_text and run in _FUNCTIONS:
        return [Token("f", "\\" + run)]
    if run in ("pi", "sqrt", "infty"):
        return [_operator(run, "\\" + run)]
    if len(run) > 1 and (is_text or _is_word(run, glued)):
        return [Token("w", run if _CASED.fullmatch(run) else run.casefold())]
    if is_text and run in _UNIT_LETTERS:
        return [Token("w", run)]
    return [Token("S" if letter.isupper() else "s", letter) for letter in run]


def _is_word(run: str, glued: bool) -> bool:
    if glued:
        return run in UNITS
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
