"""The miniature's tokenizer."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("transformers")
    from rzero_cli.world.tokenizer import build_tokenizer

    return build_tokenizer()
