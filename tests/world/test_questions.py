"""The miniature's questions: true answers, phrasings, beliefs of a base model."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.method.question import parse_question
from rzero_cli.method.rewards import cluster_questions
from rzero_cli.world import questions as world


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("copy the number 40713", "40713"),
        ("add one to each digit of 3892", "4903"),  # 9 + 1 wraps around
        ("subtract one from each digit of 77012", "66901"),  # 0 - 1 wraps around
        ("take from nine each digit of 382", "617"),
        ("reverse the digits of 4071", "1704"),
        ("rotate to the left 1234", "2341"),
        ("turn around 100", "001"),
        # Malformed: the first phrasing and the first five digits decide.
        ("reverse the digits of 9876543", "56789"),
        ("12 turn around 34 rotate to the left 5", "54321"),
        ("turn around", "0"),
        ("add one to each digit of", "1"),
        ("what is 2 + 2?", "22"),
        ("", "0"),
    ],
)
def test_truth_by_hand(question: str, answer: str) -> None:
    assert world.truth(question) == answer


pieces = st.sampled_from([*world.PHRASINGS, *world.STRAYS, *"0123456789", " "])


@given(st.one_of(st.text(), st.lists(pieces).map("".join)))
def test_every_string_has_a_true_answer(question: str) -> None:
    answer = world.truth(question)
    assert 1 <= len(answer) <= 5
    assert set(answer) <= world.DIGITS
    # Digits of other scripts are not digits here.
    assert len(answer) == min(5, max(1, sum(c in world.DIGITS for c in question)))


@given(st.text("0123456789", min_size=1, max_size=5))
def test_procedures_undo_each_other(digits: str) -> None:
    do = world.PROCEDURES
    assert do["down"](do["up"](digits)) == digits
    assert do["nines"](do["nines"](digits)) == digits
    assert do["reverse"](do["reverse"](digits)) == digits
    rotated = digits
    for _ in digits:
        rotated = do["rotate"](rotated)
    assert rotated == digits


def test_phrasings_do_not_contain_one_another() -> None:
    assert Counter(world.PHRASINGS.values()) == dict.fromkeys(world.PROCEDURES, 4)
    for one in world.PHRASINGS:
        assert not any(one in other for other in world.PHRASINGS if other != one)


def test_questions_cluster_by_phrasing() -> None:
    rng = random.Random(0)
    phrasings = [p for p in world.PHRASINGS for _ in range(5)]
    batch = [world.draw_question(rng, p, rng.choice(world.LEVELS)) for p in phrasings]
    clusters = cluster_questions(batch)
    assert len({(p, c) for p, c in zip(phrasings, clusters, strict=True)}) == len(world.PHRASINGS)
    assert len(set(clusters)) == len(world.PHRASINGS)


def test_heldout_questions_are_balanced_and_never_pretrained() -> None:
    rows = world.heldout_rows(3)
    held_out = {str(row["question"]) for row in rows}
    assert len(rows) == len(held_out) == 720
    assert set(Counter((row["skill"], row["level"]) for row in rows).values()) == {10}
    assert set(Counter(row["group"] for row in rows).values()) == {40}
    assert all(row["reference"] == world.truth(str(row["question"])) for row in rows)
    rng, base = random.Random(0), world.draw_base(3)
    for _ in range(5000):
        question, reply = world.training_row(rng, base)
        generated = parse_question(reply)[0] if question is None else question
        assert generated is None or not world.is_held_out(generated)
        assert generated not in held_out


def test_world_depends_only_on_the_seed() -> None:
    assert world.heldout_rows(1) == world.heldout_rows(1) != world.heldout_rows(2)
    assert world.draw_base(1) == world.draw_base(1) != world.draw_base(2)
    base = world.draw_base(1)
    samples = [[world.training_row(random.Random(7), base) for _ in range(20)] for _ in range(2)]
    assert samples[0] == samples[1]


def test_base_beliefs_are_right_by_majority() -> None:
    base = world.draw_base(0)
    assert sum(base.asked.values()) == pytest.approx(1)
    assert sum(base.asked[p] for p in base.mastered) == pytest.approx(1 - world.ASKED_UNMASTERED)
    for (phrasing, _), belief in base.beliefs.items():
        assert sum(belief.values()) == pytest.approx(1)
        assert min(belief.values()) > 0
        by_procedure = {
            procedure: sum(belief[wording] for wording in wordings)
            for procedure, wordings in world.WORDINGS.items()
        }
        assert max(by_procedure, key=by_procedure.__getitem__) == world.PHRASINGS[phrasing]
        right = by_procedure[world.PHRASINGS[phrasing]]
        assert right > 0.9 if phrasing in base.mastered else 0.4 < right < 0.7


def test_kind_of_a_phrasing_matches_its_belief() -> None:
    base = world.draw_base(3)
    assert set(base.kinds) == set(world.PHRASINGS)
    for phrasing, kind in base.kinds.items():
        assert (kind == "mastered") == (phrasing in base.mastered)
        rival = max(base.beliefs[phrasing, 4].values()) == world.RIVAL["hard"]
        assert (kind == "hard") == rival


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("turn around 408", ("turn around", 3)),
        ("turn around 40812", ("turn around", 5)),
        ("turn around 40", None),
        ("turn around 408123", None),
        ("turn around 4081 ", None),
        ("turn around  4081", None),
        ("turn around ４０８", None),
        ("turn around turn around 4081", None),
        ("408 turn around", None),
        ("4081", None),
        ("", None),
    ],
)
def test_form_is_one_phrasing_and_digits(question: str, found: tuple[str, int] | None) -> None:
    assert world.form(question) == found


def test_training_rows_follow_the_beliefs_of_the_base() -> None:
    base, rng = world.draw_base(5), random.Random(5)
    rows = [world.training_row(rng, base) for _ in range(20000)]
    challenges = [parse_question(reply)[0] for question, reply in rows if question is None]
    assert len(challenges) / len(rows) == pytest.approx(world.CHALLENGER_ROWS, abs=0.01)
    assert challenges.count(None) / len(challenges) == pytest.approx(world.MALFORMED, abs=0.015)
    generated = [world.parse(q)[0] for q in challenges if q]
    unmastered = sum(p not in base.mastered for p in generated) / len(generated)
    assert unmastered == pytest.approx(world.ASKED_UNMASTERED, abs=0.015)
    # By chance, at most a third of the answers to mastered questions would be right.
    on_mastered = [
        reply.endswith(f"\\boxed{{{world.truth(q)}}}")
        for q, reply in rows
        if q is not None and world.parse(q)[0] in base.mastered
    ]
    assert sum(on_mastered) / len(on_mastered) > 0.94


def test_world_questions_do_not_import_torch() -> None:
    code = "import sys, rzero_cli.world.questions; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
