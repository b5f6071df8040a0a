"""The miniature world: questions about the digits of a number, as text, without a model.

A question is a phrasing and 3 to 5 digits (`reverse the digits of 4071`). The phrasing selects one
of a few procedures. Each phrasing is one token to the model, so its meaning is learned separately:
knowing `reverse the digits of` does not teach `write in mirror order`. That is why the questions
that a Challenger generates matter.

`truth` gives every string an answer, so a Challenger cannot win with unanswerable questions.
`draw_base` determines by seed what a base model knows, `training_row` generates its pre-training
text, and `heldout_rows` samples the held-out set and the probe. Nothing here imports torch.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Collection
from typing import NamedTuple

PROCEDURES: dict[str, Callable[[str], str]] = {
    "copy": lambda digits: digits,
    "up": lambda digits: "".join(str((int(d) + 1) % 10) for d in digits),
    "down": lambda digits: "".join(str((int(d) - 1) % 10) for d in digits),
    "nines": lambda digits: "".join(str(9 - int(d)) for d in digits),
    "reverse": lambda digits: digits[::-1],
    "rotate": lambda digits: digits[1:] + digits[:1],
}
"""The procedures; `up` and `down` wrap around (9 + 1 is 0)."""

# At least two words each and few in common: two questions then have 1 - BLEU < 0.5 iff they share a
# phrasing, so a cluster of the repetition penalty is a phrasing.
PHRASINGS: dict[str, str] = {
    "copy the number": "copy",
    "write out again": "copy",
    "say once more": "copy",
    "leave unchanged": "copy",
    "add one to each digit of": "up",
    "raise by one all digits in": "up",
    "increase every digit by one in": "up",
    "write the digit after each in": "up",
    "subtract one from each digit of": "down",
    "make one smaller every digit in": "down",
    "move each digit one down in": "down",
    "write the digit before each in": "down",
    "take from nine each digit of": "nines",
    "fill up to nines": "nines",
    "write the nines complement of": "nines",
    "how far from nine is each digit of": "nines",
    "reverse the digits of": "reverse",
    "write in mirror order": "reverse",
    "turn around": "reverse",
    "read from the right": "reverse",
    "move the first digit last in": "rotate",
    "rotate to the left": "rotate",
    "shift left in a circle": "rotate",
    "send the head to the tail of": "rotate",
}
"""Phrasing -> procedure. No phrasing starts with another."""

# A worked answer opens with one of the three wordings of its procedure.
WORDINGS: dict[str, tuple[str, ...]] = {
    "copy": ("The same: ", "As it was: ", "Unchanged: "),
    "up": ("One more each: ", "Raised by one: ", "Each plus one: "),
    "down": ("One less each: ", "Lowered by one: ", "Each minus one: "),
    "nines": ("Nine minus each: ", "What nine lacks: ", "Up to nine: "),
    "reverse": ("Reversed: ", "From right to left: ", "Backwards: "),
    "rotate": ("First goes last: ", "Turned left: ", "Moved round: "),
}

# Marks of a question and an answer. A question cannot contain its own tags; all else can stray in.
TAGS = ("<question>", "</question>", "\\boxed{", "}")
STRAYS = (*TAGS[2:], *(wording for pair in WORDINGS.values() for wording in pair))

LEVELS = (3, 4, 5)
"""Numbers of digits a question can have."""

DIGITS = frozenset("0123456789")


def parse(question: str) -> tuple[str | None, str]:
    """Return the first phrasing in a string, or None, and its first five digits, or "0"."""
    found = [(question.find(p), p) for p in PHRASINGS if p in question]
    digits = "".join(c for c in question if c in DIGITS)[:5]
    return (min(found)[1] if found else None), digits or "0"


def truth(question: str) -> str:
    """Return the true answer to any string: its first phrasing's procedure on its first 5 digits.

    Without a phrasing the procedure is copy; without a digit the number is 0.
    """
    phrasing, digits = parse(question)
    return PROCEDURES[PHRASINGS[phrasing] if phrasing else "copy"](digits)


def form(question: str) -> tuple[str, int] | None:
    """Return phrasing and level of a well-formed question: a phrasing, a space and 3 to 5 digits.

    None for any other string.
    """
    phrasing, _, digits = question.rpartition(" ")
    in_form = phrasing in PHRASINGS and len(digits) in LEVELS and DIGITS.issuperset(digits)
    return (phrasing, len(digits)) if in_form else None


def is_held_out(question: str) -> bool:
    """Return True if a question belongs to the tenth that pre-training never shows."""
    return zlib.crc32(question.encode()) % 10 == 0


def draw_question(rng: random.Random, phrasing: str, level: int, *, held_out: bool = False) -> str:
    """Sample a question of a phrasing and level, inside or outside the held-out tenth."""
    while True:
        question = f"{phrasing} {''.join(rng.choices('0123456789', k=level))}"
        if is_held_out(question) == held_out:
            return question


class Base(NamedTuple):
    """A base model's knowledge, as two distributions that pre-training teaches it."""

    asked: dict[str, float]
    """Phrasing -> probability that the Challenger uses it; sums to 1."""
    beliefs: dict[tuple[str, int], dict[str, float]]
    """(phrasing, level) -> wording -> probability that the Solver opens with it; sums to 1."""
    mastered: frozenset[str]
    kinds: dict[str, str]
    """Phrasing -> "mastered", "medium" or "hard"."""


