"""The Challenger generates questions: completions are sampled and parsed (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

from rzero_cli.engines import Completion, Engine, Sampling
from rzero_cli.method.prompts import CHALLENGER, Messages, prompt_for
from rzero_cli.method.question import parse_question, question_id


class Drawn(NamedTuple):
    """One sample: its completion, and {id, question, proposed_answer} or None if malformed."""

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
    """Sample `n` completions of the Challenger and parse the question in each.

    Args:
        engine: the Challenger.
        n: completions to sample, including malformed ones.
        sampling: sampling settings; `sampling.n` must be 1.
        prompt: the Challenger's prompt.
        require_boxed, keep_malformed: as for `question_record`.

    Yields:
        The samples, in order.
    """
    for (completion,) in engine.generate(repeat(prompt_for(prompt), n), sampling):
        record = question_record(
            completion.text, require_boxed=require_boxed, keep_malformed=keep_malformed
        )
        yield Drawn(record, completion)


def question_record(
    completion: str, *, require_boxed: bool, keep_malformed: bool
) -> dict[str, Any] | None:
    """Return the record of the question in a completion, or None if it is malformed.

    Args:
        completion: the Challenger's text.
        require_boxed: treat a question without a boxed answer as malformed.
        keep_malformed: for a malformed completion, return a record with `question` null and the
            raw `completion`.
    """
    question, proposed = parse_question(completion, require_boxed=require_boxed)
    if question is not None:
        return {"id": question_id(question), "question": question, "proposed_answer": proposed}
    if keep_malformed:
        nothing = dict.fromkeys(("id", "question", "proposed_answer"))
        return nothing | {"completion": completion}
    return None
