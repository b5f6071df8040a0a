"""Functions of the task files: questions and references from hub columns, and grading of answers.

`rzero eval` runs the tasks with its own prompt, sampling and grader; `lm-eval --include_path` runs
them with these functions.

A benchmark is on the hub under several names with different column names. `QUESTION` and `ANSWER`
list the known ones; the first column that a row has is used. Without an answer it is the box of the
solution.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from rzero_cli.answers import extract_boxed
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.references import reference_reader
from rzero_cli.errors import DataError
from rzero_cli.method.question import question_id
from rzero_cli.method.votes import vote

if TYPE_CHECKING:
    import datasets

QUESTION = ("problem", "question", "Problem", "Question", "prompt", "input")
ANSWER = ("answer", "final_answer", "expected_answer", "Answer", "target", "reference")
SOLUTION = ("solution", "Solution")
IDENTITY = ("unique_id", "id", "uuid", "question_id", "ID")
LETTER = ("answer_letter", "answer")
OPTIONS = ("options", "choices")

Row = Mapping[str, Any]


def questions(data: datasets.Dataset) -> datasets.Dataset:
    """Read MATH-500, Minerva, AMC, AIME or BBEH: a question and an answer in plain columns.

    Returns:
        A dataset with the string columns `id`, `question`, `reference` and `group`, as do all
        functions for `process_docs`.

    Raises:
        DataError: a row lacks a question or an answer, or there are no rows; as for all of them.
    """
    return _read(
        data,
        lambda row: (_question(row), _answer(row)),
        group=lambda row: row.get("task") or row.get("subject"),
    )


def gsm8k(data: datasets.Dataset) -> datasets.Dataset:
    """Read GSM8K; the answer follows `####` at the end of a solution."""

    def read(row: Row) -> tuple[str, str]:
        return _question(row), _answer(row).rpartition("####")[2].strip()

    return _read(data, read)


def olympiad(data: datasets.Dataset) -> datasets.Dataset:
    """Read OlympiadBench: mathematics in English, without images, with a final answer.

    Rows are not filtered by columns that a version lacks: it has been filtered already.
    """

    def wanted(row: Row) -> bool:
        kind = {name: str(row[name]).lower() for name in ("subject", "language", "modality")
                if row.get(name)}  # fmt: skip
        images = [value for name, value in row.items() if name.startswith("image")]
        # A version without these columns has the answer in the box of the solution.
        is_unlabelled = "final_answer" not in row and "answer" not in row
        return (
            kind.get("subject", "math").startswith("math")
            and kind.get("language", "en").startswith("en")
            and kind.get("modality", "text-only").startswith("text")
            and not any(images)
            and bool(row.get("final_answer") or row.get("answer") or is_unlabelled)
        )

    def read(row: Row) -> tuple[str, str]:
        context = row.get("context")
        text = f"{context}\n\n{_question(row)}" if context else _question(row)
        return text, _answer(row)

    return _read(data.filter(wanted), read, group=lambda row: row.get("subfield"))


def choices(data: datasets.Dataset) -> datasets.Dataset:
    """Read MMLU-Pro or SuperGPQA; the options are listed below the question, with letters.

    Raises:
        DataError: as `questions`; or a row has no 2 to 26 options, or no right one.
    """

    def read(row: Row) -> tuple[str, str]:
        options = list(_first(row, OPTIONS, "the options"))
        while options and options[-1] is None:  # padding of a fixed-width table
            options.pop()
        if not 1 < len(options) <= len(ascii_uppercase) or None in options:
            raise DataError(f"the options are not a list of 2 to 26: {options}")
        letter = _letter(row, [str(option) for option in options])
        lines = (f"{name}. {o}" for name, o in zip(ascii_uppercase, options, strict=False))
        instruction = "Put only the letter of the one right option into the box."
        return "\n".join([_question(row), "", *lines, "", instruction]), letter

    return _read(data, read, group=lambda row: row.get("discipline") or row.get("category"))


def _letter(row: Row, options: list[str]) -> str:
    """Return the right option's letter, given as a letter, index from 0, or option text."""
    letters = ascii_uppercase[: len(options)]
    for name in LETTER:
        value = row.get(name)
        if isinstance(value, str) and value.strip() and value.strip() in letters:
            return value.strip()
    index = row.get("answer_index", row.get("answer"))
    if isinstance(index, int) and 0 <= index < len(options):
        return letters[index]
    if options.count(str(row.get("answer"))) == 1:
        return letters[options.index(str(row["answer"]))]
    raise DataError(
        f"no column of {', '.join(LETTER)} names one of the options {letters[0]} to "
        f"{letters[-1]}; columns: {', '.join(row)}"
    )


