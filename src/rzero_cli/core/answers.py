r"""Read a completion's boxed answer and reduce it to an exact canonical key.

    text -> extract_boxed -> answer -> tokens -> items -> value -> canonical_key

A tokenizer and a recursive-descent parser turn an answer into a polynomial with rational
coefficients whose atoms are variables, pi, e, i and roots of primes. It has one normal form (roots
of distinct primes are linearly independent over the rationals: Besicovitch, 1940), so equal keys
mean equal answers and different keys different ones. What lies outside (`\sin x`, `2^n`,
`1/(x+1)`) has no key and is left to `core.equivalence`. What is no mathematics, is ambiguous or is
too large to compute is its own text. Nothing here evaluates an answer as code.

The paper groups answers by mathematical equivalence and leaves the rules open; those taken here
are listed in the tests, a golden case each. They hold for answers to *one* question: an open
interval and an ordered pair share a spelling and so a key, and `\{5\}` is 5.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from itertools import product
from math import comb, factorial
from typing import NamedTuple

MAX_LENGTH = 2_000  # characters of an answer that is still parsed
MAX_DEPTH = 40  # of nested brackets
MAX_BITS = 10_000  # of a number: about 3,000 digits
MAX_TERMS = 64  # of a polynomial


class Undecided(Exception):
    """Mathematics beyond the canonical form: no key, two spellings may still be equal."""


class NotMaths(Exception):
    """Not mathematics, ambiguous, or too large: the answer is equal to its own text only."""


# ---------------------------------------------------------------- boxes

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"[-+]?\d[\d,./]*(?<![,./])|[A-Za-z](?![A-Za-z])")


def extract_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` or `\fbox{...}`, or None if there is none.

    Braces nest, `\{` is not a brace, and `\boxed 5` boxes one number or letter. If the last box is
    cut off, there is no answer: what stood in an earlier box had been superseded. A blank box is
    no answer either. Of nested boxes the inner one counts. Time is linear in the text.
    """
    for box in reversed(list(_BOX.finditer(text))):
        if text.startswith("{", box.end()):
            return _braced(text, box.end())
        if bare := _BARE.match(text, box.end()):
            return bare.group()
    return None  # a `\boxed` in running prose holds nothing and was passed over


def _braced(text: str, start: int) -> str | None:
    depth = 0
    for match in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[start + 1 : match.start()].strip() or None
    return None


# ---------------------------------------------------------------- exact arithmetic

Monomial = tuple[tuple[str, Fraction], ...]  # (atom, exponent), sorted; a prime atom is its digits
Poly = dict[Monomial, Fraction]
Value = Poly | str  # a str is the finished key of a tuple, set, interval or matrix

_POSITIVE = {"pi", "e"}  # transcendental, so their rational powers are independent
I_UNIT: Poly = {(("i", Fraction(1)),): Fraction(1)}


def _constant(number: Fraction | int) -> Poly:
    number = Fraction(number)
    if max(abs(number.numerator), number.denominator).bit_length() > MAX_BITS:
        raise NotMaths("number too large")
    return {(): number} if number else {}


def _is_surd(atom: str, exponent: Fraction) -> bool:
    return atom == "i" or (atom.isdigit() and exponent == Fraction(1, 2))


def _term(factors: Iterable[tuple[str, Fraction]], coefficient: Fraction) -> Poly:
    """Normalise a product: exponents of primes into [0, 1), of i into {0, 1}."""
    exponents: dict[str, Fraction] = {}
    for atom, exponent in factors:
        exponents[atom] = exponents.get(atom, Fraction(0)) + exponent
    for atom, exponent in exponents.items():
        _constant(exponent)  # refuses what is too large
        if atom.isdigit():
            whole = exponent // 1
            exponents[atom] -= whole
            coefficient *= _rational_power(Fraction(atom), whole)
        elif atom == "i":
            coefficient *= -1 if exponent % 4 >= 2 else 1
            exponents[atom] = exponent % 2
    _constant(coefficient)
    monomial = tuple(sorted((atom, power) for atom, power in exponents.items() if power))
    return dict.fromkeys([monomial] if coefficient else [], coefficient)


def _rational_power(base: Fraction, exponent: int) -> Fraction:
    if abs(exponent) * max(base.numerator.bit_length(), base.denominator.bit_length()) > MAX_BITS:
        raise NotMaths("number too large")
    return base**exponent


