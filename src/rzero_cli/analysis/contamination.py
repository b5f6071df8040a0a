"""Benchmark contamination of training data, found by shared n-grams that are rare.

A training question contains a benchmark question if it has, word for word or edited, the part of it
that distinguishes it. What two questions share is measured by their common trigrams of tokens
(`question_tokens.py`), which survive changed numbers, names and words.

The **score** of a match is the fraction of the benchmark question's trigrams that the training
question has, each weighted by its rarity, log(N / df), over the questions of that benchmark and of
the training file. A stock phrase thus weighs next to nothing: "can be written as m/n where m and n
are relatively prime positive integers" is in a quarter of AMC23. In df a match with a fraction c of
the trigrams counts 1 - c: a copy is no evidence about other questions.

| confidence | a match of n tokens or more with                                         |
|------------|--------------------------------------------------------------------------|
| high       | a score of 0.7 or more, or the whole training question                   |
| medium     | a score of 0.4 or more: probably an edited copy                          |
| low        | a lower score, but n tokens in a row: a passage, or chance               |

n = 13 as for GPT-3 (arXiv 2005.14165, appendix C). A match of n tokens is one with as many common
trigrams as n tokens in a row have. A question shorter than n is found, with medium confidence, if
all of it occurs in a row. One of fewer than 8 tokens, GPT-3's smallest n, is found only as the
whole training question: `what is 1 + 1` also ends many unrelated ones.

Between GSM8K's own 1,319 questions the largest score of unrelated ones is 0.34, and between AMC23
and AIME24 it is 0.15. `tests/analysis/test_planted_copies.py` measures what is found.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import inf, log
from typing import Any, NamedTuple

from rzero_cli.analysis.question_tokens import tokens
from rzero_cli.analysis.sketches import ngrams
from rzero_cli.data.jsonl import Line
from rzero_cli.data.records import p_hat_of, texts_of, votes_of
from rzero_cli.errors import DataError

__all__ = ["MOST_LINES", "NGRAM", "Index", "Overlap", "index_benchmarks", "tokens", "watch"]

NGRAM = 13
MOST_LINES = 10
"""Training lines listed for one benchmark question; all are counted."""
HIGH, MEDIUM = 0.7, 0.4
"""The smallest scores of these confidences."""
_TRIGRAM = 3
_CONTAINED = 8  # the fewest tokens of a question that is searched for inside others
_LEVELS = ("", "low", "medium", "high")
_RARE_PASSAGE = 0.5  # the mean rarity of a passage that is no stock phrase
# Rare trigrams in common from which two questions are compared: one number or name that both have
# by chance is in three.
_RARE = 4
_MOST_WAYS = 64  # different sets of common trigrams remembered for a benchmark question
_WHOLE = -1  # all of a question, which is the whole training question
_QUESTION_KEYS = ("question", "problem", "prompt", "input")


class Entry(NamedTuple):
    """A benchmark question and its place in a file."""

    source: str
    line: int
    id: Any
    question: str


class Text(NamedTuple):
    """A different question of a benchmark."""

    entries: list[int]
    """The numbers of the entries with these tokens, all of one file."""
    words: tuple[str, ...]
    df: array[int]
    """For each trigram, the different questions of the file that have it; 0 if it is repeated."""


@dataclass(frozen=True, slots=True)
class Index:
    """Benchmark questions by the hashes of their rare trigrams, about 150 bytes a token."""

    n: int
    entries: list[Entry] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    """File -> the number of its different questions."""
    firsts: list[int] = field(default_factory=list)
    """For each text, the place of its first trigram among those of all texts."""
    owners: array[int] = field(default_factory=lambda: array("L"))
    """For the place of each trigram, the number of its text."""
    least: list[float] = field(default_factory=list)
    """For each text, the common rare trigrams from which a training question is compared with it;
    infinite for a text of fewer than n tokens."""
    rare: dict[int, int] = field(default_factory=dict)
    """Hash of a trigram that no other question of its file has -> its place."""
    twins: dict[int, list[int]] = field(default_factory=dict)
    """Place of a rare trigram -> its places in the questions of other files."""
    whole: dict[int, list[int]] = field(default_factory=dict)
    """Hash of all tokens of a question -> its texts; those without tokens are left out."""
    lengths: dict[str, set[int]] = field(default_factory=dict)
    """First token of a question of fewer than n -> its possible lengths in tokens."""

    def rare_in(self, words: tuple[str, ...]) -> set[int]:
        """Return the places of the rare trigrams that occur in a training question."""
        get = self.rare.get
        hashes = map(hash, ngrams(words, _TRIGRAM))
        found = {place for one in hashes if (place := get(one)) is not None}
        if self.twins:
            found.update(*(self.twins[place] for place in found if place in self.twins))
        return found

    def matches(self, words: tuple[str, ...], rare: set[int]) -> Iterator[tuple[int, int]]:
        """Yield the texts that share enough with a training question.

        Yields:
            The number of a text, and the set of its trigrams in the training question as the bits
            of a number.
        """
        found = set()
        for number in self.whole.get(hash(words), ()):
            found.add(number)
            yield number, _WHOLE
        if self.lengths:
            for start, word in enumerate(words):
                for length in self.lengths.get(word, ()):
                    for number in self.whole.get(hash(words[start : start + length]), ()):
                        if number not in found:
                            found.add(number)
                            yield number, (1 << len(self.texts[number].df)) - 1
        counts = Counter(map(self.owners.__getitem__, rare))
        close = [number for number, count in counts.items() if count >= self.least[number]]
        grams = set(ngrams(words, _TRIGRAM)) if close else set()
        for number in close:
            if number not in found:
                there = enumerate(ngrams(self.texts[number].words, _TRIGRAM))
                shared = sum(1 << place for place, gram in there if gram in grams)
                if shared.bit_count() > self.n - _TRIGRAM:
                    yield number, shared

    def find(self, question: str) -> set[int]:
        """Return the numbers of the entries that occur in a question, with any confidence."""
        overlap = Overlap(self)
        overlap.add(1, question)
        return {entry for entry, _ in overlap.hits()}


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
    texts: dict[str, dict[tuple[str, ...], list[int]]] = {}
    known: dict[str, str] = {}  # one object for each word
    for number, line in enumerate(lines):
        there = key or next((name for name in _QUESTION_KEYS if name in line.record), None)
        if there is None:
            keys = ", ".join(list(line.record)[:8]) or "none"
            raise line.error(
                f"no question under {', '.join(_QUESTION_KEYS)}: name its key with --against-key; "
                f"keys here: {keys}"
            )
        entry = Entry(line.source, line.number, line.record.get("id"), line.text(there))
        index.entries.append(entry)
        words = tuple(known.setdefault(word, word) for word in tokens(entry.question))
        texts.setdefault(entry.source, {}).setdefault(words, []).append(number)
    for source, of_file in texts.items():
        index.sizes[source] = len(of_file)
        df = Counter(gram for words in of_file for gram in {*map(hash, ngrams(words, _TRIGRAM))})
        for words, entries in of_file.items():
            _enter(index, words, entries, df)
    return index


def _enter(index: Index, words: tuple[str, ...], entries: list[int], df: Counter[int]) -> None:
    """Add a question to the index; `df` has the questions of its file by trigram."""
    first = len(index.owners)
    hashes, seen = [hash(gram) for gram in ngrams(words, _TRIGRAM)], set[int]()
    counts = array("L")
    for place, one in enumerate(hashes, first):
        counts.append(0 if one in seen else df[one])
        seen.add(one)
        if counts[-1] == 1 and (other := index.rare.setdefault(one, place)) != place:
            index.twins.setdefault(other, []).append(place)
    if words:
        index.whole.setdefault(hash(words), []).append(len(index.texts))
    if _CONTAINED <= len(words) < index.n:
        index.lengths.setdefault(words[0], set()).add(len(words))
    index.owners.extend([len(index.texts)] * len(counts))
    index.texts.append(Text(entries, words, counts))
    index.firsts.append(first)
    index.least.append(min(_RARE, counts.count(1) or inf) if len(words) >= index.n else inf)


class Overlap:
    """The questions of an index that occur in one training file."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.keys: list[str] = []
        """The keys of the file's first record."""
        self.left_out: Counter[str] = Counter()
        """Key -> the number of records from which `watch` removed it."""
        self._questions = 0
        self._df = Counter[int]()
        """Place of a rare trigram -> the training questions that have it, matches apart."""
        self._partly = defaultdict[int, float](float)
        """Place of a rare trigram -> the same for matches. One with a fraction c of the text counts
        1 - c: a copy is no evidence about other questions."""
        self._ways: dict[int, dict[int, list[int]]] = {}
        """Number of a text -> set of its trigrams -> the number of training questions that have
        them, and the lines of the first."""

    def add(self, line: int, question: str) -> None:
        """Search the training question of a line for the questions of the index."""
        words = tuple(tokens(question))
        rare = self.index.rare_in(words)
        self._questions += 1
        for number, shared in list(self.index.matches(words, rare)):
            ways = self._ways.setdefault(number, {})
            if shared not in ways and len(ways) >= _MOST_WAYS:
                shared = min(ways, key=lambda way: (way ^ shared).bit_count())
            way = ways.setdefault(shared, [0])
            way[0] += 1
            if len(way) <= MOST_LINES:
                way.append(line)
            text, first = self.index.texts[number], self.index.firsts[number]
            own = rare.intersection(range(first, first + len(text.df)))
            rare -= own
            if new := 1 - _fraction(text, shared):
                for place in own:
                    self._partly[place] += new
        self._df.update(rare)

    def hits(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each entry found, with `score`, `confidence`, `records`, `lines`."""
        for number, ways in self._ways.items():
            text = self.index.texts[number]
            scores = {shared: self._score(number, shared) for shared in ways}
            levels = {shared: self._confidence(number, shared, scores[shared]) for shared in ways}
            best = max(scores, key=lambda shared: (levels[shared], scores[shared]))
            if not levels[best]:
                continue
            # Next to a copy, passages are no evidence.
            least = min(levels[best], _LEVELS.index("medium"))
            counted = [ways[shared] for shared in ways if levels[shared] >= least]
            hit = {
                "score": round(scores[best], 2),
                "confidence": _LEVELS[levels[best]],
                "records": sum(count for count, *_ in counted),
                "lines": sorted(line for _, *lines in counted for line in lines)[:MOST_LINES],
            }
            yield from ((entry, hit) for entry in text.entries)

    def _rarities(self, number: int, shared: int) -> list[float]:
        """Return the rarity of each trigram of a text, from 0 to 1, to a question that has some."""
        text, first = self.index.texts[number], self.index.firsts[number]
        size = self.index.sizes[self.index.entries[text.entries[0]].source]
        total = size + self._questions - 1
        if total < 2:
            return [1.0] * len(text.df)
        own = 1 - _fraction(text, shared)
        rarities = []
        for place, count in enumerate(text.df):
            if count == 1:
                others = self._df[first + place] + self._partly.get(first + place, 0)
                df = count + others - own * (shared >> place & 1)
            else:  # assumed to be as frequent in the training file as in the benchmark's
                df = count * total / size
            rarities.append(max(0.0, log(total / df)) / log(total) if df else 0.0)
        return rarities

    def _score(self, number: int, shared: int) -> float:
        """Return the fraction of a text's trigrams that a question has, weighted by rarity."""
        if shared == _WHOLE:
            return 1.0
        rarities = self._rarities(number, shared)
        if not (total := sum(rarities)):
            return _fraction(self.index.texts[number], shared)
        return sum(one for place, one in enumerate(rarities) if shared >> place & 1) / total

    def _confidence(self, number: int, shared: int, score: float) -> int:
        """Return the index in `_LEVELS` of a match's confidence."""
        words, run = self.index.texts[number].words, self.index.n - _TRIGRAM + 1
        if shared == _WHOLE or (score >= HIGH and len(words) >= self.index.n):
            return _LEVELS.index("high")
        if score >= MEDIUM:
            return _LEVELS.index("medium")
        rarities = self._rarities(number, shared)
        window = (1 << run) - 1
        passage = any(
            shared >> start & window == window
            and sum(rarities[start : start + run]) >= run * _RARE_PASSAGE
            for start in range(len(rarities) - run + 1)
        )
        return int(passage)

    def by_benchmark(self) -> list[dict[str, Any]]:
        """Return `file`, `questions`, `found`, `share` and `hits` for each benchmark file.

        Each hit has the question's `line`, `id` and `question`, the `score` and `confidence` of its
        best match, the number of training questions that contain it (`records`) and the `lines` of
        the first `MOST_LINES` of those.
        """
        sizes = Counter(entry.source for entry in self.index.entries)
        hits: dict[str, list[dict[str, Any]]] = {source: [] for source in sizes}
        for number, hit in sorted(self.hits(), key=lambda pair: pair[0]):
            source, line, id, question = self.index.entries[number]
            hits[source].append({"line": line, "id": id, "question": question} | hit)
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


def _fraction(text: Text, shared: int) -> float:
    """Return the fraction of a text's trigrams in a set of them."""
    return 1.0 if shared == _WHOLE else shared.bit_count() / max(1, len(text.df))


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
