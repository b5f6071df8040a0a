"""The Challenger's output format: `<question>...</question>` and a box (paper, section 3.2)."""

from __future__ import annotations

from rzero_cli.answers import extract_boxed

_OPEN, _CLOSE = "<question>", "</question>"


def parse_question(
    completion: str, *, require_boxed: bool = False
) -> tuple[str | None, str | None]:
    """Return the question in a completion and the Challenger's proposed answer.

    The last question block counts. The answer is the last box after it.

    Args:
        completion: the text that the Challenger generated.
        require_boxed: a question without an answer counts as malformed (`official`).

    Returns:
        (question, proposed answer). Both are None if the completion is malformed: no complete
        block, or a blank one. The answer alone is None if there is no box.
    """
    start = completion.rfind(_OPEN, 0, max(0, completion.rfind(_CLOSE)))
    if start < 0:
        return None, None
    end = completion.find(_CLOSE, start)
    question = completion[start + len(_OPEN) : end].strip()
    proposed = extract_boxed(completion[end:])
    if not question or (require_boxed and proposed is None):
        return None, None
    return question, proposed


def question_id(question: str) -> str:
    """Return a stable id for a question: 16 hexadecimal digits of its SHA-256."""
    from hashlib import sha256  # loading OpenSSL takes longer than starting `filter`

    return sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16]