def _sum(polys: Iterable[Poly]) -> Poly:
    total: Poly = {}
    for poly in polys:
        for monomial, coefficient in poly.items():
            total[monomial] = total.get(monomial, Fraction(0)) + coefficient
    if len(total) > MAX_TERMS:
        raise Undecided("too many terms")
    return {m: value for m, c in total.items() for value in _constant(c).values()}


def _times(a: Poly, b: Poly) -> Poly:
    if len(a) * len(b) > 4 * MAX_TERMS:
        raise Undecided("too many terms")
    return _sum(_term(m + n, c * d) for (m, c), (n, d) in product(a.items(), b.items()))


def _negative(a: Poly) -> Poly:
    return {monomial: -c for monomial, c in a.items()}


def _inverse(a: Poly) -> Poly:
    """1/a, exact if a is one term or a sum of square roots and i (by conjugates)."""
    if not a:
        raise NotMaths("division by zero")
    numerator = _constant(1)
    while len(a) > 1:
        surds = {factor for monomial in a for factor in monomial}
        if not all(_is_surd(*factor) for factor in surds):
            raise Undecided("quotient of polynomials")
        surd = max(surds)
        conjugate = {m: -c if surd in m else c for m, c in a.items()}
        numerator, a = _times(numerator, conjugate), _times(a, conjugate)
    ((monomial, coefficient),) = a.items()
    return _times(numerator, _term(((x, -p) for x, p in monomial), 1 / coefficient))


def _power(base: Poly, exponent: Poly) -> Poly:
    if set(exponent) - {()}:
        raise Undecided("symbolic exponent")
    n = exponent.get((), Fraction(0))
    if n.denominator != 1:
        return _fractional_power(base, n)
    if not base or not n:
        if n > 0 or base:
            return _constant(0 if n else 1)
        raise NotMaths("zero to a power that is not positive")
    if len(base) == 1:
        ((monomial, c),) = base.items()
        return _term(((x, p * n) for x, p in monomial), _rational_power(c, int(n)))
    if abs(n) > 24:
        raise Undecided("large power of a sum")
    result = _constant(1)
    for _ in range(abs(int(n))):
        result = _times(result, base)
    return result if n > 0 else _inverse(result)


def _fractional_power(base: Poly, n: Fraction) -> Poly:
    """base**n for one term whose atoms are all positive; the square root of -1 is i."""
    if not base and n > 0:
        return base
    if len(base) != 1:
        raise Undecided("root of a sum")
    ((monomial, c),) = base.items()
    if not all(atom in _POSITIVE or atom.isdigit() for atom, _ in monomial):
        raise Undecided("root of a variable")
    if c < 0:
        if n.denominator != 2:
            raise Undecided("branch of a root")
        return _times(_power(I_UNIT, _constant(n.numerator)), _fractional_power(_negative(base), n))
    primes = [*_factors(c.numerator).items()] + [
        (p, -k) for p, k in _factors(c.denominator).items()
    ]
    return _term([(x, p * n) for x, p in (*monomial, *primes)], Fraction(1))


@lru_cache(maxsize=4096)
def _factors(n: int) -> dict[str, Fraction]:
    """Prime factors by trial division to 10**4: complete for what is left below 10**8."""
    found: dict[str, Fraction] = {}
    for p in (2, *range(3, 10_000, 2)):
        while n % p == 0:
            found[str(p)] = found.get(str(p), Fraction(0)) + 1
            n //= p
        if p * p > n:
            break
    if n >= 10**8:
        raise Undecided("radicand not factored")
    return found | ({str(n): Fraction(1)} if n > 1 else {})


def _key(value: Value) -> str:
    if isinstance(value, str):
        return value
    terms = sorted((" ".join(f"{x}^{p}" for x, p in m), str(c)) for m, c in value.items())
    return " + ".join(f"{c} {m}".strip() for m, c in terms) or "0"


def _set_key(keys: Iterable[str]) -> str:
    distinct = sorted(set(keys))
    return distinct[0] if len(distinct) == 1 else "{" + ", ".join(distinct) + "}"


# ---------------------------------------------------------------- tokens


def _words(table: str) -> set[str]:
    return set(table.split())


