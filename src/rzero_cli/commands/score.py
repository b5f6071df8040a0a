"""`rzero score`: the Challenger's reward for any questions (`method/rewards.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, ClassVar

from rzero_cli.data.jsonl import Line
from rzero_cli.data.records import p_hat_of
from rzero_cli.data.shards import WHOLE, parse_shard
from rzero_cli.engines import derived_seed
from rzero_cli.engines.answering import Solver
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.method.prompts import SOLVER
from rzero_cli.method.rewards import ChallengerReward, challenger_rewards
from rzero_cli.method.votes import vote_keys
from rzero_cli.options.command import Call, command
from rzero_cli.options.engine import choose_engine
from rzero_cli.options.file_groups import QuestionKey, ResumableTarget, Seed, ShardedSource
from rzero_cli.options.general import Logged
from rzero_cli.options.method_groups import ChallengerRule, Completions, Reading
from rzero_cli.options.model_groups import EngineOptions, SolverModel
from rzero_cli.options.panels import REWARD, SAMPLING
from rzero_cli.options.source import Input, part_seed
from rzero_cli.options.stage_progress import progress
from rzero_cli.options.target import open_records
from rzero_cli.system.progress import means
from rzero_cli.system.stopwatch import VOTES


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Scoring:
    """The batch size, and the answers to questions without p_hat."""

    PANEL: ClassVar = REWARD
    batch: int | None = option(
        "Questions per batch (B) for the repetition penalty. Default: the whole input. "
        "Memory grows with its square: 0.9 GiB at 8,192.",
        default=None,
        min=1,
    )
    m: int = option("Answers per question.", panel=SAMPLING, min=1)


@command("score", Logged)
def score(
    call: Call,
    source: ShardedSource,
    key: QuestionKey,
    solver: SolverModel,
    scoring: Scoring,
    rule: ChallengerRule,
    completions: Completions,
    reading: Reading,
    engine: EngineOptions,
    seeded: Seed,
    target: ResumableTarget,
) -> None:
    """Compute the Challenger's reward for each question, with its components.

    Adds `r_unc` (the Solver's uncertainty), `r_rep` (the repetition penalty), `cluster` and
    `reward`. Questions with `p_hat` need no model; --solver first labels the others. A null
    question is malformed and counts in the batch.

    [bold]Examples[/]

      rzero score labeled.jsonl > scored.jsonl

      rzero score questions.jsonl --solver Qwen/Qwen3-4B-Base --batch 2048 > scored.jsonl
    """
    choice = choose_engine(call, engine)
    part, batch = parse_shard(source.shard), scoring.batch
    if part != WHOLE and batch is None:
        raise UsageError("--shard requires --batch: the repetition penalty needs whole batches")
    names = call.stdin_or_help(source.files)
    rule.check()
    rules = reading.rules()
    has_solver = bool(solver.solver or choice.is_server)
    model = choice.check("--solver", solver.solver) if has_solver else None
    solver_parents = choice.parents(model) if has_solver else []
    sampling = completions.sampling(scoring.m, seeded.seed)
    prompt = completions.prompt(SOLVER)
    question_key = key.question_key
    given = Input(
        call,
        names,
        source,
        lambda line: _needs_answers(line, question_key, has_solver),
        target=target,
    )
    lines_in = given.lines()
    done = ready = answered = truncated = tokens = 0
    p_hat_sum = 0.0
    given_rewards = _Sums()

    def look() -> dict[str, float]:
        # In the current batch, questions with a p_hat count as done.
        figures = given_rewards.means() | means(answered, p_hat=p_hat_sum)
        return {"done": max(out.earlier, done, ready), "tokens": tokens, **figures}

    with ExitStack() as stack:
        enter = stack.enter_context
        out = enter(
            open_records(call, target, *names, *solver_parents, metrics=_metrics, given=given)
        )

        @cache
        def opened() -> Solver:
            opening_seed = derived_seed(part_seed(seeded.seed, part), out.earlier)
            return enter(
                choice.open_solver(
                    model, sampling, prompt, rules, seed=opening_seed, spent=call.spent
                )
            )

        total = given.at_most if part == WHOLE else None
        enter(progress(call, total, look, unit="questions", out=out))
        batches = iter(lambda: list(islice(lines_in, batch)), [])
        for number, lines in part.of(enumerate(batches)):
            first = done
            earlier = [out.done.get(first + i) or out.kept(first + i) for i in range(len(lines))]
            if all(isinstance(value, dict) for value in earlier):  # already rewarded
                done += len(lines)
                continue
            records = [
                _as_it_was(value, line, question_key)
                for value, line in zip(earlier, lines, strict=True)
            ]
            missing = [
                i for i, line in enumerate(lines) if _needs_answers(line, question_key, has_solver)
            ]
            known = {place for place, i in enumerate(missing) if records[i] is not lines[i].record}
            ready = first + len(lines) - len(missing) + len(known)
            if len(known) < len(missing):
                pending = ((i, lines[i].text(question_key)) for i in missing)
                for i, label in opened().answer(
                    pending,
                    seed=seeded.seed + number,
                    done=known,
                    out=out,
                    numbers=[first + i for i in missing],
                ):
                    keys = vote_keys(label.vote, label.answers)
                    out.keep(first + i, [records[i][question_key], keys])
                    records[i] = records[i] | keys
                    truncated += sum(c.truncated for c in label.completions)
                    tokens += sum(c.tokens for c in label.completions)
                    ready, answered = ready + 1, answered + 1
                    p_hat_sum += label.vote.p_hat
            questions = [record[question_key] for record in records]
            p_hats = [record.get("p_hat") for record in records]
            with call.spent.during(VOTES):
                rewards = challenger_rewards(questions, p_hats, **vars(rule))
            for value, record, parts in zip(earlier, records, rewards, strict=True):
                if not isinstance(value, dict):
                    out.write(done, record | parts.as_keys())
                done += 1
            given_rewards.add(rewards)
        out.tokens = tokens
    cut = (
        f", {truncated} answers truncated at {completions.max_tokens} tokens" if has_solver else ""
    )
    call.say(f"{done} questions{cut}")


class _Sums:
    """Running sums of the rewards and of their components, which malformed questions lack."""

    def __init__(self) -> None:
        self.reward = self.r_unc = self.r_rep = 0.0
        self.count = self.valid = 0

    def add(self, rewards: Sequence[ChallengerReward]) -> None:
        valid = [one for one in rewards if one.cluster is not None]
        self.reward += sum(one.reward for one in rewards)
        self.r_unc += sum(one.r_unc or 0.0 for one in valid)
        self.r_rep += sum(one.r_rep or 0.0 for one in valid)
        self.count, self.valid = self.count + len(rewards), self.valid + len(valid)

    def means(self) -> dict[str, float]:
        parts = means(self.valid, r_unc=self.r_unc, r_rep=self.r_rep)
        return means(self.count, reward=self.reward) | parts


def _needs_answers(line: Line, question_key: str, has_solver: bool) -> bool:
    """Return True if the Solver must answer the question. Raises DataError without a Solver."""
    if line.text_or_none(question_key) is None:
        return False
    if line.record.get("p_hat") is not None:
        p_hat_of(line)
        return False
    if not has_solver:
        raise line.error('no "p_hat": give --solver MODEL to label the questions')
    return True


def _as_it_was(value: Any, line: Line, question_key: str) -> dict[str, Any]:
    """Return the record of a line, completed from the journal.

    `value` is a whole record, already written with its reward; or the question and its label,
    kept while the batch was being answered.
    """
    if isinstance(value, dict):
        return value
    question, added = value or (None, {})
    if isinstance(added, dict) and added and question == line.record[question_key]:
        return line.record | added
    return line.record  # answers without a vote: the Solver continues them


def _metrics(lines: Iterator[Line]) -> dict[str, float]:
    count = malformed = 0
    total = 0.0
    for count, line in enumerate(lines, 1):  # noqa: B007 - the count is reported
        malformed += line.record["cluster"] is None
        total += line.record["reward"]
    return {"questions": count, "malformed": malformed, "reward_mean": total / max(1, count)}
