"""How answers are read from completions and compared: one value that every stage passes on."""

from __future__ import annotations

from dataclasses import dataclass

from rzero_cli.answers import DEFAULT, Conventions, extract_answer, is_blank_box


@dataclass(frozen=True, slots=True)
class Rules:
    """How answers are read and compared.

    Attributes:
        extract: where an answer is looked for in a completion, see `answers.extract_answer`.
        conventions: how units and percent signs are compared.
        rule: of the vote: "paper", or "official", which tells an empty box from a missing one.
    """

    extract: tuple[str, ...] = ("boxed",)
    conventions: Conventions = DEFAULT
    rule: str = "paper"

    def read(self, completion: str) -> str | None:
        """The answer of a completion; None if there is none, for `official` "" if it is blank."""
        answer = extract_answer(completion, self.extract)
        if answer is None and self.rule == "official" and is_blank_box(completion):
            return ""
        return answer


PAPER = Rules()
