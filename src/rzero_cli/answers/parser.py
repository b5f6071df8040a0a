"""A recursive-descent parser from the tokens of one expression to its value."""

from __future__ import annotations

import re
from fractions import Fraction
from math import comb, factorial

from rzero_cli.answers.algebra import (
    MAX_BITS,
    MAX_DEPTH,
    NotMaths,
    Poly,
    Undecided,
    Value,
    add,
    constant,
    inverse,
    negative,
    power,
    times,
)
from rzero_cli.answers.items import kinds_of, text_of
from rzero_cli.answers.tokens import Token

# Letters of functions more often than of factors; \pi(4) is a product.
APPLIED = {*"fghFGP", "phi", "varphi", "psi", "chi", "mu", "sigma", "tau", "omega", "Phi"}
_MIXED = re.compile(r"n(?:n/n|F\{n\}\{n\})")


class Parser:
    """A recursive-descent parser of one expression."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = [*tokens, Token("end", "")]
        self.at = 0
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
        while self.kind in ("+", "-"):
            sign *= 1 if self.take().kind == "+" else -1
        return sign

    def expression(self) -> Value:
        sign = self.signs()
        if self.accept(r"\infty"):
            return "-infinity" if sign < 0 else "infinity"
        value = self.term()
        if isinstance(value, str) and sign == 1 and self.kind not in ("+", "-"):
            return value
        terms = [as_poly(value) if sign > 0 else negative(as_poly(value))]
        while self.kind in ("+", "-"):
            sign = self.signs()
            term = as_poly(self.term())
            terms.append(term if sign > 0 else negative(term))
        total = add(terms) if len(terms) > 1 else terms[0]
        if self.accept(r"\choose"):
            return constant(comb(_small(total), _small(as_poly(self.expression()))))
        if self.accept(r"\over"):
            return times(total, inverse(as_poly(self.expression())))
        return total

    def term(self) -> Value:
        start = self.at
        value = self.mixed_number() or self.factor()
        divided = False
        while True:
            # A number is multiplied by juxtaposition only after a power or factorial: `2^3 3^2`.
            powered = {t.kind for t in self.tokens[start : self.at]} & {"^", "!"}
            start = self.at
            if self.accept("*"):
                value = times(as_poly(value), self.mixed_number() or self.signed_factor())
            elif self.accept("/"):
                value = times(as_poly(value), inverse(as_poly(self.signed_factor())))
                divided = True
            elif self.kind in ("s", "S", "(", "{", r"\frac", r"\sqrt", r"\binom", "f") or (
                powered and self.kind == "n"
            ):
                if divided:
                    raise NotMaths("1/2x has two readings")
                value = times(as_poly(value), as_poly(self.factor()))
            else:
                return value

    def signed_factor(self) -> Poly:
        sign = self.signs()
        value = as_poly(self.factor())
        return value if sign > 0 else negative(value)

    def mixed_number(self) -> Poly | None:
        r"""Parse `1\frac{1}{2}` or `7 3/4`, a whole number and a proper fraction of literals."""
        match = _MIXED.match(self.kinds()) if self.kind == "n" else None
        if match is None:
            return None
        digits = [t.text for t in self.tokens[self.at : self.at + match.end()] if t.kind == "n"]
        if not all(d.isdigit() for d in digits):
            return None
        whole, numerator, denominator = map(int, digits)
        if not 0 < numerator < denominator:
            return None
        self.at += match.end()
        return constant(whole + Fraction(numerator, denominator))

    def kinds(self) -> str:
        return kinds_of(self.tokens[self.at : self.at + 9])

    def factor(self) -> Value:
        is_function = self.tokens[self.at].text.strip("\\") in APPLIED
        value = self.primary()
        while self.kind in ("!", "^"):
            if self.accept("!"):
                value = constant(factorial(_small(as_poly(value))))
                if self.kind == "!":
                    raise NotMaths("double factorial")
            elif self.accept("^"):
                value = power(as_poly(value), as_poly(self.argument()))
                if self.kind in ("^", "!"):
                    raise NotMaths("2^3^2 has two readings")
                if is_function and self.kind == "(":
                    raise NotMaths("an inverse or a power of a function")
        if self.kind == "_":
            raise NotMaths("a number in another base")
        return value

    def argument(self) -> Value:
        """Parse what TeX takes after a command or ^: a group or one token."""
        sign = self.signs()
        value = self.primary()
        return value if sign > 0 else negative(as_poly(value))

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
            return constant(number_of(token.text))
        if token.kind in ("s", "S") or (token.kind == "w" and len(token.text) == 1):
            return self.symbol(token.text)
        if token.kind in ("(", "[", "{", r"\{"):
            return self.brackets(token.kind)
        if token.kind == r"\emptyset":
            return "{}"
        if token.kind == r"\frac":
            numerator = as_poly(self.argument())
            if self.kind == "n" and len(self.tokens[self.at].text) > 1:
                raise NotMaths(r"\frac{1}23 has two readings")
            return times(numerator, inverse(as_poly(self.argument())))
        if token.kind == r"\binom":
            n, k = _small(as_poly(self.argument())), _small(as_poly(self.argument()))
            return constant(comb(n, k))
        if token.kind == r"\sqrt":
            return self.radical()
        raise Undecided(token.text) if token.kind == "f" else NotMaths(token.text)

    def symbol(self, name: str) -> Poly:
        name = name.strip().strip("\\")
        is_function = name in APPLIED
        if self.accept("_"):
            subscript = [self.take()]
            while subscript[0].kind == "{" and subscript[-1].kind not in ("}", "end"):
                subscript.append(self.take())
            name += "_" + text_of(subscript).replace(" ", "")
        while self.accept("'"):
            name += "'"
        if self.kind == "(" and (is_function or self.is_applied()):
            raise Undecided("function application")
        return {((name, Fraction(1)),): Fraction(1)}

    def is_applied(self) -> bool:
        """Return True before a letter alone in brackets: nobody writes the product px as p(x)."""
        return self.kinds()[:3] in ("(s)", "(S)")

    def brackets(self, opening: str) -> Value:
        if self.kinds()[:2] == "s]":
            raise NotMaths("[x] may be a floor")
        value = self.expression()
        if self.kind in (",", ";"):
            raise Undecided("arithmetic on tuples")
        self.expect({"(": ")", "[": "]", "{": "}", r"\{": r"\}"}[opening])
        return value

    def radical(self) -> Poly:
        index = 2
        if self.accept("["):
            index = _small(as_poly(self.expression()))
            self.expect("]")
        radicand = as_poly(self.argument())
        exponent = constant(Fraction(1, index)) if index else {}
        if index % 2 and len(radicand) == 1 and min(radicand.values()) < 0:
            return negative(power(negative(radicand), exponent))
        return power(radicand, exponent)


def as_poly(value: Value) -> Poly:
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


def number_of(text: str) -> Fraction:
    if repeat := re.fullmatch(r"(\d*)\.(\d*)\\[a-z]+\s*\{(\d+)\}", text):
        whole, fixed, period = repeat.groups()
        scale = 10 ** len(fixed)
        tail = Fraction(int(period), scale * (10 ** len(period) - 1))
        return int(whole or 0) + Fraction(int(fixed or 0), scale) + tail
    exponent = re.split("[eE]", text)[1:]
    if exponent and (len(exponent[0]) > 5 or abs(int(exponent[0])) > MAX_BITS // 4):
        raise NotMaths("number too large")
    return Fraction(text)
