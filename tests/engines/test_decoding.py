"""The decoding loop compared with `generate`'s built-in loop, on small random models."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

from rzero_cli.engines.decoding import decode  # noqa: E402

VOCABULARY, PAD, END = 24, 0, 1
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,  # distributions far from uniform
    "pad_token_id": PAD,
    "bos_token_id": PAD,
    "eos_token_id": END,
}
SIZES = {
    "llama": {"num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2},
    # Sliding-window layers; the rows here are longer than the window.
    "mistral": {"num_key_value_heads": 2, "sliding_window": 6},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "mamba": {"state_size": 4},
}
ATTENTION = [name for name in SIZES if name != "mamba"]


def built(architecture: str) -> Any:
    config = AutoConfig.for_model(architecture, **COMMON | SIZES[architecture])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()


def padded(prompts: list[list[int]]) -> dict[str, Any]:
    width = max(map(len, prompts))
    return {
        "input_ids": torch.tensor([[PAD] * (width - len(p)) + p for p in prompts]),
        "attention_mask": torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts]),
    }


def completed(
    model: Any, inputs: dict[str, Any], *, own: bool = False, seed: int = 0, **settings: Any
) -> Any:
    """Return the output of `generate` with our loop, or with its own."""
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        options = {"max_new_tokens": 20, "pad_token_id": PAD, "eos_token_id": END, **settings}
        return model.generate(**inputs, **options, **({} if own else {"custom_generate": decode}))


def computed(model: Any) -> list[tuple[int, int]]:
    """Return a list that records the (rows, tokens) of every later forward pass."""
    shapes: list[tuple[int, int]] = []

    def note(module: Any, arguments: Any, given: dict[str, Any]) -> None:
        shapes.append(tuple(given["input_ids"].shape))

    model.register_forward_pre_hook(note, with_kwargs=True)
    return shapes


# Three lengths; the first and the last are equal, and so are two of the others.
PROMPTS = [[5, 6, 7, 8], [9, 3], [4], [9, 3], [2, 8, 8], [11], [12, 13, 14, 15], [5, 6, 7, 8]]


@pytest.mark.parametrize("architecture", ATTENTION)
def test_greedy_decoding_equals_generate(architecture: str) -> None:
    model, inputs = built(architecture), padded(PROMPTS)
    free = completed(model, inputs, own=True, do_sample=False, eos_token_id=None)
    # End tokens that rows reach at different steps, and some never.
    written = free[:, inputs["input_ids"].shape[1] :]
    ends = sorted({int(written[0, 2]), int(written[-2, 9])})
    wanted = completed(model, inputs, own=True, do_sample=False, eos_token_id=ends)
    assert torch.equal(completed(model, inputs, do_sample=False, eos_token_id=ends), wanted)
    assert torch.equal(completed(model, inputs, do_sample=False, eos_token_id=None), free)
    assert (wanted != free[:, : wanted.shape[1]]).any()


def test_each_prompt_is_prefilled_once_and_finished_rows_are_dropped() -> None:
    model = built("llama")
    inputs = padded(PROMPTS * 16)
    shapes = computed(model)
    rows = completed(model, inputs, do_sample=True, temperature=3.0)
    assert shapes[0] == (6, 4)
    assert {tokens for _, tokens in shapes[1:]} == {1}
    going = [(row[4:] == END).int().argmax() + 1 if END in row[4:] else 20 for row in rows]
    assert min(going) < 5 < max(going)
    for step, (count, _) in enumerate(shapes[1:], 1):
        running = sum(length > step for length in going)
        assert running <= count < running / (1 - 1 / 8) + 1, step


def test_equal_tokens_with_different_masks_are_separate_prompts() -> None:
    model, inputs = built("llama"), padded([[7], [PAD, 7], [7]])
    wanted = completed(model, inputs, own=True, do_sample=False)
    shapes = computed(model)
    assert torch.equal(completed(model, inputs, do_sample=False), wanted)
    assert shapes[0] == (2, 2)


def test_sampled_tokens_depend_only_on_the_seed() -> None:
    model, inputs = built("qwen2"), padded(PROMPTS * 8)
    first = completed(model, inputs, do_sample=True, seed=1)
    assert torch.equal(completed(model, inputs, do_sample=True, seed=1), first)
    other = completed(model, inputs, do_sample=True, seed=2)
    assert first.shape != other.shape or (first != other).any()


@pytest.mark.parametrize(
    "settings", [{}, {"top_k": 9, "temperature": 1.5}, {"top_p": 0.8}], ids=str
)
def test_sampled_tokens_follow_the_models_probabilities(settings: dict[str, Any]) -> None:
    """Check the first token, and one after rows have been removed, by a chi-square test."""
    from scipy.stats import chisquare

    model, prompts, samples = built("llama"), ([5, 6, 7], [9]), 6000
    settings = {"top_k": 0, "do_sample": True, "max_new_tokens": 3, **settings}
    ends = [END, 2, 3, 4]
    shapes = computed(model)
    rows = completed(model, padded([*prompts] * samples), eos_token_id=ends, **settings).tolist()
    assert 2 * samples > shapes[1][0] > shapes[2][0]
    for prompt in prompts:
        of = [row[3:] for row in rows if row[:3] == [PAD] * (3 - len(prompt)) + prompt]
        assert len(of) == samples
        going = Counter(tuple(row[:2]) for row in of if not {*row[:2]} & {*ends})
        for start in ((), going.most_common(1)[0][0]):
            sampled = Counter(row[len(start)] for row in of if tuple(row[: len(start)]) == start)
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([[*prompt, *start]])).logits[0, -1]
            total = sampled.total()
            expected = [weight * total for weight in kept(logits, settings)]
            assert total > 100
            assert all(expected[token] > 0 for token in sampled)
            # Tokens with an expected count below 5 are pooled.
            often = [token for token, number in enumerate(expected) if number >= 5]
            seen = [sampled[token] for token in often]
            wanted = [expected[token] for token in often]
            seen, wanted = [*seen, total - sum(seen)], [*wanted, total - sum(wanted)]
            if wanted[-1] < 1:
                seen, wanted = seen[:-1], wanted[:-1]
            wanted = [one * sum(seen) / sum(wanted) for one in wanted]
            assert len(seen) > 3
            assert chisquare(seen, wanted).pvalue > 1e-3


def kept(logits: Any, settings: dict[str, Any]) -> list[float]:
    """Return the probabilities after temperature, top-k and top-p, computed token by token."""
    weights = (logits.double() / settings.get("temperature", 1.0)).softmax(-1).tolist()
    order = sorted(range(len(weights)), key=weights.__getitem__, reverse=True)
    order = order[: settings["top_k"] or None]
    nucleus, mass = [], 0.0
    for token in order:
        if mass < settings.get("top_p", 1.0) * sum(weights[t] for t in order):
            nucleus.append(token)
        mass += weights[token]
    whole = sum(weights[token] for token in nucleus)
    return [weights[t] / whole if t in nucleus else 0.0 for t in range(len(weights))]


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("mamba", {}),
        ("llama", {"cache_implementation": "static"}),
        ("llama", {"use_cache": False}),
        ("llama", {"num_beams": 2}),
        ("llama", {"repetition_penalty": 1.3}),
    ],
    ids=str,
)
def test_unsupported_settings_use_the_loop_of_generate(
    architecture: str,
    settings: dict[str, Any],
) -> None:
    model, inputs = built(architecture), padded([[5, 6, 7]] * 4)
    wanted = completed(model, inputs, own=True, do_sample=True, seed=3, **settings)
    shapes = computed(model)
    assert torch.equal(completed(model, inputs, do_sample=True, seed=3, **settings), wanted)
    assert shapes[0][0] == 4 * settings.get("num_beams", 1)
