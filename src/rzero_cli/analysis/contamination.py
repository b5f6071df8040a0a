r"""Benchmark contamination of training data, found by shared n-grams.

A benchmark question is found in a training question if both contain the same n tokens in a row;
n = 13 as for GPT-3 (arXiv 2005.14165, appendix C). A question shorter than n is found if all of it
occurs. One of fewer than 8 tokens, GPT-3's smallest n, is found only as the whole training
question: `what is 1 + 1` also ends many unrelated ones.

N-grams shared by different questions of one benchmark are ignored, since they identify none: "can
be written as m/n where m and n are relatively prime positive integers" is in a quarter of AMC23. A
question is found by the n-grams that only it has, or as a whole.

Tokens are what two copies of a question share however they are typeset:

- Lower-case words, numbers and operators, which distinguish one question of arithmetic from
  another. Punctuation, brackets, dollar signs and underscores are dropped, since LaTeX adds them
  freely. A number is one token, so a changed number breaks every n-gram that contains it.
- LaTeX by its meaning: `\dfrac{1}{2}`, `½` and `1/2` are equal, and so are `\times`, `\cdot` and
  `×`. Layout commands are dropped, others are words. Compatibility forms such as full-width digits
  are folded (NFKC); x² becomes x ^ 2 first, since NFKC would make it x2.
- One token per character in scripts written without spaces (Chinese, Japanese, Thai, Lao, Burmese,
  Khmer). Thirteen Chinese characters are about eight words, so stock phrases match more easily than
  in English: use a larger n.
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
"""Training lines listed for one benchmark question; all are counted."""
_CONTAINED = 8  # the fewest tokens of a question that is searched for inside others
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
    # Greek letters next to others are separate symbols: 2πr.
    rf"|[{_GREEK}]+|[{_NO_SPACES}]"
    r"|[<>!]=|[+/=<>^%|°±]|[\u2190-\u22ff]"
    # Doubled signs are bold type or a dash, and a hyphen joins words.
    rf"|(?<!\*)\*(?!\*)|(?<!-)-(?!-|{_LETTER}{{2}})"
)


def tokens(text: str) -> list[str]:
    """Return the tokens of a question, as defined for this module."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _VULGAR.sub(r" \g<0>", _POWER.sub(r"^\g<0>", text)))
        text = text.translate(_SIGNS)
    text = text.casefold()
    if "\\" in text:
        text = " ".join(text.split()).replace("{,}", ",")
        text = _BETWEEN_ARGUMENTS.sub(" / ", text)
        text = _SHORT_FRACTION.sub(r" \1/\2 ", _DEGREES.sub("°", text))
        text = _COMMAND.sub(_meaning, text)
    return _TOKEN.findall(_THOUSANDS.sub("", text))


def _meaning(command: re.Match[str]) -> str:
    """Return the text that a LaTeX command stands for."""
    name = command[1]
    if not name.isalpha():
        return {"%": "%", "!": "", "|": "|"}.get(name, " ")
    return " " if name in _LAYOUT else f" {_SAME.get(name, name)} "


class Entry(NamedTuple):
    """A benchmark question and its place in a file."""

    source: str
    line: int
    id: Any
    question: str


@dataclass(frozen=True, slots=True)
class Index:
    """Benchmark questions by the hashes of their n-grams, about 100 bytes per n-gram.

    The chance that a training set of 10^9 n-grams hits one of a million by accident is 5e-5.
    """

    n: int
    entries: list[Entry] = field(default_factory=list)
    grams: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Hash of n tokens, or of all tokens of a shorter question -> the entries that have it."""
    lengths: dict[str, set[int]] = field(default_factory=dict)
    """First token of a shorter question -> its possible lengths in tokens."""
    whole: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Hash of all tokens of a question -> the entries; those without tokens are left out."""

    def find(self, question: str) -> set[int]:
        """Return the numbers of the entries that occur in a training question."""
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
    """Return the index of the questions in benchmark files.

    Args:
        lines: the records of all files.
        n: consecutive tokens that a match must share.
        key: key of the question; by default the first present of `question`, `problem`, `prompt`
            and `input`.

    Raises:
        DataError: a record has no question there, or it is not a string.
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
    """Add a question to the index and return the hash of all its tokens."""
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
    """Return the owners of an n-gram in whose files no different question has it."""
    different: dict[str, set[int]] = {}
    for owner in owners:
        different.setdefault(index.entries[owner].source, set()).add(texts[owner])
    return (owner for owner in owners if len(different[index.entries[owner].source]) == 1)


class Overlap:
    """The questions of an index that occur in one training file."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.keys: list[str] = []
        """The keys of the file's first record."""
        self.left_out: Counter[str] = Counter()
        """Key -> the number of records from which `watch` removed it."""
        self._lines: defaultdict[int, list[int]] = defaultdict(list)
        """Number of a question -> the first lines that contain it."""
        self._records: Counter[int] = Counter()

    def add(self, line: int, question: str) -> None:
        """Search the training question of a line for the questions of the index."""
        for number in self.index.find(question):
            self._records[number] += 1
            if self._records[number] <= MOST_LINES:
                self._lines[number].append(line)

    def by_benchmark(self) -> list[dict[str, Any]]:
        """Return `file`, `questions`, `found`, `share` and `hits` for each benchmark file.

        Each hit has the question's `line`, `id` and `question`, the number of training questions
        that contain it (`records`) and the `lines` of the first `MOST_LINES` of those.
        """
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
    """Yield `lines` unchanged and add their questions to `overlap`.

    Keys that only other metrics need are removed, and counted, if they have the wrong type: the
    training data may come from elsewhere, and a benchmark's `answer` may be a number.
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
