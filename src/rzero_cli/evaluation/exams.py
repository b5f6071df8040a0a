"""Exams: questions with known answers, put as the paper puts them and graded by one grader.

Each question is put into the Solver's own prompt. The answer is the last `\\boxed{}` of a
completion, or the option's letter in it, and is right if it is equivalent to the reference; an
unreadable one is wrong. Nothing a model wrote is ever evaluated as code. A question may be answered
greedily (pass@1), by k different draws (mean@k, maj@k), or both; the mean@32 of the authors' code
was 32 copies at temperature 0.

lm-eval drives it, a task of lm-eval's for each exam and pass.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, NamedTuple

import datasets
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import PAPER, Rules
from rzero_cli.data.jsonl import Line
from rzero_cli.data.records import group_of
from rzero_cli.engines import Completion, Engine
from rzero_cli.engines.ahead import Ahead
from rzero_cli.errors import DataError
from rzero_cli.evaluation.lm import EngineLM, Spent, quiet
from rzero_cli.evaluation.results import merged
from rzero_cli.evaluation.scores import Answered, summarize
from rzero_cli.evaluation.suite.docs import choice_letter
from rzero_cli.method.prompts import SOLVER, Messages, prompt_for
from rzero_cli.method.question import question_id
from rzero_cli.method.votes import vote

__all__ = ["GREEDY", "SAMPLED", "Exam", "Question", "evaluate_data", "evaluate_exams", "exam_of"]

GREEDY, SAMPLED = "greedy", "sampled"
_METRIC = {GREEDY: "greedy", SAMPLED: "mean_at_k"}


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its true answer."""

    id: Any
    text: str
    reference: str
    group: str | None


@dataclass(frozen=True, slots=True)
class Exam:
    """Questions, and how the answers to them become a score."""

    name: str
    questions: Sequence[Question]
    k: int
    """Sampled answers of a question; 0 is none."""
    greedy: bool = True
    """Answer greedily, too."""
    metric: str = GREEDY
    """What the score is: "greedy" or "mean_at_k"."""
    choices: bool = False
    """The answer is the letter of an option."""
    version: float | None = None
    config: Mapping[str, Any] | None = None
    """Of the task file that says all this, where one does."""
    original: int | None = None
    """How many questions there are, where these are only the first of them."""
    changed: bool = False
    """It is asked in another way than the task file says."""

    def drawn(self, k: int) -> Exam:
        """The same with another k; without draws its answers are greedy, and so is its score."""
        metric = self.metric if k else GREEDY
        other = metric != self.metric or (metric == "mean_at_k" and k != self.k)
        changed = self.changed or (self.config is not None and other)
        return replace(self, k=k, greedy=self.greedy or not k, metric=metric, changed=changed)

    def data_sha256(self) -> str:
        """Names the questions and references, wherever they were read."""
        pairs = [[question.text, question.reference] for question in self.questions]
        return sha256(json.dumps(pairs).encode()).hexdigest()


def exam_of(
    lines: Iterable[Line],
    name: str,
    k: int,
    *,
    question_key: str = "question",
    reference_key: str = "reference",
    group_key: str = "group",
) -> Exam:
    """The exam of a file's records; arguments as for `evaluate_data`.

    Raises:
        DataError: a record lacks a key or has one of the wrong type; or there are no records.
    """
    questions = [_question(line, question_key, reference_key, group_key) for line in lines]
    if not questions:
        raise DataError("no questions to evaluate")
    return Exam(name, questions, k=k, metric="mean_at_k" if k else GREEDY)


