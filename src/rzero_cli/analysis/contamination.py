r"""Benchmark questions that occur in training data, found by the n-grams they share.

A benchmark question is found in a training question if n tokens in a row are in both, n = 13 being
that of GPT-3 (arXiv 2005.14165, appendix C). One shorter than n is found where all of it occurs,
and one of fewer than 8 tokens, the least n of GPT-3's, only where it is the whole of the training
question: `what is 1 + 1` stands at the end of many that have nothing to do with it.

N-grams that different questions of one benchmark share are left out, since they tell of none of
them: "can be written as m/n where m and n are relatively prime positive integers" is in a quarter
of AMC23. A question is found by those that it has alone, or as a whole.

Tokens are what two copies of a question have in common, however each was typeset:

- words in lower case, numbers, and operators, which are what tells one question of arithmetic from
  another. Punctuation is left out, and so are brackets, dollar signs and underscores, which come
  and go with LaTeX. A number is one token, so that a changed one ends every n-gram it is in;
- LaTeX by what it says: `\dfrac{1}{2}`, `½` and `1/2` are alike, and `\times`, `\cdot`, `×`;
  commands for layout are left out, others are words. Compatibility forms are folded (NFKC), full
  width digits among them; x² becomes x ^ 2 before, since NFKC would make it x2;
- scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Burmese, Khmer) a
  character a token, for want of words. Thirteen characters of Chinese are about eight words, so
  that stock phrases are found more easily than in English: a larger n suits them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rzero_cli.analysis.sketches import ngrams
from rzero_cli.data.jsonl import Line
from rzero_cli.data.records import p_hat_of, texts_of, votes_of
from rzero_cli.errors import DataError

NGRAM = 13
MOST_LINES = 10
"""Training lines that are named for one benchmark question; all are counted."""
_CONTAINED = 8  # tokens that a question must have to be looked for inside others
_QUESTION_KEYS = ("question", "problem", "prompt", "input")


def _words(table: str) -> set[str]:
    return set(table.split())


_LAYOUT = _words("""
    left right big bigg bigl bigr biggl biggr displaystyle textstyle limits nolimits quad qquad
    text textbf textit textrm mathrm mathbf mathit mathbb mathcal mathsf boldsymbol operatorname
    mbox emph frac dfrac tfrac cfrac begin end hspace
""")
_SAME = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "le": "<=", "leq": "<=", "leqslant": "<=",
    "ge": ">=", "geq": ">=", "geqslant": ">=", "ne": "!=", "neq": "!=", "lt": "<", "gt": ">",
    "pm": "±", "approx": "≈", "infty": "∞", "in": "∈", "cup": "∪", "cap": "∩", "to": "→",
    "rightarrow": "→", "degree": "°", "mid": "|", "vert": "|", "lvert": "|", "rvert": "|",
    "varepsilon": "ε", "varphi": "φ", "vartheta": "θ", "lambda": "λ",
} | {
    unicodedata.name(chr(code)).split()[-1].lower(): chr(code)
    for code in range(ord("α"), ord("ω") + 1)
    if code != ord("ς")
}  # fmt: skip
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("×·⋅∗∙", "*"),
        **dict.fromkeys("÷⁄∕", "/"),
        "\u2212": "-",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "√": " sqrt ",
    }
)
_POWER = re.compile("[⁰¹²³⁴-⁹]+")
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_DEGREES = re.compile(r"\^ ?\{? ?\\circ ?\}?")
_SHORT_FRACTION = re.compile(r"\\[dtc]?frac ?(\d) ?(\d)")
_BETWEEN_ARGUMENTS = re.compile(r"\} ?\{")
_COMMAND = re.compile(r"\\([a-z]+|.)", re.S)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NO_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
)
_GREEK = "\u0370-\u03ff"
_LETTER = rf"(?:(?![{_GREEK}{_NO_SPACES}])[^\W\d_])"
_TOKEN = re.compile(
    r"\d+(?:\.\d+)?|\.\d+"
    rf"|[a-z]+(?!{_LETTER})|{_LETTER}+"
    # Letters of mathematics stand beside others without being one word: 2πr.
    rf"|[{_GREEK}]+|[{_NO_SPACES}]"
    r"|[<>!]=|[+/=<>^%|°±]|[\u2190-\u22ff]"
    # One of a pair is bold type or a dash, and a hyphen joins words.
    rf"|(?<!\*)\*(?!\*)|(?<!-)-(?!-|{_LETTER}{{2}})"
)


def tokens(text: str) -> list[str]:
    """The tokens of a question, as the module says."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _VULGAR.sub(r" \g<0>", _POWER.sub(r"^\g<0>", text)))
        text = text.translate(_SIGNS)
    text = text.casefold()
    if "\\" in text:
        text = " ".join(text.split()).replace("{,}", ",")
        text = _BETWEEN_ARGUMENTS.sub(" / ", text)
        text = _SHORT_FRACTION.sub(r" \1/\2 ", _DEGREES.sub("°", text))
        text = _COMMAND.sub(_said, text)
    return _TOKEN.findall(_THOUSANDS.sub("", text))


def _said(command: re.Match[str]) -> str:
    """What a LaTeX command says."""
    name = command[1]
    if not name.isalpha():
        return {"%": "%", "!": "", "|": "|"}.get(name, " ")
    return " " if name in _LAYOUT else f" {_SAME.get(name, name)} "


class Entry(NamedTuple):
    """A benchmark question and where it stands."""

    source: str
    line: int
    id: Any
    question: str


