"""Fuzz targets for answers: extraction, keys and comparison of any text."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from rzero_cli.answers import (
    EXTRACTIONS,
    Conventions,
    canonical_key,
    extract_answer,
    extract_boxed,
    is_blank_box,
    latex_form,
)
from rzero_cli.answers.equivalence import Equivalence

DATA = Path(os.environ.get("RZERO_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
LONGEST = 3000  # characters of a mutated answer; other tests cover the limits of length


@cache
def _adversarial() -> list[str]:
    path = DATA / "adversarial_answers.jsonl"
    if not path.is_file():
        return ["1", r"\frac{1}{2}"]
    return [json.loads(line)["answer"][:LONGEST] for line in path.read_text("utf-8").splitlines()]


# ---------------------------------------------------------------- examples

numbers = st.one_of(
    st.integers(-999, 10**6).map(str),
    st.decimals(-100, 100, places=3).map(str),
    st.sampled_from(
        ["0", "1,234", "1{,}000", ".5", "3.", "1e5", "10^{100}", "½", "٣", "0.\\overline{3}"]
    ),
)
atoms = st.one_of(numbers, st.sampled_from([*"xyznieπab", r"\pi", r"\theta", r"\infty", "∞"]))


def _larger(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(part, part)
    operators = st.sampled_from(
        [
            "+",
            "-",
            "*",
            r"\cdot",
            r"\times",
            "/",
            "^",
            "=",
            ",",
            r"\le",
            "<",
            r"\pm",
            r"\cup",
            "",
            " ",
        ]
    )
    functions = st.sampled_from(
        [r"\sin", r"\ln", r"\log_2", r"\sqrt[3]", r"\operatorname{lcm}", "f"]
    )
    return st.one_of(
        st.tuples(part, operators, part).map("".join),
        two.map(lambda p: rf"\frac{{{p[0]}}}{{{p[1]}}}"),
        two.map(lambda p: f"{{{p[0]}}}^{{{p[1]}}}"),
        two.map(lambda p: rf"\binom{{{p[0]}}}{{{p[1]}}}"),
        two.map(lambda p: rf"\sum_{{n={p[0]}}}^{{{p[1]}}} n"),
        two.map(lambda p: rf"\begin{{pmatrix}}{p[0]}\\{p[1]}\end{{pmatrix}}"),
        two.map(lambda p: rf"\left({p[0]}, {p[1]}\right]"),
        st.tuples(functions, part).map(lambda p: f"{p[0]}{{{p[1]}}}"),
        part.map(lambda p: rf"\sqrt{{{p}}}"),
        part.map(lambda p: rf"\{{{p}\}}"),
        part.map(lambda p: rf"\left|{p}\right|"),
        part.map(lambda p: rf"\text{{{p}}}"),
        part.map(lambda p: f"({p})!"),
        part.map(lambda p: f"{p}\\%"),
    )


latex = st.recursive(atoms, _larger, max_leaves=8)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """An adversarial answer with pieces of it or of others removed, moved or repeated."""
    text = draw(st.sampled_from(_adversarial()))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 40)))
        piece = draw(
            st.sampled_from(
                ["", text[start:end] * 2, "{", "}", "\\", "^", "_", "$", "\x00", "\ud800"]
            )
            | latex
        )
        text = text[:start] + piece + text[end:]
    return text[:LONGEST]


answers = st.one_of(latex, mutated(), st.text(max_size=80))
completions = st.lists(
    answers
    | st.sampled_from(
        [
            *(
                r"\boxed{",
                r"\boxed ",
                r"\fbox{",
                "}",
                "{",
                "\\",
                "####",
                "\n",
                "The answer is ",
                "**",
            ),
            *("$", "(A)", "Answer: B", "<question>", "</question>"),
        ]
    ),
    max_size=8,
).map("".join)
conventions = st.builds(
    Conventions, st.sampled_from(["drop", "keep"]), st.sampled_from(["drop", "fraction"])
)


# ---------------------------------------------------------------- checks


def boxes(text: str) -> None:
    for found in (extract_boxed(text), *(extract_answer(text, (way,)) for way in EXTRACTIONS)):
        assert found is None or (found and found == found.strip())
    assert extract_answer(text, EXTRACTIONS) == extract_answer(text, EXTRACTIONS)
    assert not (is_blank_box(text) and extract_boxed(text))


def keys(case: tuple[str, Conventions]) -> None:
    text, rules = case
    key = canonical_key(text, rules)
    assert key is None or key
    assert canonical_key(text, rules) == key
    assert (key or "").startswith("text:") or latex_form(text, rules)
    assert canonical_key(f" {text}\n", rules) == key


@cache
def _equivalence() -> Equivalence:
    return Equivalence(timeout=0.2)


def equal(pair: tuple[str, str]) -> None:
    a, b = pair
    verdict = _equivalence().equal(a, b)
    assert _equivalence().equal(b, a) == verdict
    assert _equivalence().equal(a, a)
    keyed = [canonical_key(text) for text in pair]
    if None not in keyed and "=" not in a + b:  # one equation may be solved for two names
        assert not verdict or keyed[0] == keyed[1]


def classes(texts: list[str]) -> None:
    found = _equivalence().classes(texts)
    assert sorted(text for group in found for text in group) == sorted(set(texts))
    assert _equivalence().classes(texts[::-1]) == found


TARGETS = {
    "boxes and other ways to find an answer": (completions, boxes),
    "canonical keys": (st.tuples(answers, conventions), keys),
    "equivalence of two": (
        st.tuples(answers, answers) | latex.map(lambda a: (a, f"{a} + 0")),
        equal,
    ),
    "classes of several": (st.lists(latex, min_size=2, max_size=4), classes),
}