def _read(
    data: datasets.Dataset,
    read: Callable[[Row], tuple[str, str]],
    group: Callable[[Row], Any] = lambda row: None,
) -> datasets.Dataset:
    rows: dict[str, list[str]] = {"id": [], "question": [], "reference": [], "group": []}
    for number, row in enumerate(data):
        try:
            question, reference = read(row)
            if not (question and reference):
                raise DataError(f"an empty {'answer' if question else 'question'}")
        except DataError as error:
            raise DataError(f"row {number + 1}: {error}") from error
        name = next((row[key] for key in IDENTITY if row.get(key) is not None), None)
        rows["id"].append(str(question_id(question) if name is None else name))
        rows["question"].append(question)
        rows["reference"].append(reference)
        rows["group"].append(str(group(row) or ""))
    if not rows["id"]:
        raise DataError("no questions")
    return type(data).from_dict(rows)


def _question(row: Row) -> str:
    return str(_first(row, QUESTION, "the question")).strip()


def _answer(row: Row) -> str:
    """Return the reference as text; several answers are joined by commas and compare as a set."""
    value = next((row[name] for name in ANSWER if row.get(name) is not None), None)
    if value is None:
        solution = next((row[name] for name in SOLUTION if row.get(name) is not None), "")
        if isinstance(solution, (list, tuple)):
            solution = "\n".join(map(str, solution))
        if (boxed := extract_boxed(str(solution))) is None:
            raise DataError(
                f"no column for the answer ({', '.join(ANSWER)}) and no box in the solution; "
                f"columns: {', '.join(row)}"
            )
        return boxed
    if isinstance(value, str) and value.strip().startswith("["):
        value = _listed(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(str(one).strip().strip("$") for one in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _read_reference(str(value).strip()) or ""


_read_reference = reference_reader()


def _listed(text: str) -> list[str] | str:
    """Return the list of texts that a CSV file has as Python's text; any other text unchanged."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return value if is_list and value else text


def _first(row: Row, names: tuple[str, ...], what: str) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise DataError(f"no column for {what} ({', '.join(names)}); columns: {', '.join(row)}")


# --- grading -------------------------------------------------------------------------------------

_DRESS = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|boldsymbol)(?![a-zA-Z])|[{}$*]+")
# A letter, in brackets or not. The option's text may follow only after a mark: the "A" of "A train"
# is an article.
_CHOICE = re.compile(
    r"(?:(?:option|answer|choice)\b:?\s*)?"
    r"(?:([A-Z])[.:)]?|\(([A-Z])\)[.:]?|([A-Z])[.:)]\s.*|\(([A-Z])\)[.:]?\s.*)",
    re.IGNORECASE | re.DOTALL,
)


# Text after a letter that may name a second one: "(A) or (B)", "A. and C".
_ANOTHER = re.compile(r"[.:)\s]*(?:and\b|or\b|[,&/;+]|.*\([A-Z]\))", re.IGNORECASE | re.DOTALL)


def choice_letter(boxed: str | None) -> str | None:
    """Return the option's letter in a box: `C`, `(C)`, `\\text{C}`, `C. 12 m`; None if none.

    It never guesses: an answer that names no letter is unreadable, and therefore wrong.
    """
    if boxed is None:
        return None
    text = _DRESS.sub("", boxed).strip()
    found = _CHOICE.fullmatch(text)
    if found is None:
        return None
    letter = next(number for number in range(1, 5) if found[number])
    if _ANOTHER.match(text, found.end(letter)):
        return None
    return found[letter].upper()


def grade(doc: Row, results: list[Any]) -> dict[str, float]:
    """Grade boxed answers; lm-eval's `process_results`.

    Args:
        doc: a row of `questions` or of another reader.
        results: one completion, or the list of k from the filter `take_first_k`.

    Returns:
        `score` (fraction of right answers), `maj_at_k` and `unreadable`, all in [0, 1].
    """
    return _grade(doc, results, extract_boxed)


def grade_choice(doc: Row, results: list[Any]) -> dict[str, float]:
    """Grade boxed letters of questions with options; otherwise as `grade`."""
    return _grade(doc, results, lambda text: choice_letter(extract_boxed(text)))


def _grade(doc: Row, results: list[Any], read: Callable[[str], str | None]) -> dict[str, float]:
    (given,) = results
    texts = [given] if isinstance(given, str) else list(given)
    answers, reference = [read(text) for text in texts], str(doc["reference"])
    equivalence = _equivalence()
    right = [a is not None and equivalence.equal(a, reference) for a in answers]
    majority = vote(answers, equivalence).answer
    return {
        "score": sum(right) / len(right),
        "maj_at_k": float(majority is not None and equivalence.equal(majority, reference)),
        "unreadable": answers.count(None) / len(answers),
    }


@lru_cache(maxsize=1)
def _equivalence() -> Equivalence:
    """Return a grader that stays open until the process exits: lm-eval does not signal its end."""
    import atexit

    opened = Equivalence()
    atexit.register(opened.__exit__, None, None, None)
    return opened.__enter__()