class Token(NamedTuple):
    kind: str  # n number, s letter, S capital, w word, f function, or the operator itself
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
_THIN = r"(?:\{,\}|,\\!|\\[, ;]|~)"  # thousands separators that cannot be a list's comma
_TRIG = r"\\(?:sin|cos|tan|cot|sec|csc)"
_DEGREE = r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degrees?(?![a-z]))"
_CLEAN: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), new)
    for pattern, new in (
        (rf"(?<=\d){_THIN}(?=\d{{3}}(?!\d))", ""),
        (rf"({_TRIG}\s*[({{]?\s*)(\d+(?:\.\d+)?){_DEGREE}", r"\1\\frac{\2\\pi}{180}"),
        (rf"{_DEGREE}(?:\s*\\text\{{\s*[CF]\}}|\s*[CF]\b)?", " "),
        (r"\\?%|\\?\$|[€£¥₹¢]|\\(?:pounds|euro)(?![a-z])|(?<!\\)\\[()\[\]]", " "),
        (
            r"\\right\s*\.|\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits|tiny|small)(?![a-z])",
            "",
        ),
        (r"(?<!\\)\\[,;:! ~]|~|\\q?quad(?![a-z])|\\(?:phantom|hspace)\{[^{}]*\}", " "),
        (r"\\[dtc](frac|binom)(?![a-z])", r"\\\1 "),
        (r"\*\*(.+)\*\*$", r"\1"),
        (r"\*\*", "^"),
    )
]
_SAME = {
    "leq": "le", "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne",
    "varnothing": "emptyset",
    "cdot": "*", "times": "*", "div": "/", "lt": "<", "gt": ">", "colon": ":", "to": ":to",
    "lbrace": r"\{", "rbrace": r"\}", "lvert": "|", "rvert": "|", "dots": "…", "ldots": "…",
    "land": "and", "lor": "or", "vee": "or", "wedge": "and",
}  # fmt: skip
_OPERATORS = _words("le ge ne approx in cup pm mp infty emptyset frac sqrt over binom")
_GREEK = _words("""
    alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi pi rho sigma
    tau phi varphi chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell hbar
""") - {"Gamma", "zeta"}  # functions more often than names
_FUNCTIONS = _words("""
    sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim int iint sum
    prod max min gcd det lfloor rfloor lceil rceil vert Gamma zeta
""")
_TEXT = re.compile(r"text(?:bf|it|rm|sf|tt|normal)?|mathrm|mbox|operatorname\*?")
_STYLE = {"mathbf", "mathit", "boldsymbol", "bm", "mathsf", "mathcal", "mathbb", "boxed", "fbox"}
_UNITS = _words("""
    cm mm km kg mg ml mL kL km mph kph ft in yd mi lb lbs oz hr hrs min mins sec secs deg rad
    kmh kWh kJ Hz kHz MHz Pa kPa mol gal sq cu units unit hours hour days day years dollars
    cents degrees meters miles feet inches minutes seconds percent
""")
_SHORT_WORDS = _UNITS | _words("""
    no yes and or not all the is are odd for of to by per if one two six ten red sum even true
    false dne none east west north south almost begin know most ghost first
""")
_UNIT_LETTERS = set("msghlLNJWVKCF")
# Words after a number that change what it says: such an answer is text.
_NOT_UNITS = _words("""
    a p am pm ad bc ce bce million billion trillion thousand hundred dozen half halves third
    thirds quarter quarters fourths fifths squared cubed factorial mod modulo base remainder
    over times more less fewer not or and at least most if when unless for where with only is
    are otherwise north south east west left right up down ago clockwise counterclockwise
    positive negative real complex distinct except than no nor but by plus minus divided to
    through between increase decrease profit loss gain above below under inside outside before
    after earlier later early late faster slower older younger
""")
_TOKEN = re.compile(
    r"(?P<repeat>\d*\.\d*\\(?:overline|bar)\s*\{\d+\})"
    r"|(?P<num>(?<![_^])\d{1,3}(?: \d{3})+(?![\d/])|\d+(?:,\d+)*(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+)"
    r"|(?P<env>\\(?:begin|end)\s*\{[A-Za-z]+\*?\})"
    r"|(?P<cmd>\\(?:[A-Za-z]+\*?|.))|(?P<word>[A-Za-z]+)|(?P<op>\S)"
)
_NUMBER_RUN = re.compile(r"[1-9]\d{0,2}(?:[ ,]\d{3})+(?:\.\d+)?")


def _clean(answer: str) -> str:
    if not answer.isascii():
        answer = "".join(map(_ascii, answer))
    for pattern, new in _CLEAN:
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