def evaluate_data(
    engine: Engine,
    lines: Iterable[Line],
    *,
    k: int,
    temperature: float,
    question_key: str = "question",
    reference_key: str = "reference",
    group_key: str = "group",
    **how: Any,
) -> dict[str, Any]:
    """Answer every question once greedily and k times by sampling, and compare with its reference.

    Args:
        engine: an open engine.
        lines: records with a question and its true answer, and perhaps `id` and a group.
        k: sampled answers per question. 0, or a temperature of 0, leaves greedy alone.
        temperature: of the sampled answers.
        question_key, reference_key, group_key: names of the records' keys.
        how: the other arguments of `evaluate_exams`.

    Returns:
        The result of the one exam, see `evaluate_exams`.

    Raises:
        DataError: a record lacks a key or has one of the wrong type; or there are no records.
    """
    keys = {"question_key": question_key, "reference_key": reference_key, "group_key": group_key}
    exam = exam_of(lines, "data", k if temperature > 0 else 0, **keys)
    return dict(evaluate_exams(engine, [exam], temperature=temperature, **how)["tasks"]["data"])


def evaluate_exams(
    engine: Engine,
    exams: Sequence[Exam],
    *,
    temperature: float,
    top_p: float,
    top_k: int,
    max_tokens: int,
    seed: int,
    equivalence: Equivalence,
    rules: Rules = PAPER,
    prompt: Messages = SOLVER,
    stop: Sequence[str] | None = None,
    on_progress: Callable[[Answered], None] | None = None,
    log: Callable[[dict[str, Any]], None] | None = None,
    done: Iterable[Mapping[str, Any]] = (),
    ahead: Ahead | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Answer the questions of all exams, and compare with the references.

    Args:
        engine: an open engine.
        exams: with names of their own.
        temperature, top_p, top_k: of the sampled answers; greedy ones do not depend on them.
        max_tokens: the longest completion.
        seed: the same one gives the same result.
        equivalence: an open one, with the conventions of `rules`.
        rules: take the answer out of a completion.
        prompt: what the question is put into.
        stop: texts that end a completion.
        on_progress: called for each question and pass.
        log, done, ahead: the journal, see `EngineLM`.
        report: called in the end for each question and pass: `{"task", "pass", "id", "prompt",
            "reference", "completions", "answers", "correct", "tokens", "truncated"}`, pass being
            "greedy" or "sampled" and the last five lists.

    Returns:
        lm-eval's results with `tasks`: for each exam `scores.summarize`'s scores and `metric`,
        `score`, `stderr`, `ci95`, `version`, `as_defined` (all questions, and the task file's k),
        `truncated` and `unreadable` (shares of all completions), `timeouts` (comparisons given up),
        `tokens` (generated), `seconds`, `data_sha256`, `protocol` (what the score depends on beside
        questions and model) and `samples`: per question, in order, `{"id", "question", "reference",
        "group", "answer", "greedy", "answers", "correct", "majority", "maj"}`: the greedy answer
        and whether it is right, the k answers and whether each is right, their majority and whether
        it is right.
        Unreadable answers are None; so is what was not asked for.
    """
    drawn = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    how = {GREEDY: {"do_sample": False, "temperature": 0.0}, SAMPLED: drawn}
    limits = {"max_gen_toks": max_tokens, "until": list(stop or ())}
    timeouts: dict[str, int] = {}
    verdicts_of: dict[tuple[str, str], bool] = {}

    def read(exam: Exam, text: str) -> str | None:
        return choice_letter(rules.read(text)) if exam.choices else rules.read(text)

    def equal(answer: str | None, reference: str) -> bool:
        """Asked while the answers come in, and again by lm-eval when all are there."""
        if answer is None:
            return False
        if (answer, reference) not in verdicts_of:
            verdicts_of[answer, reference] = equivalence.equal(answer, reference)
        return verdicts_of[answer, reference]

    def task(exam: Exam, name: str, which: str) -> ConfigurableTask:
        def ask(doc: dict[str, int]) -> str:
            return json.dumps(prompt_for(prompt, exam.questions[doc["number"]].text))

        def grade(doc: dict[str, int], completions: list[list[str]]) -> dict[str, Any]:
            before = equivalence.timeouts
            answers = [read(exam, text) for text in completions[0]]
            reference = exam.questions[doc["number"]].reference
            correct = [equal(a, reference) for a in answers]
            graded = {
                _metric(exam, which): sum(correct) / len(correct),
                "unreadable": answers.count(None) / len(answers),
                _VERDICT: _Verdict(answers, correct),
            }
            if which == SAMPLED:
                majority = vote(answers, equivalence).answer
                maj = equal(majority, reference)
                graded |= {
                    "maj_at_k": float(maj),
                    _VERDICT: _Verdict(answers, correct, majority, maj),
                }
            timeouts[exam.name] = timeouts.get(exam.name, 0) + equivalence.timeouts - before
            return graded

        n = exam.k if which == SAMPLED else 1
        metrics = [_metric(exam, which), *(["maj_at_k"] if which == SAMPLED else [])]
        return _task(name, exam, n, ask, grade, how[which] | limits, metrics)

    passes = [
        (exam, which, _pass_name(exam, which))
        for exam in exams
        for which, wanted in ((GREEDY, exam.greedy), (SAMPLED, exam.k > 0))
        if wanted
    ]
    asked = {name: exam for exam, _, name in passes}

    def right(request: Instance, completions: Sequence[Completion]) -> int:
        exam = asked[str(request.task_name)]
        before, reference = equivalence.timeouts, exam.questions[request.doc_id].reference
        count = sum(equal(read(exam, c.text), reference) for c in completions)
        timeouts[exam.name] = timeouts.get(exam.name, 0) + equivalence.timeouts - before
        return count

    lm = EngineLM(
        engine,
        seed=seed,
        log=log,
        done=done,
        ahead=ahead,
        on_progress=on_progress,
        right=right,
    )
    with quiet():
        tasks = {name: task(exam, name, which) for exam, which, name in passes}
        # Every pass has closed forms for its standard errors, so nothing is resampled.
        found = evaluate(lm, {"tasks": tasks}, bootstrap_iters=1)
    rows = found.pop("samples")
    for exam, _, name in passes:
        found["n-samples"][name]["original"] = exam.original or len(exam.questions)
    results = {}
    for exam in exams:
        names = {which: name for one, which, name in passes if one is exam}
        verdicts = {which: [row[_VERDICT] for row in rows[name]] for which, name in names.items()}
        spent = {which: lm.spent[name] for which, name in names.items()}
        protocol = {
            "prompt_sha256": sha256(json.dumps(prompt).encode()).hexdigest(),
            "chat": True,
            "num_fewshot": 0,
            "max_tokens": max_tokens,
            "stop": list(stop or ()),
            "extract": ["choice", *rules.extract] if exam.choices else list(rules.extract),
            "units": rules.conventions.units,
            "percent": rules.conventions.percent,
        }
        if exam.k:
            protocol |= {"temperature": temperature, "top_p": top_p, "top_k": top_k}
        results[exam.name] = _result(
            exam, verdicts, spent, timeouts=timeouts.get(exam.name, 0), protocol=protocol
        )
        if report is not None:
            for which, name in names.items():
                for record in _reports(exam, which, rows[name], spent[which]):
                    report(record)
    configs = {}
    for exam, which, name in passes:
        if _metric(exam, which) == "score":
            plain = {key: found["configs"][name][key] for key in _PLAIN}
            configs[exam.name] = {**(exam.config or {}), **plain, "task": exam.name}
    owners = {name: exam.name for exam, _, name in passes}
    return {**merged(found, owners, drop={_VERDICT}, configs=configs), "tasks": results}


def _metric(exam: Exam, which: str) -> str:
    """What lm-eval calls the share that is right: `score`, as in the task files, for the pass that
    the exam's score is of."""
    return "score" if _METRIC[which] == exam.metric else _METRIC[which]


def _pass_name(exam: Exam, which: str) -> str:
    """The exam's own name for its first pass."""
    return f"{exam.name}, {exam.k} draws" if which == SAMPLED and exam.greedy else exam.name


def _question(line: Line, question_key: str, reference_key: str, group_key: str) -> Question:
    text, group = line.text(question_key), group_of(line, group_key)
    return Question(line.record.get("id", question_id(text)), text, line.text(reference_key), group)


_VERDICT = "verdict"
_PLAIN = ("output_type", "num_fewshot", "generation_kwargs", "repeats", "filter_list")


class _Verdict(NamedTuple):
    """The answers read from the completions of one question, and whether each is right."""

    answers: list[str | None]
    correct: list[bool]
    majority: str | None = None
    maj: bool | None = None


def _task(
    name: str,
    exam: Exam,
    n: int,
    ask: Callable[[dict[str, int]], str],
    grade: Callable[[dict[str, int], list[list[str]]], dict[str, Any]],
    how: dict[str, Any],
    metrics: Sequence[str],
) -> ConfigurableTask:
    """An lm-eval task that answers each question n times.

    Its documents are only the questions' numbers: no text has to survive the way through Arrow.
    """
    questions = exam.questions
    documents = datasets.Dataset.from_dict({"number": list(range(len(questions)))})
    mean = {"aggregation": "mean", "higher_is_better": True}
    return ConfigurableTask(
        config={
            "task": name,
            "custom_dataset": lambda **_: {"test": documents},
            "test_split": "test",
            "doc_to_text": ask,
            "doc_to_target": lambda doc: json.dumps(questions[doc["number"]].reference),
            "process_results": grade,
            "output_type": "generate_until",
            "num_fewshot": 0,
            "generation_kwargs": copy.copy(how),
            "repeats": n,
            # Without this filter lm-eval shows `process_results` the first draw alone.
            "filter_list": [{"name": "none", "filter": [{"function": "take_first_k", "k": n}]}],
            "metric_list": [
                *({"metric": metric, **mean} for metric in metrics),
                {"metric": "unreadable", "aggregation": "mean", "higher_is_better": False},
                {"metric": _VERDICT, "aggregation": _no_number, "higher_is_better": True},
            ],
            "metadata": {"version": exam.version},
        }
    )


def _no_number(verdicts: Sequence[_Verdict]) -> str:
    return "N/A"


def _result(
    exam: Exam,
    verdicts: Mapping[str, list[_Verdict]],
    spent: Mapping[str, Spent],
    *,
    timeouts: int,
    protocol: Mapping[str, Any],
) -> dict[str, Any]:
    none = [_Verdict([], [])] * len(exam.questions)
    samples = [
        {
            "id": question.id,
            "question": question.text,
            "reference": question.reference,
            "group": question.group,
            "answer": greedy.answers[0] if greedy.answers else None,
            "greedy": greedy.correct[0] if greedy.correct else None,
            "answers": sampled.answers,
            "correct": sampled.correct,
            "majority": sampled.majority,
            "maj": sampled.maj,
        }
        for question, greedy, sampled in zip(
            exam.questions, verdicts.get(GREEDY, none), verdicts.get(SAMPLED, none), strict=True
        )
    ]
    answers = [a for verdict in verdicts.values() for one in verdict for a in one.answers]
    completions = [c for one in spent.values() for drawn in one.completions for c in drawn]
    scores = summarize(samples, exam.k)
    return {
        "metric": exam.metric,
        **scores[exam.metric],
        "version": exam.version,
        "as_defined": not exam.changed and exam.original in (None, len(exam.questions)),
        **scores,
        "truncated": sum(c.truncated for c in completions) / len(completions),
        "unreadable": answers.count(None) / len(answers),
        "timeouts": timeouts,
        "tokens": sum(c.tokens for c in completions),
        "seconds": round(sum(one.seconds for one in spent.values()), 3),
        "data_sha256": exam.data_sha256(),
        "protocol": protocol,
        "samples": samples,
    }


def _reports(
    exam: Exam, which: str, rows: Sequence[Mapping[str, Any]], spent: Spent
) -> Iterable[dict[str, Any]]:
    for row, completions in zip(rows, spent.completions, strict=True):
        question, verdict = exam.questions[row["doc"]["number"]], row[_VERDICT]
        yield {
            "task": exam.name,
            "pass": which,
            "id": question.id,
            "prompt": json.loads(row["arguments"][0][0]),
            "reference": question.reference,
            "completions": [c.text for c in completions],
            "answers": verdict.answers,
            "correct": verdict.correct,
            "tokens": [c.tokens for c in completions],
            "truncated": [c.truncated for c in completions],
        }
