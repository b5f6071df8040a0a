"""The rules by which answers are extracted and compared, as one value that stages pass on."""

from __future__ import annotations

from dataclasses import dataclass

from rzero_cli.answers import DEFAULT, Conventions, extract_answer, is_blank_box


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by which answers are extracted and compared.

    Attributes:
        extract: where a completion's answer is searched for, see `answers.extract_answer`.
        conventions: the treatment of units and percent signs.
        rule: the rule of the vote: "paper", or "official", which distinguishes an empty box from a
            missing one.
    """

    extract: tuple[str, ...] = ("boxed",)
    conventions: Conventions = DEFAULT
    rule: str = "paper"

    def read(self, completion: str) -> str | None:
        """Return the answer of a completion, or None; for `official`, "" if its box is blank."""
        answer = extract_answer(completion, self.extract)
        if answer is None and self.rule == "official" and is_blank_box(completion):
            return ""
        return answer


PAPER = Rules()
