"""Pass@1, mean@k and maj@k of a model on questions with known answers.

lm-eval drives it, as one task answered greedily and one sampled k times. An answer is the last
`\\boxed{}` of a completion and is right if it is equivalent to the reference; an unreadable one is
wrong. Nothing a model wrote is ever evaluated as code. All k samples are different draws, which
the mean@32 of the authors' code was not (32 copies at temperature 0).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import datasets
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate

from rzero_cli.core.equivalence import Equivalence
from rzero_cli.core.prompts import SOLVER, Messages, prompt_for
from rzero_cli.core.reading import PAPER
from rzero_cli.core.records import question_id
from rzero_cli.core.streams import Line
from rzero_cli.core.votes import vote
from rzero_cli.engines import Completion, Engine
from rzero_cli.errors import DataError
from rzero_cli.evaluation.lm import EngineLM, quiet
from rzero_cli.evaluation.scores import summarize

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

__all__ = ["evaluate_data"]

GREEDY, SAMPLED = "greedy", "sampled"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its true answer."""

    id: Any
    text: str
    reference: str
    group: str | None


def evaluate_data(
    engine: Engine,
    lines: Iterable[Line],
    *,
    k: int,
    temperature: float,
    top_p: float,
    top_k: int,
    max_tokens: int,
    seed: int,
    equivalence: Equivalence,
    read: Callable[[str], str | None] = PAPER.read,
    prompt: Messages = SOLVER,
    stop: Sequence[str] | None = None,
    question_key: str = "question",
    reference_key: str = "reference",
    group_key: str = "group",
    on_progress: Callable[[int, int], None] | None = None,
    log: Callable[[dict[str, Any]], None] | None = None,
    done: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Answer every question once greedily and k times by sampling, and compare with its reference.

    Args:
        engine: an open engine.
        lines: records with a question and its true answer, and perhaps `id` and a group.
        k: sampled answers per question. 0, or a temperature of 0, leaves greedy alone.
        temperature, top_p, top_k: of the sampled answers; the greedy one does not depend on them.
        max_tokens: the longest completion.
        seed: the same one gives the same result.
        equivalence: an open one.
        read: takes the answer out of a completion.
        prompt: what the question is put into.
        stop: texts that end a completion.
        question_key, reference_key, group_key: names of the records' keys.
        on_progress: called with (completions so far, all completions).
        log: called with the raw completions of each question and pass, in the order they are
            made: `{"id", "question", "reference", "pass", "completions", "tokens", "truncated"}`,
            pass being "greedy" or "sampled" and the last three lists.
        done: records that `log` was given in an interrupted run of the same evaluation; they are
            not generated again, nor logged, and the result is the same.

    Returns:
        `scores.summarize`'s scores, and `truncated` and `unreadable` (shares of all completions),
        `timeouts` (comparisons given up), `tokens` (generated) and `samples`: per question, in
        order, `{"id", "question", "reference", "group", "answer", "greedy", "answers", "correct",
        "majority", "maj"}`: the greedy answer and whether it is right, the k answers and whether
        each is right, their majority and whether it is right. Unreadable answers are None.

    Raises:
        DataError: a record lacks a key or has one of the wrong type; or there are no records.
    """
    questions = [_question(line, question_key, reference_key, group_key) for line in lines]
    if not questions:
        raise DataError("no questions to evaluate")
    k = k if temperature > 0 else 0
    drawn = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    passes = {GREEDY: (1, {"temperature": 0.0}), SAMPLED: (k, drawn)}
    earlier = [_completions(record) for record in done]
    transcript = _Transcript(questions, len(questions) * (1 + k), len(earlier), on_progress, log)
    lm = EngineLM(engine, seed=seed, hear=transcript.hear, done=earlier)
    timeouts = equivalence.timeouts

    def ask(doc: dict[str, int]) -> str:
        return json.dumps(prompt_for(prompt, questions[doc["number"]].text))

    def grade(doc: dict[str, int], drawn: list[list[str]]) -> dict[str, _Verdict]:
        answers = [read(text) for text in drawn[0]]
        reference = questions[doc["number"]].reference
        right = {a: a is not None and equivalence.equal(a, reference) for a in answers}
        return {"accuracy": _Verdict(answers, [right[a] for a in answers])}

    limits = {"max_gen_toks": max_tokens, "until": list(stop or ())}
    with quiet():
        tasks = {
            name: _task(name, questions, ask, n, how | limits, grade)
            for name, (n, how) in passes.items()
            if n
        }
        graded = evaluate(lm, {"tasks": tasks}, bootstrap_iters=0)["samples"]
    verdicts = {name: [row["accuracy"] for row in rows] for name, rows in graded.items()}
    none = [_Verdict([], [])] * len(questions)
    samples = [
        _sample(question, greedy, sampled, equivalence)
        for question, greedy, sampled in zip(
            questions, verdicts[GREEDY], verdicts.get(SAMPLED, none), strict=True
        )
    ]
    answers = [a for sample in samples for a in (sample["answer"], *sample["answers"])]
    return {
        **summarize(samples, k),
        "truncated": sum(c.truncated for c in transcript.completions) / len(answers),
        "unreadable": answers.count(None) / len(answers),
        "timeouts": equivalence.timeouts - timeouts,
        "tokens": sum(c.tokens for c in transcript.completions),
        "samples": samples,
    }


def _question(line: Line, question_key: str, reference_key: str, group_key: str) -> Question:
    text, group = line.text(question_key), line.record.get(group_key)
    if isinstance(group, (dict, list)):
        raise line.error(f'key "{group_key}" must be a name or a number')
    name = None if group is None else str(group)
    return Question(line.record.get("id", question_id(text)), text, line.text(reference_key), name)


class _Verdict(NamedTuple):
    """The answers read from the completions of one question, and whether each is right."""

    answers: list[str | None]
    correct: list[bool]


def _task(
    name: str,
    questions: Sequence[Question],
    ask: Callable[[dict[str, int]], str],
    n: int,
    how: dict[str, Any],
    grade: Callable[[dict[str, int], list[list[str]]], dict[str, _Verdict]],
) -> ConfigurableTask:
    """An lm-eval task that answers each question n times.

    Its documents are only the questions' numbers: no text has to survive the way through Arrow.
    """
    documents = datasets.Dataset.from_dict({"number": list(range(len(questions)))})
    return ConfigurableTask(
        config={
            "task": name,
            "custom_dataset": lambda: {"test": documents},
            "test_split": "test",
            "doc_to_text": ask,
            "doc_to_target": lambda doc: json.dumps(questions[doc["number"]].reference),
            "process_results": grade,
            "output_type": "generate_until",
            "generation_kwargs": how,
            "repeats": n,
            # Without this filter lm-eval shows `process_results` the first draw alone.
            "filter_list": [{"name": "all", "filter": [{"function": "take_first_k", "k": n}]}],
            "metric_list": [
                {"metric": "accuracy", "aggregation": _accuracy, "higher_is_better": True}
            ],
        }
    )


def _accuracy(verdicts: Sequence[_Verdict]) -> float:
    shares = [sum(v.correct) / len(v.correct) for v in verdicts]
    return sum(shares) / len(shares)


def _sample(
    question: Question, greedy: _Verdict, sampled: _Verdict, equivalence: Equivalence
) -> dict[str, Any]:
    majority = vote(sampled.answers, equivalence).answer
    return {
        "id": question.id,
        "question": question.text,
        "reference": question.reference,
        "group": question.group,
        "answer": greedy.answers[0],
        "greedy": greedy.correct[0],
        "answers": sampled.answers,
        "correct": sampled.correct,
        "majority": majority,
        "maj": majority is not None and equivalence.equal(majority, question.reference),
    }


class _Transcript:
    """What the model wrote, in the order it came, passed on to whoever wants to know."""

    def __init__(
        self,
        questions: Sequence[Question],
        total: int,
        known: int,
        on_progress: Callable[[int, int], None] | None,
        log: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.completions: list[Completion] = []
        self.questions, self.total, self.known = questions, total, known
        self.on_progress, self.log = on_progress, log

    def hear(self, request: Instance, completions: list[Completion]) -> None:
        """Take in one question's completions; the first `known` are in the log already."""
        self.completions += completions
        if self.on_progress is not None:
            self.on_progress(len(self.completions), self.total)
        if self.known:
            self.known -= 1
        elif self.log is not None:
            question = self.questions[int(request.doc_id)]
            self.log(_log_record(question, str(request.task_name), completions))


def _log_record(question: Question, name: str, completions: list[Completion]) -> dict[str, Any]:
    return {
        "id": question.id,
        "question": question.text,
        "reference": question.reference,
        "pass": name,
        "completions": [c.text for c in completions],
        "tokens": [c.tokens for c in completions],
        "truncated": [c.truncated for c in completions],
    }


def _completions(record: Mapping[str, Any]) -> list[Completion]:
    rows = zip(record["completions"], record["tokens"], record["truncated"], strict=True)
    return [Completion(*row) for row in rows]