def _tokenize(text: str) -> list[Token]:
    tokens: list[Token] = []
    words: list[int] = []  # brace depths at which a \\text{...} was opened
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
        elif kind == "word":
            glued = match.start() > 0 and text[match.start() - 1].isdigit()
            tokens += _letters(found, bool(words), glued)
        elif kind == "num":
            numbers = _numbers(found, brackets > 0)
            tokens += _braced_argument(tokens[-1].kind, numbers) if tokens else numbers
        elif kind == "repeat":
            tokens.append(Token("n", found))
        elif kind == "env":
            tokens.append(Token(r"\begin" if "begin" in found else r"\end", found))
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
    return Token(found if name in "{}" or len(name) > 1 else name, found)


def _letters(run: str, is_text: bool, glued: bool) -> list[Token]:
    """A run of letters: a function, a word, or a product of variables."""
    if not is_text and run in _FUNCTIONS:
        return [Token("f", "\\" + run)]
    if run in ("pi", "sqrt", "infty"):
        return [_operator(run, "\\" + run)]
    if len(run) > 1 and (is_text or _is_word(run, glued)):
        return [Token("w", run.casefold())]
    if is_text and run in _UNIT_LETTERS:
        return [Token("w", run)]
    return [Token("S" if letter.isupper() else "s", letter) for letter in run]


def _is_word(run: str, glued: bool) -> bool:
    if glued:
        return run in _UNITS
    spoken = len(run) > 3 or re.fullmatch(r"[^aeiou][aeiou][^aeiou]", run.lower()) is not None
    product_of_variables = run.isupper() or list(run) == sorted(set(run))
    return {run, run.lower()} & _SHORT_WORDS != set() or (spoken and not product_of_variables)


def _numbers(run: str, in_brackets: bool) -> list[Token]:
    """One number with thousands separators, or a list: in brackets `100,200` is two numbers."""
    groups = re.split(r"[ ,]", run)
    if _NUMBER_RUN.fullmatch(run) and (
        " " in run or not in_brackets or any(group[0] == "0" for group in groups[1:])
    ):
        return [Token("n", "".join(groups))]
    numbers = [token for group in groups for token in (Token("n", group), Token(",", ","))]
    return numbers[:-1]


# ---------------------------------------------------------------- items of an answer

# Tokens as one character each, so that small grammars are regular expressions over kinds.
_NAME = re.compile(
    r"(?:[sS]'*(?:_(?:[snS]|\{[^{}]*\}))?(?:\([^()]*\))?|S{2,4}|w+|\((?:[sS],)+[sS]\))"
)
_UNIT_PHRASE = re.compile(r"(?:(?:w|(?<=/)s)(?:\^\{-?n\})?[/*-]?){1,5}")
_RELATIONS = {"=": "=", "<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", r"\ne": "!=",
              r"\approx": "≈", r"\in": "="}  # fmt: skip
_OPEN, _CLOSE = {"(", "[", "{", r"\{", r"\begin"}, {")", "]", "}", r"\}", r"\end"}


def _kinds(tokens: list[Token]) -> str:
    return "".join(t.kind if len(t.kind) == 1 else "?" for t in tokens)


def _split(tokens: list[Token], separators: set[str]) -> tuple[list[list[Token]], list[Token]]:
    """Split at separators that stand outside all brackets."""
    parts: list[list[Token]] = [[]]
    found: list[Token] = []
    depth = 0
    for token in tokens:
        depth += (token.kind in _OPEN) - (token.kind in _CLOSE)
        if depth == 0 and (token.kind in separators or token.text in separators):
            found.append(token)
            parts.append([])
        else:
            parts[-1].append(token)
    return parts, found


def _items(tokens: list[Token]) -> list[tuple[str, list[Token]]]:
    """The members of a list, each (name, tokens) without its name, equals sign and unit."""
    parts, separators = _split(tokens, {",", ";", "and", "or"})
    kinds = _kinds(separators)
    return [
        _strip(part)
        for i, part in enumerate(parts)
        if part or kinds[max(i - 1, 0) : i + 1] != ",w"  # "1, 2, and 3"
    ]


