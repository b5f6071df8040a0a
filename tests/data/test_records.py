"""Keys of records that several stages read."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from rzero_cli.data.jsonl import read_lines
from rzero_cli.data.records import p_hat_of
from rzero_cli.errors import DataError
from rzero_cli.method.filtering import band, keep


@pytest.mark.parametrize(
    ("p_hat", "kept"),
    [
        ("1e-999999999999", False),
        ("0e999999999999", False),
        ("5e-1", True),
        ("50000000000000000000e-20", True),
        (f"0.25{'0' * 5000}", True),
        (f"0.75{'0' * 5000}1", False),
    ],
)
def test_p_hat_with_an_extreme_exponent_is_compared_fast(
    tmp_path: Path, p_hat: str, kept: bool
) -> None:
    (tmp_path / "in").write_text(f'{{"p_hat": {p_hat}}}')
    (line,) = read_lines([str(tmp_path / "in")], exact=True)
    assert keep("1", p_hat_of(line), band(Decimal("0.25"))) == kept


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"0.5"', "must be a number from 0 to 1"),
        ("true", "must be a number from 0 to 1"),
        ("null", "must be a number from 0 to 1"),
        ("1.0000000000000000000001", "must be between 0 and 1, not 1.0000000000000000000001"),
        ("-1e-30", "must be between 0 and 1"),
        ("2", "must be between 0 and 1, not 2"),
    ],
)
def test_p_hat_outside_0_and_1_is_refused(tmp_path: Path, value: str, message: str) -> None:
    (tmp_path / "in").write_text(f'{{"p_hat": {value}}}')
    (line,) = read_lines([str(tmp_path / "in")], exact=True)
    with pytest.raises(DataError, match=f'in:1: key "p_hat" {message}'):
        p_hat_of(line)
