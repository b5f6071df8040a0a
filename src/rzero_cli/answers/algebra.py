"""Exact arithmetic on polynomials over the rationals in variables, pi, e, i and roots.

The normal form is unique, since roots of distinct primes are linearly independent over the
rationals (Besicovitch, 1940). Sizes are bounded: a result that is too large raises an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from itertools import product

MAX_LENGTH = 2_000  # characters of an answer that is still parsed
MAX_DEPTH = 40  # of nested brackets
MAX_BITS = 10_000  # of a number: about 3,000 digits
MAX_TERMS = 64  # of a polynomial


class Undecided(Exception):
    """Mathematics without a canonical form: no key, but two spellings may still be equal."""


class NotMaths(Exception):
    """Not mathematics, ambiguous or too large: the answer is equal only to its own text."""


Monomial = tuple[tuple[str, Fraction], ...]  # (atom, exponent), sorted; a prime atom is its digits
Poly = dict[Monomial, Fraction]
Value = Poly | str  # a str is infinity or the empty set

POSITIVE = {"pi", "e"}  # transcendental, so their rational powers are independent
I_UNIT: Poly = {(("i", Fraction(1)),): Fraction(1)}


def constant(number: Fraction | int) -> Poly:
    if not isinstance(number, Fraction):
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
        constant(exponent)  # raises if it is too large
        if atom.isdigit():
            whole = exponent // 1
            exponents[atom] -= whole
            coefficient *= _rational_power(Fraction(atom), whole)
        elif atom == "i":
            coefficient *= -1 if exponent % 4 >= 2 else 1
            exponents[atom] = exponent % 2
    constant(coefficient)
    monomial = tuple(sorted((atom, power) for atom, power in exponents.items() if power))
    return dict.fromkeys([monomial] if coefficient else [], coefficient)


def _rational_power(base: Fraction, exponent: int) -> Fraction:
    if abs(exponent) * max(base.numerator.bit_length(), base.denominator.bit_length()) > MAX_BITS:
        raise NotMaths("number too large")
    return base**exponent


def add(polys: Iterable[Poly]) -> Poly:
    total: Poly = {}
    for poly in polys:
        for monomial, coefficient in poly.items():
            total[monomial] = total.get(monomial, Fraction(0)) + coefficient
    if len(total) > MAX_TERMS:
        raise Undecided("too many terms")
    return {m: value for m, c in total.items() for value in constant(c).values()}


def times(a: Poly, b: Poly) -> Poly:
    if len(a) * len(b) > 4 * MAX_TERMS:
        raise Undecided("too many terms")
    return add(_term(m + n, c * d) for (m, c), (n, d) in product(a.items(), b.items()))


def negative(a: Poly) -> Poly:
    return {monomial: -c for monomial, c in a.items()}


def inverse(a: Poly) -> Poly:
    """Return 1/a for one term, or, by conjugates, a sum of square roots and i."""
    if not a:
        raise NotMaths("division by zero")
    numerator = constant(1)
    while len(a) > 1:
        surds = {factor for monomial in a for factor in monomial}
        if not all(_is_surd(*factor) for factor in surds):
            raise Undecided("quotient of polynomials")
        surd = max(surds)
        conjugate = {m: -c if surd in m else c for m, c in a.items()}
        numerator, a = times(numerator, conjugate), times(a, conjugate)
    ((monomial, coefficient),) = a.items()
    return times(numerator, _term(((x, -p) for x, p in monomial), 1 / coefficient))


def power(base: Poly, exponent: Poly) -> Poly:
    if set(exponent) - {()}:
        raise Undecided("symbolic exponent")
    n = exponent.get((), Fraction(0))
    if n.denominator != 1:
        return _fractional_power(base, n)
    if not base or not n:
        if n > 0 or base:
            return constant(0 if n else 1)
        raise NotMaths("zero to a power that is not positive")
    if len(base) == 1:
        ((monomial, c),) = base.items()
        return _term(((x, p * n) for x, p in monomial), _rational_power(c, int(n)))
    if abs(n) > 24:
        raise Undecided("large power of a sum")
    result = constant(1)
    for _ in range(abs(int(n))):
        result = times(result, base)
    return result if n > 0 else inverse(result)


def _fractional_power(base: Poly, n: Fraction) -> Poly:
    """Return base**n for one term whose atoms are all positive; the square root of -1 is i."""
    if not base and n > 0:
        return base
    if len(base) != 1:
        raise Undecided("root of a sum")
    ((monomial, c),) = base.items()
    if not all(atom in POSITIVE or atom.isdigit() for atom, _ in monomial):
        raise Undecided("root of a variable")
    if c < 0:
        if n.denominator != 2:
            raise Undecided("branch of a root")
        return times(power(I_UNIT, constant(n.numerator)), _fractional_power(negative(base), n))
    primes = [*_factors(c.numerator).items()] + [
        (p, -k) for p, k in _factors(c.denominator).items()
    ]
    return _term([(x, p * n) for x, p in (*monomial, *primes)], Fraction(1))


@lru_cache(maxsize=4096)
def _factors(n: int) -> dict[str, Fraction]:
    """Return the prime factors by trial division to 10**4; complete if the rest is below 10**8."""
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


def key_of(value: Value) -> str:
    if isinstance(value, str):
        return value
    terms = sorted((" ".join(f"{x}^{p}" for x, p in m), str(c)) for m, c in value.items())
    return " + ".join(f"{c} {m}".strip() for m, c in terms) or "0"