def _strip(tokens: list[Token]) -> tuple[str, list[Token]]:
    sides, relations = _split(tokens, set(_RELATIONS))
    signs = [_RELATIONS[token.kind] for token in relations]
    name = ""
    if signs == ["="] and not _is_name(sides[0]):  # 5 = x
        sides.reverse()
    while signs and signs[0] in "=≈" and _is_name(sides[0]) and not _recurs(*sides[:2]):
        name, sides, signs = _text(sides[0]), sides[1:], signs[1:]
    if "≈" in signs:  # exact beats approximate: what stands before the sign is the answer
        sides, signs = sides[: signs.index("≈") + 1], signs[: signs.index("≈")]
    if name and len(set(signs)) == 1 and "=" in signs:  # S = 2 + 3 = 5
        sides, signs = sides[-1:], []
    sides = [_without_unit(side) for side in sides]
    joined = sides[0]
    for sign, side in zip(signs, sides[1:], strict=True):
        joined = [*joined, next(t for t in relations if _RELATIONS[t.kind] == sign), *side]
    return name, joined


def _is_name(tokens: list[Token]) -> bool:
    constant = len(tokens) == 1 and tokens[0].text in ("i", r"\pi")
    return not constant and _NAME.fullmatch(_kinds(tokens)) is not None


def _recurs(name: list[Token], side: list[Token]) -> bool:
    """`x = x^2` is an equation."""
    return name[0].kind in ("s", "S") and name[0] in side


def _without_unit(tokens: list[Token]) -> list[Token]:
    start = next((i for i, token in enumerate(tokens) if token.kind == "w"), 0)
    words = {token.text for token in tokens[start:] if token.kind == "w"}
    if start and not words & _NOT_UNITS and _UNIT_PHRASE.fullmatch(_kinds(tokens[start:])):
        return tokens[:start]
    return tokens


def _text(tokens: list[Token]) -> str:
    joined = " ".join(token.text for token in tokens)
    return re.sub(r"\{ (\S+) \}", r"\1", joined)


# ---------------------------------------------------------------- parser