N_MASTERED = 3
RIGHT = {"mastered": 0.97, "medium": 0.58, "hard": 0.50}
"""Probability that a 4-digit question is answered by the right procedure."""
RIVAL = {"mastered": 0.0, "medium": 0.0, "hard": 0.27}
"""Probability of one wording of a fixed wrong procedure. A hard phrasing's right procedure has
three wordings of .17 each, so the most likely opening is wrong although most answers are right. A
Solver that only gains confidence, as in any training, gets worse on phrasings it does not see."""
PER_DIGIT = 0.04
"""Subtracted from RIGHT for each further digit, except for mastered phrasings."""
ASKED_UNMASTERED = 0.025
"""Probability that the Challenger uses an unmastered phrasing."""
ASKED_DECAY = 0.75
"""Ratio of the probabilities of successive unmastered phrasings, in an order by seed."""
ASKED_FLOOR = 0.01
"""The smallest such probability relative to the first, so that every phrasing is reachable."""
MALFORMED = 0.025
"""Probability that the Challenger's text has no question block."""
CHALLENGER_ROWS = 0.15
"""Fraction of pre-training rows in the Challenger's role."""
LOOSE_ROWS = 0.2
"""Fraction of the Solver's rows with a malformed question. Without them the Solver is uncertain on
all unfamiliar strings, and a Challenger learns to generate nothing else."""


def draw_base(seed: int) -> Base:
    """Sample which phrasings are mastered, medium or hard, and how often each is generated."""
    rng = random.Random(f"base {seed}")
    order = rng.sample(sorted(PHRASINGS), len(PHRASINGS))
    mastered, others = order[:N_MASTERED], order[N_MASTERED:]
    decay = [max(ASKED_DECAY**i, ASKED_FLOOR) for i in range(len(others))]
    asked = dict.fromkeys(mastered, (1 - ASKED_UNMASTERED) / N_MASTERED)
    asked |= {p: ASKED_UNMASTERED * d / sum(decay) for p, d in zip(others, decay, strict=True)}
    kind = dict.fromkeys(mastered, "mastered")
    kind |= {p: ("hard", "medium", "hard")[i % 3] for i, p in enumerate(others)}
    beliefs = {}
    for phrasing in order:
        rival = rng.choice([p for p in PROCEDURES if p != PHRASINGS[phrasing]])
        for level in LEVELS:
            beliefs[phrasing, level] = _belief(phrasing, kind[phrasing], level, rival)
    return Base(asked, beliefs, frozenset(mastered), kind)


