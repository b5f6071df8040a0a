"""The pre-training of the miniature's base model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rzero_cli.method import prompts
from rzero_cli.method.question import parse_question
from rzero_cli.world import questions as world


def render(tokenizer, messages: list[dict[str, str]], **options: bool) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, **options)


def test_pretraining_learns_only_replies(tokenizer) -> None:
    from rzero_cli.world.pretrain import IGNORED, encode_rows

    rows = [("turn around 123", "Reversed: \\boxed{321}"), (None, "<question>")]
    _, labels = encode_rows(tokenizer, rows)
    learned = [tokenizer.decode(row[row != IGNORED]) for row in labels]
    assert learned == ["Reversed: \\boxed{321}<eos>", "<question><eos>"]


def test_pretrained_checkpoint_is_complete_and_follows_the_seed(
    tmp_path: Path, monkeypatch
) -> None:
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
def test_small_base_generates_questions_and_answers(tmp_path: Path) -> None:
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

    parsed = [parse_question(c)[0] for c in complete([prompts.CHALLENGER] * 200)]
    written = [question for question in parsed if question]
    assert len(written) > 180
    mastered = world.draw_base(0).mastered
    assert sum(world.parse(q)[0] in mastered for q in written) > 0.9 * len(written)

    rows = world.heldout_rows(0)[::3]
    replies = complete([prompts.prompt_for(prompts.SOLVER, str(r["question"])) for r in rows])
    right = [c.endswith(f"\\boxed{{{r['reference']}}}") for c, r in zip(replies, rows, strict=True)]
    # Pre-training aims at (3 * .97 + 7 * .58 + 14 * .50) / 24 = .58.
    assert 0.4 < sum(right) / len(right) < 0.7