class _Parser:
    """Recursive descent over the tokens of one expression; `sign` is what \\pm stands for."""

    def __init__(self, tokens: list[Token], sign: int) -> None:
        self.tokens = [*tokens, Token("end", "")]
        self.at = 0
        self.sign = sign
        self.depth = 0

    def whole(self) -> Value:
        value = self.expression()
        self.expect("end")
        return value

    @property
    def kind(self) -> str:
        return self.tokens[self.at].kind

    def take(self) -> Token:
        if self.kind == "end":
            raise NotMaths("unexpected end")
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, *kinds: str) -> bool:
        self.at += (found := self.kind in kinds)
        return found

    def expect(self, kind: str) -> None:
        if not self.accept(kind):
            raise NotMaths(f"expected {kind}")

    def signs(self) -> int:
        sign = 1
        while self.kind in ("+", "-", r"\pm", r"\mp"):
            sign *= {"+": 1, "-": -1, r"\pm": self.sign, r"\mp": -self.sign}[self.take().kind]
        return sign

    def expression(self) -> Value:
        sign = self.signs()
        if self.accept(r"\infty"):
            return "-infinity" if sign < 0 else "infinity"
        value = self.term()
        if isinstance(value, str) and sign == 1 and self.kind not in ("+", "-"):
            return value
        terms = [value if sign > 0 else _negative(_poly(value))]
        while self.kind in ("+", "-", r"\pm", r"\mp"):
            sign = self.signs()
            term = _poly(self.term())
            terms.append(term if sign > 0 else _negative(term))
        value = _sum(_poly(term) for term in terms)
        if self.accept(r"\over"):
            return _times(value, _inverse(_poly(self.expression())))
        return value

    def term(self) -> Value:
        value = self.mixed_number() or self.factor()
        divided = False
        while True:
            if self.accept("*"):
                value = _times(_poly(value), self.mixed_number() or self.signed_factor())
            elif self.accept("/"):
                value = _times(_poly(value), _inverse(_poly(self.signed_factor())))
                divided = True
            elif self.kind in ("s", "S", "(", "{", r"\frac", r"\sqrt", r"\binom", "f"):
                if divided:
                    raise NotMaths("1/2x has two readings")
                value = _times(_poly(value), _poly(self.factor()))
            else:
                return value

    def signed_factor(self) -> Poly:
        sign = self.signs()
        value = _poly(self.factor())
        return value if sign > 0 else _negative(value)

    def mixed_number(self) -> Poly | None:
        r"""`1\frac{1}{2}` or `7 3/4`: a whole number and a proper fraction of literals."""
        match = re.match(r"n(?:n/n|F\{n\}\{n\})", self.kinds())
        if match is None:
            return None
        digits = [t.text for t in self.tokens[self.at : self.at + match.end()] if t.kind == "n"]
        if not all(d.isdigit() for d in digits):
            return None
        whole, numerator, denominator = map(int, digits)
        if not 0 < numerator < denominator:
            return None
        self.at += match.end()
        return _constant(whole + Fraction(numerator, denominator))

    def kinds(self) -> str:
        ahead = self.tokens[self.at : self.at + 9]
        return _kinds([Token("F", "") if t.kind == r"\frac" else t for t in ahead])

    def factor(self) -> Value:
        value = self.primary()
        while self.kind in ("!", "^"):
            if self.accept("!"):
                value = _constant(factorial(_small(_poly(value))))
                if self.kind == "!":
                    raise NotMaths("double factorial")
            elif self.accept("^"):
                value = _power(_poly(value), _poly(self.argument()))
                if self.kind in ("^", "!"):
                    raise NotMaths("2^3^2 has two readings")
        if self.kind == "_":
            raise NotMaths("a number in another base")
        return value

    def argument(self) -> Value:
        """What TeX takes after a command or ^: a group, or one token."""
        sign = self.signs()
        value = self.primary()
        return value if sign > 0 else _negative(_poly(value))

    def primary(self) -> Value:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotMaths("nested too deeply")
        try:
            return self.atom(self.take())
        finally:
            self.depth -= 1

    def atom(self, token: Token) -> Value:
        if token.kind == "n":
            return _constant(_number(token.text))
        if token.kind in ("s", "S") or (token.kind == "w" and len(token.text) == 1):
            return self.symbol(token.text)
        if token.kind in ("(", "[", "{", r"\{"):
            return self.brackets(token.kind)
        if token.kind == r"\emptyset":
            return "{}"
        if token.kind == r"\frac":
            numerator = _poly(self.argument())
            if self.kind == "n" and len(self.tokens[self.at].text) > 1:
                raise NotMaths(r"\frac{1}23 has two readings")
            return _times(numerator, _inverse(_poly(self.argument())))
        if token.kind == r"\binom":
            n, k = _small(_poly(self.argument())), _small(_poly(self.argument()))
            return _constant(comb(n, k))
        if token.kind == r"\sqrt":
            return self.radical()
        if token.kind == r"\begin":
            return self.matrix()
        raise Undecided(token.text) if token.kind == "f" else NotMaths(token.text)

    def symbol(self, name: str) -> Poly:
        name = name.strip().strip("\\")
        if name in "fghFGP" and self.kind == "(":
            raise Undecided("function application")
        if self.accept("_"):
            subscript = [self.take()]
            while subscript[0].kind == "{" and subscript[-1].kind not in ("}", "end"):
                subscript.append(self.take())
            name += "_" + _text(subscript).replace(" ", "")
        return {((name, Fraction(1)),): Fraction(1)}

    def brackets(self, opening: str) -> Value:
        closing = {"{": "}", r"\{": r"\}"}.get(opening)
        if opening == r"\{" and self.accept(r"\}"):
            return "{}"
        values = [self.expression()]
        while self.accept(",", ";"):
            values.append(self.expression())
        end = self.take().kind
        if end not in ((")", "]") if closing is None else (closing,)):
            raise NotMaths("unbalanced brackets")
        if len(values) == 1 and opening + end in ("()", "[]", "{}", r"\{\}"):
            return values[0]
        keys = [_key(value) for value in values]
        if closing:
            return _set_key(keys)
        if len(keys) != 2 and opening + end in ("(]", "[)"):
            raise NotMaths("an interval has two ends")
        return opening + ", ".join(keys) + end

    def radical(self) -> Poly:
        index = 2
        if self.accept("["):
            index = _small(_poly(self.expression()))
            self.expect("]")
        radicand = _poly(self.argument())
        exponent = _constant(Fraction(1, index)) if index else {}
        if index % 2 and len(radicand) == 1 and min(radicand.values()) < 0:
            return _negative(_power(_negative(radicand), exponent))
        return _power(radicand, exponent)

    def matrix(self) -> str:
        if not re.search(r"\{[pbB]?matrix\}", self.tokens[self.at - 1].text):
            raise NotMaths("unknown environment")
        rows: list[list[str]] = [[]]
        while True:
            rows[-1].append(_key(self.expression()))
            if self.accept("\\"):
                if self.kind == r"\end":
                    break
                rows.append([])
            elif not self.accept("&"):
                break
        self.expect(r"\end")
        return "matrix " + "; ".join(", ".join(row) for row in rows)


