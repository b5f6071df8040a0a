"""The arithmetic of `--shard I/N`: each item is in exactly one shard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.data.shards import WHOLE, Shard, parse_shard
from rzero_cli.errors import UsageError


@given(st.lists(st.integers(), max_size=60), st.integers(1, 9))
def test_shards_partition_the_items(items: list[int], count: int) -> None:
    numbered = list(enumerate(items))
    parts = [list(Shard(index, count).of(numbered)) for index in range(count)]
    assert sorted(item for part in parts for item in part) == numbered
    sizes = [len(part) for part in parts]
    assert sizes == [Shard(index, count).size(len(items)) for index in range(count)]
    assert max(sizes) - min(sizes) <= 1
    for index, part in enumerate(parts):
        assert all(Shard(index, count).has(number) for number, _ in part)


def test_parse_shard() -> None:
    assert parse_shard(None) == WHOLE == parse_shard("0/1")
    assert parse_shard("3/64") == Shard(3, 64)


@pytest.mark.parametrize(
    "text", ["", "1", "1/", "/2", "-1/2", "1/2/3", "a/b", "2/2", "0/0", "1.0/2"]
)
def test_parse_shard_refuses_malformed_text(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shard .*: (must be I/N|the \d+ shards are numbered)"):
        parse_shard(text)
