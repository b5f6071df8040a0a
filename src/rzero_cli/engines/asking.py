"""A Challenger asked for questions: completions sampled, questions kept (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

from rzero_cli.engines import Completion, Engine, Sampling
from rzero_cli.engines.ahead import Ahead
from rzero_cli.method.prompts import CHALLENGER, Messages, prompt_for
from rzero_cli.method.question import parse_question, question_id

__all__ = ["Drawn", "sample_questions"]


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
    start: int = 0,
    ahead: Ahead | None = None,
) -> Iterator[Drawn]:
    """Draw `n` completions and read the question in each.

    Args:
        engine: the Challenger.
        n: completions to draw, malformed ones included.
        sampling: one completion each (`sampling.n` is 1).
        prompt: the Challenger's prompt.
        require_boxed: a question without a boxed answer is malformed.
        keep_malformed: yield a record with `question` null and the raw `completion` for those.
        start: draws to leave out because an earlier run has them.
        ahead: as for the engine.

    Yields:
        The draws, in order.
    """
    prompts = repeat(prompt_for(prompt), n)
    for (completion,) in engine.generate(prompts, sampling, start=start, ahead=ahead):
        question, proposed = parse_question(completion.text, require_boxed=require_boxed)
        record: dict[str, Any] = {
            "id": None if question is None else question_id(question),
            "question": question,
            "proposed_answer": None if question is None else proposed,
        }
        if question is not None:
            yield Drawn(record, completion)
        elif keep_malformed:
            yield Drawn(record | {"completion": completion.text}, completion)
        else:
            yield Drawn(None, completion)