def _poly(value: Value) -> Poly:
    if isinstance(value, str):
        raise Undecided("arithmetic on tuples, sets or matrices")
    return value


def _small(value: Poly) -> int:
    if set(value) - {()}:
        raise Undecided("symbolic argument")
    number = value.get((), Fraction(0))
    if number.denominator != 1 or not 0 <= number <= 1000:
        raise NotMaths("not a small whole number")
    return int(number)


def _number(text: str) -> Fraction:
    if repeat := re.fullmatch(r"(\d*)\.(\d*)\\[a-z]+\s*\{(\d+)\}", text):
        whole, fixed, period = repeat.groups()
        scale = 10 ** len(fixed)
        tail = Fraction(int(period), scale * (10 ** len(period) - 1))
        return int(whole or 0) + Fraction(int(fixed or 0), scale) + tail
    exponent = re.split("[eE]", text)[1:]
    if exponent and (len(exponent[0]) > 5 or abs(int(exponent[0])) > MAX_BITS // 4):
        raise NotMaths("number too large")
    return Fraction(text)


# ---------------------------------------------------------------- keys

_WORDS = {
    spelling: "text:" + spellings[0]
    for spellings in (
        ("no solution", "no solutions", "there is no solution", "there are no solutions",
         "no solution exists", "no solutions exist"),
        ("does not exist", "dne", "d n e", "the limit does not exist", "limit does not exist"),
        ("yes",), ("no",), ("true",), ("false",),
    )
    for spelling in spellings
} | dict.fromkeys(
    ("infinity", "infinite", "infinitely many", "infinitely many solutions",
     "there are infinitely many solutions", "an infinite number of solutions"), "infinity",
)  # fmt: skip


def canonical_key(answer: str) -> str | None:
    """Return the exact canonical key of an answer, or None if only a worker can tell.

    Two answers that both have keys are equal if and only if their keys are the same string.
    Beyond MAX_LENGTH characters an answer is its own text. Never raises.
    """
    if len(answer) > MAX_LENGTH:
        return "text:" + " ".join(answer.split())
    return _cached_key(answer)


@lru_cache(maxsize=16_384)
def _cached_key(answer: str) -> str | None:
    cleaned = _clean(answer)
    try:
        tokens = _tokenize(cleaned)
    except NotMaths:
        return "text:" + cleaned
    text = _text(tokens)
    if text in _WORDS:
        return _WORDS[text]
    try:
        return _alternatives(tokens) + _list_key(_items(tokens))
    except Undecided:
        return None
    except NotMaths:
        return "text:" + (text or " ".join(answer.split()))


def latex_form(answer: str) -> str:
    """An answer without a key, as LaTeX for the worker: names, units and separators dropped."""
    items = [_exact(tokens) for _, tokens in _items(_tokenize(_clean(answer)))]
    return " , ".join(items)


def _exact(tokens: list[Token]) -> str:
    """LaTeX with decimals as fractions, so that no float arises from them."""
    return " ".join(
        "\\frac{{{}}}{{{}}}".format(*_number(t.text).as_integer_ratio())
        if t.kind == "n" and not t.text.isdigit()
        else t.text
        for t in tokens
    ).replace("*", r"\cdot")


def _list_key(items: list[tuple[str, list[Token]]]) -> str:
    names = {name for name, _ in items if name}
    plus_minus = any(t.kind in (r"\pm", r"\mp") for _, tokens in items for t in tokens)
    keys = set()
    for sign in (1, -1)[: 1 + plus_minus]:
        for name, tokens in items:
            key = _item_key(tokens, sign)
            keys.add(f"{name} = {key}" if len(names) > 1 else key)
    return _set_key(keys)


def _alternatives(tokens: list[Token]) -> str:
    """Mark a list of relations that all hold: `x > 1, x < 2` is not `x > 1 or x < 2`."""
    parts, separators = _split(tokens, {",", ";", "and", "or"})
    relations = any(_kinds(_split(tokens, set(_RELATIONS))[1]) for _, tokens in map(_strip, parts))
    return "all " if relations and any(t.text != "or" for t in separators) else ""


def _item_key(tokens: list[Token], sign: int) -> str:
    kinds = _kinds(tokens)
    if len(tokens) == 1 and len(tokens[0].text) > 1 and kinds == "w":
        return _WORDS.get(tokens[0].text, "text:" + tokens[0].text)
    if re.fullmatch("S{2,}", kinds):  # a segment, or an order of finish
        return "text:" + "".join(token.text for token in tokens).casefold()
    if any(t.kind == "w" and len(t.text) > 1 for t in tokens):
        raise NotMaths("words")
    if sum(t.kind in (r"\pm", r"\mp") for t in tokens) > 1:
        raise NotMaths("independent or linked signs")
    sides, relations = _split(tokens, set(_RELATIONS))
    if relations:
        values = [_Parser(side, sign).whole() for side in sides]
        return _relation_key(values, [_RELATIONS[token.kind] for token in relations])
    for separator in (r"\cup", ":"):
        parts, found = _split(tokens, {separator})
        if found:
            values = [_Parser(part, sign).whole() for part in parts]
            if separator == ":":
                return " : ".join(map(_key, values))
            if any(not isinstance(value, str) for value in values):
                raise NotMaths("union of what is no set")
            return _set_key(map(_key, values))
    return _key(_Parser(tokens, sign).whole())


def _relation_key(values: list[Value], signs: list[str]) -> str:
    if set(signs) == {"="} and len({_key(value) for value in values}) == 1:
        return _key(values[0])  # 2 + 3 = 5
    polys = [_poly(value) for value in values]
    steps = [
        (_sum([b, _negative(a)] if "<" in sign else [a, _negative(b)]), sign.replace("<", ">"))
        for a, b, sign in zip(polys, polys[1:], signs, strict=False)
    ]
    if signs == ["="] and (solved := _solved(steps[0][0])) is not None:
        return _key(solved)
    if signs[0] in ("=", "!=") and len(signs) == 1:
        return _normal_relation(steps[0][0], signs[0])
    if not all(sign in (">", ">=") for _, sign in steps) or len(steps) > 2:
        raise NotMaths("chain of relations")
    bounds = [_half_line(*step) for step in steps]
    if len(bounds) == 1:
        return _normal_relation(*steps[0]) if bounds[0] is None else _interval(bounds[0])
    if None in bounds:
        raise Undecided("chain of inequalities")
    return _interval(*(bound for bound in bounds if bound))


def _is_constant(atom: str) -> bool:
    return atom.isdigit() or atom in _POSITIVE or atom == "i"


def _solved(difference: Poly) -> Poly | None:
    """An equation solved for y, or for its only variable, if it is linear in that.

    As `y = 2x + 1` is `2x + 1`, so must `2x - y + 1 = 0` be.
    """
    variables = {x for monomial in difference for x, _ in monomial if not _is_constant(x)}
    unknown = "y" if "y" in variables or len(variables) != 1 else min(variables)
    linear: Monomial = ((unknown, Fraction(1)),)
    rest = {m: c for m, c in difference.items() if m != linear}
    if linear not in difference or any(x == unknown for m in rest for x, _ in m):
        return None
    return _times(rest, _constant(-1 / difference[linear]))


def _normal_relation(difference: Poly, sign: str) -> str:
    """`difference sign 0`, divided by its first coefficient (its size, for an inequality)."""
    if not set(difference) - {()}:
        raise NotMaths("a relation between numbers")
    leading = difference[min(difference)]
    factor = _constant(1 / (leading if sign in ("=", "!=") else abs(leading)))
    return f"{sign} {_key(_times(difference, factor))}"


_Bound = tuple[str, bool, str, bool]  # variable, is it a lower bound, its value, is it strict


def _half_line(difference: Poly, sign: str) -> _Bound | None:
    """`difference > 0` as a bound on its one variable; None if it is not linear in one."""
    constants = {m for m in difference if all(_is_constant(x) and x != "i" for x, _ in m)}
    rest = [m for m in difference if m not in constants]
    if len(rest) != 1 or len(rest[0]) != 1 or rest[0][0][1] != 1 or rest[0][0][0] == "i":
        return None
    slope = difference[rest[0]]
    bound = _times({m: difference[m] for m in constants}, _constant(-1 / slope))
    return rest[0][0][0], slope > 0, _key(bound), sign == ">"


def _interval(*bounds: _Bound) -> str:
    lower = next((bound for bound in bounds if bound[1]), None)
    upper = next((bound for bound in bounds if not bound[1]), None)
    if len({bound[0] for bound in bounds}) != 1 or len(bounds) != bool(lower) + bool(upper):
        raise NotMaths("chain of inequalities")
    left = ("(" if lower[3] else "[") + lower[2] if lower else "(-infinity"
    right = upper[2] + (")" if upper[3] else "]") if upper else "infinity)"
    return f"{left}, {right}"
