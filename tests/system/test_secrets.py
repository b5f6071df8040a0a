"""Secrets in text, fields and URLs are found and removed."""

from __future__ import annotations

import pytest

from rzero_cli.system.secrets import key_named_in, redact, without_keys, without_userinfo

KEY = "sk-hush-0123456789"


def test_keys_of_the_environment_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", "hf_secret_token")
    monkeypatch.setenv("SHORT_KEY", "EMPTY")
    monkeypatch.setenv("A_KEY", KEY[:12])  # must not split the longer key
    message = f"Incorrect API key provided: {KEY}, hf_secret_token, EMPTY"
    assert redact(message) == "Incorrect API key provided: <OPENAI_API_KEY>, <HF_TOKEN>, EMPTY"
    left = without_keys()
    assert not {"OPENAI_API_KEY", "HF_TOKEN", "SHORT_KEY"} & left.keys()
    assert {"PATH", "TOKENIZERS_PARALLELISM"} <= left.keys()


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "API-KEY", "apikey", "Authorization", "extra_headers", "hf_token", "token"),
        *("client_secret", "password", "x-api-key", "access_token", "Cookie"),
        *("access_key", "private_key", "pwd", "refreshToken"),
    ],
)
def test_field_named_like_a_key_is_found_at_any_depth(name: str) -> None:
    assert key_named_in({"a": 1, "b": [1, {"c": {name: "x"}}]}) == name


def test_fields_not_named_like_keys_pass() -> None:
    names = [
        "max_tokens",
        "stop_token_ids",
        "min_tokens",
        "tokenizer",
        "answer_key",
        "question_key",
    ]
    names += ["skip_special_tokens", "truncate_prompt_tokens", "max_num_batched_tokens", "top_k"]
    assert key_named_in({name: {"x": [1]} for name in names}) is None


def test_urls_are_shown_without_user_query_and_fragment() -> None:
    urls = "http://u:p@h:8000/v1?sig=1#k https://h/v1 http://[::1"
    assert without_userinfo(urls) == "http://h:8000/v1 https://h/v1 <not a URL>"
