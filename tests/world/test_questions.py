"""The miniature: its questions and answers, its tokenizer and its base model."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.method import prompts
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
        # Out of form: the first phrasing and the first five digits decide.
        ("reverse the digits of 9876543", "56789"),
        ("12 turn around 34 rotate to the left 5", "54321"),
        ("turn around", "0"),
        ("add one to each digit of", "1"),
        ("what is 2 + 2?", "22"),
        ("", "0"),
    ],
)
def test_truth(question: str, answer: str) -> None:
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


def test_phrasings_are_told_apart() -> None:
    assert Counter(world.PHRASINGS.values()) == dict.fromkeys(world.PROCEDURES, 4)
    for one in world.PHRASINGS:
        assert not any(one in other for other in world.PHRASINGS if other != one)


def test_a_cluster_is_a_phrasing() -> None:
    rng = random.Random(0)
    asked = [p for p in world.PHRASINGS for _ in range(5)]
    batch = [world.draw_question(rng, p, rng.choice(world.LEVELS)) for p in asked]
    clusters = cluster_questions(batch)
    assert len({(p, c) for p, c in zip(asked, clusters, strict=True)}) == len(world.PHRASINGS)
    assert len(set(clusters)) == len(world.PHRASINGS)


def test_heldout_is_balanced_and_never_pretrained() -> None:
    rows = world.heldout_rows(3)
    held_out = {str(row["question"]) for row in rows}
    assert len(rows) == len(held_out) == 720
    assert set(Counter((row["skill"], row["level"]) for row in rows).values()) == {10}
    assert set(Counter(row["group"] for row in rows).values()) == {40}
    assert all(row["reference"] == world.truth(str(row["question"])) for row in rows)
    rng, base = random.Random(0), world.draw_base(3)
    for _ in range(5000):
        question, reply = world.training_row(rng, base)
        asked = parse_question(reply)[0] if question is None else question
        assert asked is None or not world.is_held_out(asked)
        assert asked not in held_out


def test_seeds_decide() -> None:
    assert world.heldout_rows(1) == world.heldout_rows(1) != world.heldout_rows(2)
    assert world.draw_base(1) == world.draw_base(1) != world.draw_base(2)
    base = world.draw_base(1)
    draws = [[world.training_row(random.Random(7), base) for _ in range(20)] for _ in range(2)]
    assert draws[0] == draws[1]


def test_base_model_is_right_by_majority_where_it_is_unsure() -> None:
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


def test_a_phrasing_is_of_the_kind_that_its_belief_has() -> None:
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


def test_training_rows_mirror_the_base() -> None:
    base, rng = world.draw_base(5), random.Random(5)
    rows = [world.training_row(rng, base) for _ in range(20000)]
    challenges = [parse_question(reply)[0] for question, reply in rows if question is None]
    assert len(challenges) / len(rows) == pytest.approx(world.CHALLENGER_ROWS, abs=0.01)
    assert challenges.count(None) / len(challenges) == pytest.approx(world.MALFORMED, abs=0.015)
    asked = [world.parse(q)[0] for q in challenges if q]
    unmastered = sum(p not in base.mastered for p in asked) / len(asked)
    assert unmastered == pytest.approx(world.ASKED_UNMASTERED, abs=0.015)
    # A third of the mastered questions' answers would be right by chance at most.
    on_mastered = [
        reply.endswith(f"\\boxed{{{world.truth(q)}}}")
        for q, reply in rows
        if q is not None and world.parse(q)[0] in base.mastered
    ]
    assert sum(on_mastered) / len(on_mastered) > 0.94


def test_questions_import_no_torch() -> None:
    code = "import sys, rzero_cli.world.questions; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("transformers")
    from rzero_cli.world.tokenizer import build_tokenizer

    return build_tokenizer()


def test_pieces_are_single_ordinary_tokens(tokenizer) -> None:
    for piece in [*world.TAGS, *world.DIGITS, *(f"{p} " for p in world.PHRASINGS)]:
        ids = tokenizer(piece, add_special_tokens=False)["input_ids"]
        assert len(ids) == 1 and ids[0] not in tokenizer.all_special_ids, piece
        assert tokenizer.decode(ids, skip_special_tokens=True) == piece


def test_tokenizer_round_trip(tokenizer) -> None:
    rng, base = random.Random(1), world.draw_base(1)
    for _ in range(500):
        for text in filter(None, world.training_row(rng, base)):
            ids = tokenizer(text)["input_ids"]
            # A piece at the very end may have lost the space that belongs to its token.
            if text[-1] in world.DIGITS | {"}", ">"}:
                assert tokenizer.unk_token_id not in ids
                assert tokenizer.decode(ids, skip_special_tokens=True) == text


@given(text=st.text())
def test_unknown_text_does_not_fail(tokenizer, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert all(0 <= i < len(tokenizer) for i in ids)


def test_unknown_text_is_one_token(tokenizer) -> None:
    tokens = tokenizer.tokenize("What is 12 é turn around 7?")
    assert tokens == ["<unk>", "1", "2", "<unk>", "turn around ", "7", "<unk>"]


def render(tokenizer, messages: list[dict[str, str]], **options: bool) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, **options)


def test_chat_template_gives_each_role_one_token(tokenizer) -> None:
    challenger = prompts.prompt_for(prompts.CHALLENGER)
    solver = prompts.prompt_for(prompts.SOLVER, "turn around 123")
    opened = {"add_generation_prompt": True}
    assert render(tokenizer, challenger, **opened) == "<bos><|challenger|><|assistant|>"
    expected = "<bos><|solver|>turn around 123<|assistant|>"
    assert render(tokenizer, solver, **opened) == expected
    # Without a system message, and with the Challenger's prompt in one user message.
    assert render(tokenizer, solver[-1:], **opened) == expected
    one = [{"role": "user", "content": "Write <question>...</question>"}]
    assert render(tokenizer, one, **opened) == "<bos><|challenger|><|assistant|>"
    assert render(tokenizer, solver) == "<bos><|solver|>turn around 123"
    reply = {"role": "assistant", "content": "Reversed: \\boxed{321}"}
    assert render(tokenizer, [*solver, reply]) == expected + "Reversed: \\boxed{321}<eos>"


def test_only_replies_are_learned(tokenizer) -> None:
    from rzero_cli.world.pretrain import IGNORED, encode_rows

    rows = [("turn around 123", "Reversed: \\boxed{321}"), (None, "<question>")]
    _, labels = encode_rows(tokenizer, rows)
    learned = [tokenizer.decode(row[row != IGNORED]) for row in labels]
    assert learned == ["Reversed: \\boxed{321}<eos>", "<question><eos>"]


def test_checkpoint_is_complete_and_follows_the_seed(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rzero_cli.world import pretrain

    monkeypatch.setitem(pretrain.SIZES, "small", pretrain.SIZES["small"]._replace(steps=3))
    seen: list[tuple[int, int]] = []
    made = [
        pretrain.make_tiny_base(
            tmp_path / name,
            seed=seed,
            size="small",
            heldout_seed=heldout_seed,
            on_progress=lambda done, steps, loss: seen.append((done, steps)),
        )["loss"]
        for name, seed, heldout_seed in [("a", 1, None), ("b", 1, 9), ("c", 2, None)]
    ]
    assert seen == [(1, 3), (2, 3), (3, 3)] * 3
    assert made[0] == made[1] != made[2]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]
    heldout = [(tmp_path / name / "heldout.jsonl").read_text() for name in "abc"]
    assert [json.loads(line) for line in heldout[1].splitlines()] == world.heldout_rows(9)
    assert len(set(heldout)) == 3
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "a")
    assert model.config.head_dim in (32, 64)
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    messages = prompts.prompt_for(prompts.SOLVER, "turn around 123")
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert tokenizer.decode(ids) == "<bos><|solver|>turn around 123<|assistant|>"


@pytest.mark.slow
def test_small_base_asks_and_answers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rzero_cli.world.pretrain import make_tiny_base

    make_tiny_base(tmp_path, seed=0, size="small")
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    torch.manual_seed(0)

    def complete(messages: list[list[dict[str, str]]]) -> list[str]:
        texts = [render(tokenizer, m, add_generation_prompt=True) for m in messages]
        batch = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
        ids = model.generate(**batch, do_sample=True, top_k=0, max_new_tokens=24)
        return tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], True)

    asked = [parse_question(c)[0] for c in complete([prompts.CHALLENGER] * 200)]
    written = [question for question in asked if question]
    assert len(written) > 180
    mastered = world.draw_base(0).mastered
    assert sum(world.parse(q)[0] in mastered for q in written) > 0.9 * len(written)

    rows = world.heldout_rows(0)[::3]
    replies = complete([prompts.prompt_for(prompts.SOLVER, str(r["question"])) for r in rows])
    right = [c.endswith(f"\\boxed{{{r['reference']}}}") for c, r in zip(replies, rows, strict=True)]
    # Pre-training aims at (3 * .97 + 7 * .58 + 14 * .50) / 24 = .58.
    assert 0.4 < sum(right) / len(right) < 0.7
