"""Precedence of flag, environment, rzero.toml and preset, each through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Refused, Rzero

LABELED = "".join(f'{{"answer": "{k}", "p_hat": {k / 10}}}\n' for k in range(11))


def kept(rzero: Rzero, *options: str, **environment: str) -> list[str]:
    ended = rzero("filter", *options, input=LABELED, environment=environment)
    assert ended.status == 0, ended.stderr
    return [json.loads(line)["answer"] for line in ended.lines]


def test_flag_beats_environment_beats_file_beats_preset(rzero: Rzero, tmp_path: Path) -> None:
    assert kept(rzero) == list("34567")  # preset paper
    (tmp_path / "rzero.toml").write_text('preset = "official"\n')
    assert kept(rzero) == list("345678")  # the preset set in the file
    assert kept(rzero, RZERO_PRESET="paper") == list("34567")
    assert kept(rzero, "--preset", "official", RZERO_PRESET="paper") == list("345678")
    (tmp_path / "rzero.toml").write_text('preset = "official"\n[filter]\ndelta = 0.1\n')
    assert kept(rzero) == list("456")  # the file beats its preset's --low and --high
    assert kept(rzero, RZERO_PRESET="paper") == list("456")
    assert kept(rzero, "--preset", "official") == list("456")
    assert kept(rzero, "--delta", "0.2") == list("34567")
    assert kept(rzero, "--low", "0.8") == ["8", "9", "10"]


def rewarded(rzero: Rzero, *options: str, **environment: str) -> float:
    """Return the reward of p_hat = 1/2 in a batch of one: 1 - lambda_rep for `paper`."""
    line = '{"question": "a", "p_hat": 0.5}'
    ended = rzero("score", *options, input=line, environment=environment)
    assert ended.status == 0, ended.stderr
    return float(json.loads(ended.stdout)["reward"])


def test_command_table_beats_shared_keys(rzero: Rzero, tmp_path: Path) -> None:
    assert rewarded(rzero) == 0.0
    (tmp_path / "rzero.toml").write_text("lambda-rep = 0.5\n")
    assert rewarded(rzero) == 0.5
    (tmp_path / "rzero.toml").write_text(
        "lambda_rep = 0.5\n[score]\nlambda_rep = 0.25\n[challenge]\nlambda_rep = 0.125\n"
    )
    assert rewarded(rzero) == 0.75
    assert rewarded(rzero, "--lambda-rep", "0") == 1.0


def test_configuration_file_can_be_named(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "rzero.toml").write_text("lambda_rep = 0.5\n")
    (tmp_path / "other.toml").write_text("lambda_rep = 0.25\n")
    assert rewarded(rzero, "--config", "other.toml") == 0.75
    assert rewarded(rzero, RZERO_CONFIG="other.toml") == 0.75
    assert rewarded(rzero, "--config", "rzero.toml", RZERO_CONFIG="other.toml") == 0.5
    # --preset may come before or after it
    for options in (("--preset", "official"), ("--config", "other.toml")):
        other = ("--config", "other.toml") if options[0] == "--preset" else ("--preset", "official")
        assert rewarded(rzero, *options, *other) == 0.25  # min(p, 1 - p) - 1/4


def test_model_from_flag_environment_or_file(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "rzero.toml").write_text('solver = "from/toml/x"\n')
    for options, environment, named in (
        (["--solver", "from/flag/x"], {"RZERO_SOLVER": "from/environment/x"}, "flag"),
        ([], {"RZERO_SOLVER": "from/environment/x"}, "environment"),
        ([], {}, "toml"),
    ):
        for command in ("label", "score"):
            said = refused(command, *options, environment=environment)
            assert said.startswith(f"--solver from/{named}/x: no such directory")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("deltta = 0.1\n", "rzero.toml: no command shares an option 'deltta'"),
        ("[filter]\ndeltta = 0.1\n", "rzero.toml: [filter] has no option 'deltta'"),
        ("[filtre]\ndelta = 0.1\n", "rzero.toml: [filtre] is not a command"),
        ("delta = \n", "rzero.toml: not TOML"),
        ('preset = "x"\n', "unknown preset 'x'; known: paper, official, tiny"),
        ('[filter]\ndelta = "wide"\n', "--delta wide: not a number"),
        ("[filter]\ndelta = 0.7\n", "--delta 0.7: must be between 0 and 0.5"),
    ],
)
def test_misspelled_configuration_is_refused(
    refused: Refused, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "rzero.toml").write_text(text)
    assert message in refused("filter", input=LABELED)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[label]\nm = "ten"\n', "rzero.toml: [label] m: Invalid value for '--m': 'ten'"),
        ("m = -3\n", "rzero.toml: m: Invalid value for '--m': -3"),
        ('[label]\nlimit = "x"\n', "rzero.toml: [label] limit: Invalid value for '--limit'"),
    ],
)
def test_wrong_value_names_file_and_key(
    refused: Refused, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "rzero.toml").write_text(text)
    assert refused("label", "--solver", "model").startswith(message)


def test_keys_of_other_commands_are_ignored(rzero: Rzero, tmp_path: Path) -> None:
    text = "m = 4\nclip_dual = 3.0\n[train-solver]\nsteps = 3\n[score]\nbatch = 7\n"
    (tmp_path / "rzero.toml").write_text(text)
    assert kept(rzero) == list("34567")


def test_error_names_the_configuration_file(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("deltta = 0.1\n")
    said = refused("filter", "--config", "other.toml")
    assert said.startswith("other.toml: no command shares an option 'deltta'")


def test_missing_configuration_file_is_refused(refused: Refused) -> None:
    assert "--config nowhere.toml" in refused("filter", "--config", "nowhere.toml")


def test_command_name_as_a_key_without_a_table_is_an_option(
    refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "rzero.toml").write_text('guard = "xx"\n')
    assert refused("guard", ".") == "--guard xx: unknown; known: probe, diversity\n"