def _belief(phrasing: str, kind: str, level: int, rival: str) -> dict[str, float]:
    """Return the probability of each wording as the opening of an answer.

    Errors affect the whole answer, not single digits: care with digits would be one skill, learned
    from any question.
    """
    right = RIGHT[kind] - (PER_DIGIT * (level - 4) if kind != "mastered" else 0.0)
    rest = (1 - right - RIVAL[kind]) / (len(PROCEDURES) - 1)
    belief: dict[str, float] = {}
    for procedure, wordings in WORDINGS.items():
        if procedure == PHRASINGS[phrasing]:
            share = right
        elif procedure == rival and RIVAL[kind]:
            belief[wordings[0]] = RIVAL[kind]
            wordings, share = wordings[1:], rest
        else:
            share = rest
        belief |= dict.fromkeys(wordings, share / len(wordings))
    return belief


def training_row(rng: random.Random, base: Base) -> tuple[str | None, str]:
    """Sample a pre-training row: the Solver's question (None: the Challenger) and the reply."""
    if rng.random() < CHALLENGER_ROWS:
        return None, _challenge(rng, base)
    if rng.random() < LOOSE_ROWS:
        question = _draw_loose(rng)
    else:
        phrasing, level = rng.choice(list(base.beliefs))
        question = draw_question(rng, phrasing, level)
    wording, answer = _answer(rng, base, question)
    return question, f"{wording}\\boxed{{{answer}}}"


def _answer(rng: random.Random, base: Base, question: str) -> tuple[str, str]:
    """Sample a wording and an answer from the base model's beliefs."""
    phrasing, digits = parse(question)
    if phrasing is None:
        return WORDINGS["copy"][0], digits
    level = min(max(len(digits), LEVELS[0]), LEVELS[-1])
    belief = base.beliefs[phrasing, level]
    wording = rng.choices(list(belief), list(belief.values()))[0]
    procedure = next(p for p, wordings in WORDINGS.items() if wording in wordings)
    return wording, PROCEDURES[procedure](digits)


def _draw_loose(rng: random.Random) -> str:
    """Sample a malformed question, with wrong or misplaced digits, or no or several phrasings."""
    while True:
        pieces = rng.choices(list(PHRASINGS), k=rng.choice((0, 1, 1, 1, 1, 2)))
        digits = "".join(rng.choices("0123456789", k=rng.randint(0, 8)))
        cut = rng.choice((0, 0, 0, 0, 0, rng.randint(0, len(digits))))
        if rng.random() < 0.2:
            pieces.insert(rng.randint(0, len(pieces)), rng.choice(STRAYS))
        words = "".join(f"{p} " if p in PHRASINGS else p for p in pieces)
        loose = (digits[:cut] + words + digits[cut:]).strip()
        if loose and not is_held_out(loose):
            return loose


def _challenge(rng: random.Random, base: Base) -> str:
    phrasing = rng.choices(list(base.asked), list(base.asked.values()))[0]
    question = draw_question(rng, phrasing, rng.choice(LEVELS))
    box = f"\\boxed{{{_answer(rng, base, question)[1]}}}"
    if rng.random() < MALFORMED:
        return rng.choice((box, question, f"<question>{question}", f"<question></question>{box}"))
    return f"<question>{question}</question>{box}"


def heldout_rows(seed: int, *, but: Collection[str] = ()) -> list[dict[str, object]]:
    """Return distinct held-out questions, ten for each phrasing and level, as records.

    Args:
        seed: of the sample.
        but: questions to leave out.
    """
    rng = random.Random(f"held out {seed}")
    rows: list[dict[str, object]] = []
    for phrasing, procedure in PHRASINGS.items():
        for level in LEVELS:
            questions: set[str] = set()
            while len(questions) < 10:
                question = draw_question(rng, phrasing, level, held_out=True)
                if question not in but:
                    questions.add(question)
            for question in sorted(questions):
                rows.append(
                    {
                        "id": f"heldout-{len(rows):04d}",
                        "question": question,
                        "reference": truth(question),
                        "group": f"{procedure}/{level}",
                        "skill": phrasing,
                        "level": level,
                    }
                )
    return rows
