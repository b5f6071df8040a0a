"""A Challenger asked for questions: completions sampled, questions kept (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

from rzero_cli.engines import Completion, Engine, Sampling
from rzero_cli.method.prompts import CHALLENGER, Messages, prompt_for
from rzero_cli.method.question import parse_question, question_id


class Drawn(NamedTuple):
    """One draw: {id, question, proposed_answer}, or None where it is malformed, and its text."""

    record: dict[str, Any] | None
    completion: Completion


def sample_questions(
    engine: Engine,
    n: int,
    sampling: Sampling,
    *,
    prompt: Messages = CHALLENGER,
    require_boxed: bool = False,
    keep_malformed: bool = False,
) -> Iterator[Drawn]:
    """Draw `n` completions and read the question in each.

    Args:
        engine: the Challenger.
        n: completions to draw, malformed ones included.
        sampling: one completion each (`sampling.n` is 1).
        prompt: the Challenger's prompt.
        require_boxed, keep_malformed: as for `question_record`.

    Yields:
        The draws, in order.
    """
    for (completion,) in engine.generate(repeat(prompt_for(prompt), n), sampling):
        record = question_record(
            completion.text, require_boxed=require_boxed, keep_malformed=keep_malformed
        )
        yield Drawn(record, completion)


def question_record(
    completion: str, *, require_boxed: bool, keep_malformed: bool
) -> dict[str, Any] | None:
    """The record of the question in a completion; None where there is none.

    Args:
        require_boxed: a question without a boxed answer is malformed.
        keep_malformed: give a record with `question` null and the raw `completion` for those.
    """
    question, proposed = parse_question(completion, require_boxed=require_boxed)
    if question is not None:
        return {"id": question_id(question), "question": question, "proposed_answer": proposed}
    if keep_malformed:
        nothing = dict.fromkeys(("id", "question", "proposed_answer"))
        return nothing | {"completion": completion}
    return None
