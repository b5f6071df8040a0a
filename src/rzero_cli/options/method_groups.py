"""The options of the method: sampling, reading answers, votes, rewards, the filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, get_args

from rzero_cli.answers import EXTRACTIONS, Conventions
from rzero_cli.answers.conventions import Percent, Units
from rzero_cli.answers.references import AUTO, REFERENCE_EXTRACTIONS, reference_reader
from rzero_cli.answers.rules import Rules
from rzero_cli.data.jsonl import Line
from rzero_cli.data.references import reference_of
from rzero_cli.engines import Sampling
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.method.filtering import Band, interval
from rzero_cli.method.prompts import Messages, load_prompt
from rzero_cli.method.rewards import BLEU_TOKENIZERS, RULES, check_tokenizer
from rzero_cli.options.file_groups import ReferenceKey
from rzero_cli.options.panels import ANSWERS, REWARD, SAMPLING


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PromptFile:
    """The prompt of completions."""

    PANEL: ClassVar = SAMPLING
    prompt_file: str | None = option(
        "Prompt to use instead of the built-in one: text, or JSON chat messages.",
        default=None,
        metavar="FILE",
        is_file=True,
    )

    def prompt(self, built_in: Messages) -> Messages:
        """Return the prompt. Raises UsageError if the file is unusable."""
        return load_prompt(self.prompt_file, built_in)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Completions(PromptFile, SamplingOptions):
    """The prompt, sampling settings and stop sequences of completions."""

    stop: list[str] | None = option(
        "Stop sequence of completions. May be repeated.", default=None, metavar="TEXT"
    )

    def sampling(self, n: int, seed: int, *, temperature: float | None = None) -> Sampling:
        """Return an engine's settings for `n` completions per prompt. Raises as `checked_stops`."""
        return Sampling(
            n,
            self.temperature if temperature is None else temperature,
            self.top_p,
            self.top_k,
            self.max_tokens,
            seed,
            checked_stops(self.stop),
        )


def checked_stops(texts: list[str] | None) -> tuple[str, ...]:
    """Return the stop sequences. Raises UsageError for an empty one, which would match at once."""
    if "" in (texts or ()):
        raise UsageError("--stop: must not be empty")
    return tuple(texts or ())


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Reading:
    """The extraction and comparison of answers."""

    PANEL: ClassVar = ANSWERS
    extract: str = option(
        f"Answer formats, tried in order, separated by commas: {', '.join(EXTRACTIONS)}."
    )
    units: str = option("Units: drop (`60 mph` is 60) or keep (as part of the answer).")
    percent: str = option("Percentages: drop (`50%` is 50) or fraction (`50%` is 1/2).")

    def rules(self, rule: str = "paper") -> Rules:
        """Return the rules for extracting and comparing answers; `rule` is that of the vote.

        Raises:
            UsageError: a value is unknown.
        """
        extract = tuple(name.strip() for name in self.extract.split(","))
        for name in extract:
            if name not in EXTRACTIONS:
                raise UsageError(f"--extract {name}: unknown; known: {', '.join(EXTRACTIONS)}")
        for name, value, known in (
            ("units", self.units, get_args(Units)),
            ("percent", self.percent, get_args(Percent)),
        ):
            if value not in known:
                raise UsageError(f"--{name} {value}: must be {' or '.join(known)}")
        check_rule(rule)
        return Rules(extract, Conventions(self.units, self.percent), rule)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class References(ReferenceKey):
    """The key and the reading of the true answers."""

    reference_extract: str = option(
        "Where true answers are: auto (after ####, in the box of a solution, else the whole text), "
        "whole, or formats as for --extract.",
        default=AUTO,
        unset=True,
        panel=ANSWERS,
    )

    def ways(self) -> tuple[str, ...]:
        """Return the names of `reference_extract`. Raises UsageError if one is unknown."""
        names = tuple(name.strip() for name in self.reference_extract.split(","))
        for name in names:
            if name not in REFERENCE_EXTRACTIONS:
                known = ", ".join(REFERENCE_EXTRACTIONS)
                raise UsageError(f"--reference-extract {name}: unknown; known: {known}")
        if AUTO in names and len(names) > 1:
            raise UsageError("--reference-extract auto: cannot be combined with other names")
        return names

    def reader(self, counts: Counter[str] | None = None) -> Callable[[Line], str]:
        """Return a function that reads a record's true answer, and raises as `reference_of`.

        Args:
            counts: as for `reference_reader`.

        Raises:
            UsageError: a name of `reference_extract` is unknown.
        """
        read = reference_reader(self.ways(), counts)
        return lambda line: reference_of(line, self.reference_key, read)


def check_rule(rule: str) -> None:
    """Raise UsageError unless `rule` is a known formula."""
    if rule not in RULES:
        raise UsageError(f"--rule {rule}: unknown; known: {', '.join(RULES)}")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class VoteRule:
    """The rule of the vote."""

    PANEL: ClassVar = ANSWERS
    rule: str = option("Divisor of p_hat: m (paper), or m minus the empty boxes (official).")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Distance:
    """The distance between questions."""

    PANEL: ClassVar = REWARD
    bleu: str = option(f"BLEU tokenizer of the distance: {', '.join(BLEU_TOKENIZERS)} or nltk.")
    tau_bleu: float = option(
        "BLEU distance threshold for clustering questions, from 0 to 1.", min=0.0, max=1.0
    )

    def check(self) -> None:
        """Raise UsageError unless the tokenizer is known."""
        check_tokenizer("--bleu", self.bleu)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChallengerRule(Distance):
    """The Challenger's reward (`method/rewards.py`)."""

    rule: str = option(f"Formula of the reward: {' or '.join(RULES)}.")
    lambda_rep: float = option("Weight of the repetition penalty; 0 disables it.", min=0.0)

    def check(self) -> None:
        """Raise UsageError if a name is unknown."""
        super().check()
        check_rule(self.rule)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RequireBoxed:
    """The form of a question."""

    PANEL: ClassVar = REWARD
    require_boxed: bool = option(
        "Treat questions without the Challenger's own boxed answer as malformed.", default=False
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Keep:
    """The interval of p_hat that `filter` keeps."""

    PANEL: ClassVar = "Questions to keep"
    delta: str = option("Keep questions with |p_hat - 1/2| <= delta.")
    low: str | None = option("Smallest p_hat to keep, instead of --delta.")
    high: str | None = option("Largest p_hat to keep, instead of --delta.")

    def interval(self) -> Band:
        """Return the exact interval. Raises UsageError."""
        return interval(self.delta, self.low, self.high)
