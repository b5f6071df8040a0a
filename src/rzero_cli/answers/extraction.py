"""Extract the answer of a completion, from its last box or other marks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rzero_cli.answers.boxes import ends_in_thought, last_box

# Repetitions before a part that may not match are bounded, so that time stays linear.
_PHRASE = re.compile(
    r"\banswer\b(?:[ \t]{1,4}(?:to|for|of)[ \t][^.:\n]{0,80}?)?"
    r"(?:[ \t*_]{0,6}[:=]|[ \t]{1,4}(?:is|are)\b[ \t]{0,4}:?)[*_]{0,3}",
    re.IGNORECASE,
)
_HASHES = re.compile(r"(?<!#)####(?!#)([^\n]*)")
_MATHS = (("$$", "$$"), ("\\[", "\\]"))  # displayed; may span several lines
_SENTENCE_END = re.compile(r"(?<!\.[A-Za-z])\.(?=[*_$`]{0,3}(?:\s|$))|,? (?:because|since|which)\b")
_DRESS = " \t*_`"

_LAYOUT = re.compile(
    r"\\(?:boxed|fbox|text(?:bf|it|rm)?|math(?:bf|rm))(?= ?\{)|[{}$*_`]|\\[()\[\]]"
)
# A letter followed by punctuation or words: `C) Paris` or `(C) Paris`. But `A man`,
# `(A) is wrong` and `(A) or (B)` are not choices.
_LETTER = re.compile(
    r"(?:(?:[Oo]ption|[Cc]hoice) )?"
    r"(?:\(([A-J])\)|([A-J])(?=$|[.):]|,? (?:because|since)\b))"
    r"(?![.):,]? ?(?:is|are|was|can|cannot|does|isn't|and|or)\b)(?!.*\([A-J]\))"
)


def extract_answer(text: str, how: Sequence[str] = ("boxed",)) -> str | None:
    r"""Return the answer of a completion, or None if it cannot be read.

    The names in `how` are tried in order. The first whose mark is in the text decides. If nothing
    follows its last mark (a box that is blank or truncated, "The answer is" at the end), or if the
    text ends inside `<think>`, the completion was truncated and there is no answer.

    - boxed: the last `\boxed{...}` or `\fbox{...}`
    - phrase: the rest of the sentence after the last "answer is" or "Answer:"
    - hashes: the rest of the line after the last `####`
    - choice: a letter A to J that is chosen ("answer is (C)") or starts the last line ("C) Paris");
      never a guess

    Args:
        text: the completion.
        how: names of EXTRACTIONS.

    Raises:
        ValueError: a name is not in EXTRACTIONS.
    """
    for name in how:
        if name not in _WAYS:
            raise ValueError(f"{name!r} is none of {', '.join(EXTRACTIONS)}")
    if ends_in_thought(text):
        return None
    for name in how:
        if (found := _WAYS[name](text)) is not None:
            return found or None
    return None


def _phrase(text: str) -> str | None:
    if (end := _last_phrase(text)) is None:
        return None
    rest = text[end:].lstrip(_DRESS + "\n\r")
    for opening, closing in _MATHS:
        if rest.startswith(opening):
            content, closed, _ = rest[len(opening) :].partition(closing)
            return _undressed(content) if closed else ""
    line = rest.partition("\n")[0]
    sentence_end = _SENTENCE_END.search(line)
    sentence = line[: sentence_end.start()] if sentence_end else line
    if last_box(sentence) is not None:  # a box may contain full stops and span several lines
        return last_box(sentence) or last_box(rest)
    return _undressed(sentence)


def _last_phrase(text: str) -> int | None:
    end = None
    for match in _PHRASE.finditer(text):
        end = match.end()
    return end


def _hashes(text: str) -> str | None:
    found = None
    for match in _HASHES.finditer(text):
        found = match
    return None if found is None else _undressed(found[1])


def _undressed(answer: str) -> str:
    """Strip bold, the end of a sentence, and enclosing math delimiters."""
    answer = answer.strip().strip(_DRESS).removesuffix(".").strip(_DRESS)
    if (boxed := last_box(answer)) is not None:
        return boxed
    if answer[:1] == "$" == answer[-1:] and answer.count("$") == 2:
        return answer[1:-1].strip()
    if answer.startswith("\\(") and answer.endswith("\\)") and answer.count("\\(") == 1:
        return answer[2:-2].strip()
    return answer


def _choice(text: str) -> str | None:
    match = _LETTER.match(_plain(text.rstrip().rpartition("\n")[2]))
    if match is None and (end := _last_phrase(text)) is not None:
        rest = text[end:].lstrip(_DRESS + "\n\r")
        match = _LETTER.match(_plain(rest.partition("\n")[0]))
    return match[1] or match[2] if match else None


def _plain(line: str) -> str:
    return " ".join(_LAYOUT.sub("", line).split())


_WAYS = {"boxed": last_box, "phrase": _phrase, "hashes": _hashes, "choice": _choice}
EXTRACTIONS = tuple(_WAYS)
