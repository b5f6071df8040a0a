"""Extract the answer of a completion, from its last box or other marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from rzero_cli.answers.boxes import boxes, ends_in_thought, last_box

# Repetitions before a part that may not match are bounded, so that time stays linear.
_PHRASE = re.compile(
    r"(?:\banswer\b(?:[ \t]{1,4}(?:to|for|of)[ \t][^.:\n]{0,80}?)?"
    r"|\b(?:correct|right|best)[ \t]{1,4}(?:option|choice)\b)"
    r"(?:[ \t*_]{0,6}[:：=]|[ \t]{1,4}(?:is|are)\b[ \t]{0,4}[:：]?)[*_]{0,3}"
    r"|答案(?:[ \t*_]{0,6}[:：=]|[ \t]{0,4}[是为為][ \t]{0,4}[:：]?)[*_]{0,3}"
    r"|【答案】[:：]?|故[应應]?[选選](?:[ \t]{0,4}[:：])?(?=[ \t(（]{0,4}[A-J](?![A-Za-z0-9]))"
    # A heading: the answer is below it.
    r"|^[ \t#*_]{0,12}(?:(?:the|final|correct)[ \t]{1,4}){0,3}answer[ \t*_]{0,6}\r?$",
    re.IGNORECASE | re.MULTILINE,
)
_HASHES = re.compile(r"(?<!#)####(?!#)([^\n]*)")
_MATHS = (("$$", "$$"), ("\\[", "\\]"))  # displayed; may span several lines
_SENTENCE_END = re.compile(
    r"(?<!\.[A-Za-z])\.(?=[*_$`]{0,3}(?:\s|$))|,? (?:because|since|which)\b|[。；]|[,，]?因为"
)
_DRESS = " \t*_`"

_LAYOUT = re.compile(
    r"\\(?:boxed|fbox|text(?:bf|it|rm)?|math(?:bf|rm))(?= ?\{)|[{}$*_`]|\\[()\[\]]"
)
# A letter followed by punctuation or words: `C) Paris` or `(C) Paris`. But `A man`,
# `(A) is wrong` and `(A) or (B)` are not choices.
_LETTER = re.compile(
    r"(?:(?:[Oo]ption|[Cc]hoice|(?:[Ff]inal )?[Aa]nswer) )?"
    r"(?:[(（]([A-J])[)）]|([A-J])(?=$|[.)。，）]|[:：](?!\w)|,? (?:because|since)\b))"
    r"(?![.):,]? ?(?:is|are|was|can|cannot|does|isn't|and|or)\b)(?!.*[(（][A-J][)）])"
)
# "\boxed", "\frac", "\text" and "\right" after a reader of JSON took \b, \f, \t and \r for
# control characters.
_LOST_BACKSLASH = re.compile(
    r"\x08(?=[a-z])|\x0c(?=(?:rac|box|orall|loor)(?![a-z]))"
    r"|\t(?=(?:ext(?:bf|it|rm)?|frac)\{|(?:imes|heta|riangle)(?![a-z]))|\r(?=(?:ight|ho)(?![a-z]))"
)


def extract_answer(text: str, how: Sequence[str] = ("boxed",)) -> str | None:
    r"""Return the answer of a completion, or None if it cannot be read.

    The names in `how` are tried in order. The first whose mark is in the text decides. If nothing
    follows its last mark (a box that is blank or truncated, "The answer is" at the end), or if the
    text ends inside `<think>`, the completion was truncated and there is no answer.

    - boxed: the last `\boxed{...}` or `\fbox{...}`
    - phrase: the rest of the sentence after the last "answer is", "Answer:", `答案：` or `故选`, or
      the line below a heading "Final Answer"
    - hashes: the rest of the line after the last `####`
    - choice: a letter A to J that starts the last line ("C) Paris"), that is chosen ("answer is
      (C)"), or that starts the last box (`\boxed{C. Paris}`); never a guess. If it is in `how`, an
      answer that another name finds is reduced to its letter as well, in whatever order.

    Args:
        text: the completion.
        how: names of EXTRACTIONS.

    Raises:
        ValueError: a name is not in EXTRACTIONS.
    """
    for name in how:
        if name not in _WAYS:
            raise ValueError(f"{name!r} is none of {', '.join(EXTRACTIONS)}")
    if (decided := _decided(text, how)) is None:
        return None
    letter = _letter(decided[1]) if "choice" in how else None
    return letter or decided[1] or None


def other_extraction(text: str, how: Sequence[str]) -> str | None:
    """Return the name that would read an answer if it were added to `how`; None if none would."""
    others = [name for name in EXTRACTIONS if name not in how]
    name, answer = _decided(text, [*how, *others]) or ("", "")
    return name if answer and name in others else None


def has_lost_backslashes(text: str) -> bool:
    r"""Return True if text has LaTeX whose backslashes were lost in JSON.

    Written with one backslash, `\boxed` is a backspace and "oxed" in JSON, and `\frac` a form feed
    and "rac".
    """
    return _LOST_BACKSLASH.search(text) is not None


def _decided(text: str, how: Sequence[str]) -> tuple[str, str] | None:
    """Return the name whose mark decides and what it finds, "" if nothing follows the mark."""
    if ends_in_thought(text):
        return None
    for name in how:
        if (found := _WAYS[name](text)) is not None:
            return name, found
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
    if letter := _letter(text.rstrip().rpartition("\n")[2]):
        return letter
    found = []
    if (end := _last_phrase(text)) is not None:
        found.append((end, text[end:].lstrip(_DRESS + "\n\r").partition("\n")[0]))
    found += islice(boxes(text), 1)
    return next(
        (letter for _, one in sorted(found, reverse=True) if (letter := _letter(one))), None
    )


def _letter(answer: str) -> str | None:
    """Return the letter that an answer starts with, if it is a choice."""
    match = _LETTER.match(_plain(answer))
    return match[1] or match[2] if match else None


def _plain(line: str) -> str:
    return " ".join(_LAYOUT.sub("", line).split())


_WAYS = {"boxed": last_box, "phrase": _phrase, "hashes": _hashes, "choice": _choice}
EXTRACTIONS = tuple(_WAYS)