@dataclass(frozen=True, slots=True)
class Index:
    """Benchmark questions by the hashes of their n-grams, some 100 bytes each.

    Among a million n-grams a training set of 10^9 meets one by chance with a probability of 5e-5.
    """

    n: int
    entries: list[Entry] = field(default_factory=list)
    grams: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """By the hash of n tokens, or of all tokens of a shorter question, the entries that have it."""
    lengths: dict[str, set[int]] = field(default_factory=dict)
    """By the first token of a shorter question, how many it has."""
    whole: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """By the hash of all its tokens, every entry that has any."""

    def find(self, question: str) -> set[int]:
        """The numbers of the entries that occur in a training question."""
        words = tuple(tokens(question))
        found = set(self.whole.get(hash(words), ()))
        for gram in ngrams(words, self.n):
            found.update(self.grams.get(hash(gram), ()))
        if self.lengths:
            for start, word in enumerate(words):
                for length in self.lengths.get(word, ()):
                    found.update(self.grams.get(hash(words[start : start + length]), ()))
        return found


def index_benchmarks(lines: Iterable[Line], *, n: int = NGRAM, key: str | None = None) -> Index:
    """The questions of benchmark files.

    Args:
        lines: of one file or several.
        n: tokens in a row that a question has to share.
        key: where a question is; by default the first that there is of `question`, `problem`,
            `prompt` and `input`.

    Raises:
        DataError: a record has no question there, or one that is no text.
    """
    index = Index(n)
    texts: list[int] = []
    for line in lines:
        there = key or next((name for name in _QUESTION_KEYS if name in line.record), None)
        if there is None:
            keys = ", ".join(list(line.record)[:8]) or "none"
            raise line.error(
                f"no question under {', '.join(_QUESTION_KEYS)}: name its key with --against-key; "
                f"keys here: {keys}"
            )
        entry = Entry(line.source, line.number, line.record.get("id"), line.text(there))
        texts.append(_enter(index, entry))
    for gram, owners in index.grams.items():
        if len(owners) > 1:
            index.grams[gram] = tuple(_who_alone_have_it(owners, index, texts))
    return index


def _enter(index: Index, entry: Entry) -> int:
    """Put a question into an index; returns the hash of all its tokens."""
    words, number = tuple(tokens(entry.question)), len(index.entries)
    index.entries.append(entry)
    text, alone = hash(words), (number,)  # one object for all n-grams of the question
    grams = {hash(gram) for gram in ngrams(words, index.n)}
    if _CONTAINED <= len(words) < index.n:
        grams = {text}
        index.lengths.setdefault(words[0], set()).add(len(words))
    for gram in grams:
        index.grams[gram] = (*index.grams[gram], number) if gram in index.grams else alone
    if words:
        index.whole[text] = (*index.whole.get(text, ()), number)
    return text


def _who_alone_have_it(owners: tuple[int, ...], index: Index, texts: list[int]) -> Iterator[int]:
    """Of the entries with an n-gram those in whose file no different question has it."""
    different: dict[str, set[int]] = {}
    for owner in owners:
        different.setdefault(index.entries[owner].source, set()).add(texts[owner])
    return (owner for owner in owners if len(different[index.entries[owner].source]) == 1)


class Overlap:
    """What of an index is found in one training file."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.keys: list[str] = []
        """Of the file's first record."""
        self.left_out: Counter[str] = Counter()
        """By key, how many records lost it to `watch`."""
        self._lines: defaultdict[int, list[int]] = defaultdict(list)
        """By the number of a question, the first lines that have it."""
        self._records: Counter[int] = Counter()

    def add(self, line: int, question: str) -> None:
        """Look for the index in the training question of a line."""
        for number in self.index.find(question):
            self._records[number] += 1
            if self._records[number] <= MOST_LINES:
                self._lines[number].append(line)

    def by_benchmark(self) -> list[dict[str, Any]]:
        """For each benchmark file `file`, `questions`, `found`, `share`, and `hits`: for each
        question that was found `line`, `id`, `question`, `records` (training questions it is in)
        and `lines` (of the first `MOST_LINES` of them)."""
        sizes = Counter(entry.source for entry in self.index.entries)
        hits: dict[str, list[dict[str, Any]]] = {source: [] for source in sizes}
        for number, (source, line, id, question) in enumerate(self.index.entries):
            if number in self._records:
                where = {"line": line, "id": id, "question": question}
                found = {"records": self._records[number], "lines": self._lines[number]}
                hits[source].append(where | found)
        return [
            {
                "file": source,
                "questions": size,
                "found": len(hits[source]),
                "share": len(hits[source]) / size,
                "hits": hits[source],
            }
            for source, size in sizes.items()
        ]


_NOT_NEEDED: dict[str, Callable[[Line], object]] = {
    "answer": lambda line: line.text("answer"),
    "reference": lambda line: line.text("reference"),
    "p_hat": p_hat_of,
    "answers": lambda line: texts_of(line, "answers"),
    "votes": votes_of,
}


def watch(lines: Iterable[Line], overlap: Overlap, question_key: str) -> Iterator[Line]:
    """`lines`, looked at as they pass.

    What only other figures need is left out where it is of the wrong type, and counted: training
    data need not be ours, and a benchmark's `answer` may be a number.
    """
    for line in lines:
        overlap.keys = overlap.keys or list(line.record)
        for key, check in _NOT_NEEDED.items():
            try:
                if line.record.get(key) is not None:
                    check(line)
            except DataError:
                del line.record[key]
                overlap.left_out[key] += 1
        if isinstance(question := line.record.get(question_key), str):
            overlap.add(line.number, question)
        yield line
