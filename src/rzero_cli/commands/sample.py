"""`rzero sample`: sample questions from a Challenger (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import ClassVar

from rzero_cli.data.jsonl import Line
from rzero_cli.data.shards import parse_shard
from rzero_cli.engines import derived_seed
from rzero_cli.engines.asking import question_record
from rzero_cli.fields import option
from rzero_cli.method.prompts import CHALLENGER, prompt_for
from rzero_cli.options.command import Call, command
from rzero_cli.options.engine import choose_engine
from rzero_cli.options.file_groups import ResumableTarget, Seed, Shard
from rzero_cli.options.general import Logged
from rzero_cli.options.method_groups import Completions, RequireBoxed
from rzero_cli.options.model_groups import ChallengerModel, EngineOptions
from rzero_cli.options.panels import OUTPUT, SAMPLING
from rzero_cli.options.source import part_seed
from rzero_cli.options.stage_progress import progress
from rzero_cli.options.target import open_records
from rzero_cli.system.progress import means
from rzero_cli.system.stopwatch import GENERATING


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Draws:
    """The number of completions, and which are written."""

    PANEL: ClassVar = SAMPLING
    n: int = option("Completions to sample.", "-n", "--n", min=1)
    keep_malformed: bool = option(
        "Also write malformed completions, with `question` null and the raw completion.",
        default=False,
        panel=OUTPUT,
    )


@command("sample", Logged)
def sample(
    call: Call,
    challenger: ChallengerModel,
    draws: Draws,
    completions: Completions,
    shard: Shard,
    boxed: RequireBoxed,
    engine: EngineOptions,
    seeded: Seed,
    target: ResumableTarget,
) -> None:
    """Sample N completions from a Challenger and keep the questions.

    Writes one record per question: `id`, `question` and `proposed_answer` (the Challenger's own
    answer, or null). Completions without a non-blank <question>...</question> are malformed; their
    number is reported on stderr.

    [bold]Examples[/]

      rzero sample --challenger runs/demo/iter-1/challenger -n 600 > questions.jsonl

      rzero sample --challenger Qwen/Qwen3-4B-Base -n 8000 -o questions.jsonl --resume
    """
    choice = choose_engine(call, engine)
    part = parse_shard(shard.shard)
    model = choice.check("--challenger", challenger.challenger)
    prompt = prompt_for(completions.prompt(CHALLENGER))
    n, seed = part.size(draws.n), part_seed(seeded.seed, part)
    sampling = completions.sampling(1, seed)
    sampled = malformed = truncated = tokens = 0

    def look() -> dict[str, float]:
        figures = means(sampled, valid=sampled - malformed, truncated=truncated)
        return {"done": out.earlier + sampled, "tokens": tokens, **figures}

    with (
        open_records(
            call, target, *choice.parents(model), metrics=lambda lines: _metrics(n, lines)
        ) as out,
        choice.open(model, seed=derived_seed(seed, out.earlier)) as loaded,
        progress(call, n, look, unit="completions", out=out),
    ):
        prompts = enumerate(repeat(prompt, n))
        results = loaded.complete(prompts, sampling, done=out.done)
        for number, (completion,) in call.spent.each(GENERATING, results):
            record = question_record(
                completion.text,
                require_boxed=boxed.require_boxed,
                keep_malformed=draws.keep_malformed,
            )
            out.write(number, record)
            malformed += record is None or record["question"] is None
            truncated += completion.truncated
            tokens += completion.tokens
            sampled += 1
        out.tokens = tokens
    call.say(
        f"{sampled - malformed} questions from {sampled} completions, {malformed} malformed, "
        f"{truncated} truncated at {completions.max_tokens} tokens"
    )
    if sampled == malformed > 0:
        call.say("no completion has <question>...</question>: does the prompt ask for it?")


def _metrics(n: int, lines: Iterator[Line]) -> dict[str, int]:
    questions = sum(line.record["question"] is not None for line in lines)
    return {"drawn": n, "questions": questions, "malformed": n - questions}
