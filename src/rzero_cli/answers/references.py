r"""Read the true answer from a reference, which may be a whole solution.

`auto` decides each reference by its own text, so that a file, a pipe and one part of a file give
the same verdicts, and only where nothing else can be meant:

- Its last line is `#### 18`: the answer follows the mark, as in GSM8K.
- It is prose, of three words or more, with a `\boxed{...}`: the box, as in MATH. With several
  boxes that differ it stays whole, since "\boxed{3} and \boxed{4}" is one answer.
- Otherwise the whole text is the answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rzero_cli.answers.boxes import boxes
from rzero_cli.answers.extraction import EXTRACTIONS, extract_answer, has_lost_backslashes
from rzero_cli.answers.unread import LOST, lost_in_words

AUTO, WHOLE = "auto", "whole"
REFERENCE_EXTRACTIONS = (AUTO, *EXTRACTIONS, WHOLE)
_HASHES_AT_END = re.compile(r"[ \t]*####(?!#)[ \t]*\S")
_NOT_PROSE = re.compile(r"\$[^$]*\$|\\(?:text|mbox)[a-z]*\{[^{}]*\}|\\[A-Za-z]+")
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\d_]{2,}")
_PROSE = 3  # words
_IN_WORDS = {"hashes": "after ####", "boxed": "from the box", WHOLE: "whole"}


def reference_reader(
    how: Sequence[str] = (AUTO,), counts: Counter[str] | None = None
) -> Callable[[str], str | None]:
    """Return a function that reads the answer of a reference; it finds None if no name does.

    Args:
        how: "auto" alone, or names of EXTRACTIONS as for `extract_answer`, where "whole" takes the
            text as it is.
        counts: receives the names that read references, for `reading_in_words`.
    """
    counts = Counter() if counts is None else counts

    def read(text: str) -> str | None:
        for name in (_mark(text), WHOLE) if AUTO in how else how:
            answer = text if name == WHOLE else extract_answer(text, (name,))
            if answer is not None:
                counts[name] += 1
                counts[LOST] += has_lost_backslashes(text)
                return answer
        return None

    return read


def reading_in_words(counts: Counter[str]) -> Iterator[str]:
    """Yield how references were read, unless all were taken whole, and what is wrong with them."""
    names = {name: count for name, count in sorted(counts.items()) if name != LOST}
    if names.keys() - {WHOLE}:
        only = "all " if len(names) == 1 else ""
        parts = [f"{only}{n:,} {_IN_WORDS.get(name, f'by {name}')}" for name, n in names.items()]
        yield f"references read: {', '.join(parts)}"
    if lost := counts[LOST]:
        yield lost_in_words(lost, "references")


def _mark(text: str) -> str:
    """Return the name that reads a reference whose text leaves no doubt, else "whole"."""
    if _HASHES_AT_END.match(text.rstrip().rpartition("\n")[2]):
        return "hashes"
    found = boxes(text)
    _, box = next(found, (0, ""))
    # The first that differs ends it, so that time stays linear.
    if box and all(content == box for _, content in found):
        prose = _NOT_PROSE.sub(" ", text.replace(box, " "))
        if len(_WORD.findall(prose)) >= _PROSE:
            return "boxed"
    return WHOLE
