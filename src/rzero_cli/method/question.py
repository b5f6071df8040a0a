"""What the Challenger writes: `<question>...</question>` and a box (paper, section 3.2)."""

from __future__ import annotations

from rzero_cli.answers import extract_boxed

_OPEN, _CLOSE = "<question>", "</question>"


def parse_question(
    completion: str, *, require_boxed: bool = False
) -> tuple[str | None, str | None]:
    """The question of a completion and the Challenger's own answer to it.

    Of several blocks the last counts; a blank one is no question. The answer is the last box
    after the block, or None.

    Args:
        completion: what the Challenger wrote.
        require_boxed: a question without an answer is malformed too (`official`).

    Returns:
        (question, proposed answer); the question is None where the completion is malformed.
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
    """A stable name for a question: 16 hexadecimal digits of its SHA-256."""
    from hashlib import sha256  # OpenSSL behind it takes longer to load than `filter` to start

    return sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16]
