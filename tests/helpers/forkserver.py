"""Commands without the wait for torch, with the fork server of `multiprocessing`.

It does the slow imports once and forks a process for each command, with its own streams, folder,
environment and session. A command can be killed at any moment.

    command = forks.start(["label", "q.jsonl", "-o", "out.jsonl"], cwd=folder)
    command.send_signal(signal.SIGKILL)
    assert command.wait(timeout=30) == -signal.SIGKILL

Imports, memory and start-up cannot be tested this way, and /proc shows the server's command line.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple

from rzero_cli import commands

_PRELOAD = [f"rzero_cli.commands.{name}" for _, name, _ in iter_modules(commands.__path__)]
_PRELOAD += ["rzero_cli.training.grpo", "rzero_cli.evaluation.carrying_out"]
_PRELOAD += [
    "jsonlines",
    "rzero_cli.cli",
    "peft",
    "datasets",
    "transformers.models.llama.modeling_llama",
]
_PRELOAD += ["transformers.models.qwen3.modeling_qwen3", "trl.trainer.grpo_trainer"]
_PRELOAD += ["lm_eval.evaluator", "lm_eval.tasks", "lm_eval.models.huggingface"]
_READ_AT_IMPORT = (
    *("PYTHON", "OMP_", "MKL_", "CUDA_", "TORCH_", "ACCELERATE_", "VLLM_"),
    *("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TOKENIZERS_"),
)
_lock = threading.Lock()  # starting a process also polls those of other threads


class Ended(NamedTuple):
    """The status and output of a command; the status is -9 if signal 9 killed it."""

    status: int
    stdout: bytes
    stderr: bytes


class Forked(ForkServerProcess):
    """A running command, the leader of its own session and group."""

    pid: int

    def poll(self) -> int | None:
        """Return the status, if it has ended."""
        with _lock:
            return self.exitcode

    returncode = property(poll)

    def send_signal(self, number: int) -> None:
        """Signal only this process; a terminal does `os.killpg(command.pid, number)`."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        """Return the status when it has ended, or raise `subprocess.TimeoutExpired`."""
        wait([self.sentinel], timeout)
        if (status := self.poll()) is None:
            raise subprocess.TimeoutExpired("rzero", timeout or 0)
        return status


class ForkServer:
    """Starts commands and kills those left at the end. A process has one server."""

    def __init__(self) -> None:
        # A fork has only one thread; pyarrow's allocator would need another.
        os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
        self._environment = dict(os.environ)
        self._started: list[Forked] = []
        multiprocessing.set_forkserver_preload(_PRELOAD)

    def close(self) -> None:
        for command in self._started:
            command.send_signal(signal.SIGKILL)

    def suits(self, env: Mapping[str, str]) -> bool:
        """Return True if imports have the same effect in this environment."""
        changed = dict(env.items() ^ self._environment.items())
        # vLLM starts threads, and TRL imports it if it is installed.
        return not find_spec("vllm") and not any(
            name.startswith(_READ_AT_IMPORT) for name in changed
        )

    def start(
        self,
        arguments: Sequence[Any],
        *,
        cwd: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: str | Path | int = os.devnull,
        stdout: str | Path | int = os.devnull,
        stderr: str | Path | int = os.devnull,
    ) -> Forked:
        """Start `rzero ARGUMENTS` with these files, or file descriptors, and all of `env`."""
        env = dict(os.environ if env is None else env)
        assert self.suits(env), "this needs a process that imports with its own environment"
        with ExitStack() as opened:
            streams = []
            for stream, mode in ((stdin, "r"), (stdout, "w"), (stderr, "w")):
                if not isinstance(stream, int):
                    stream = opened.enter_context(Path(stream).open(mode)).fileno()
                streams.append(_Descriptor(stream))
            words = [str(word) for word in arguments]
            ready, until_ready = multiprocessing.Pipe(duplex=False)
            command = Forked(target=_become, args=(words, str(cwd), env, streams, until_ready))
            with _lock:
                command.start()
            until_ready.close()
            ready.poll(None)  # earlier, a signal would hit the server's fork, not the command
        self._started.append(command)
        return command

    def run(
        self, arguments: Sequence[Any], *, input: bytes = b"", timeout: float = 120, **how: Any
    ) -> Ended:
        """Run `rzero ARGUMENTS` to its end, or kill it and raise `subprocess.TimeoutExpired`."""
        with ExitStack() as opened:
            given, out, err = (opened.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            given.write(input)
            given.seek(0)
            how |= {"stdin": given.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
            command = self.start(arguments, **how)
            try:
                status = command.wait(timeout)
            finally:
                command.send_signal(signal.SIGKILL)
            out.seek(0)
            err.seek(0)
            return Ended(status, out.read(), err.read())


class _Descriptor(int):
    """A file descriptor that the child gets a duplicate of."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _detach, (DupFd(self),)


def _detach(duplicate: Any) -> int:
    return int(duplicate.detach())


def _become(
    arguments: list[str], cwd: str, env: dict[str, str], streams: list[int], until_ready: Connection
) -> None:
    """Run `python -m rzero_cli` in this just forked process."""
    gc.freeze()  # a collection would write to, and so copy, every shared page
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0], sys.argv = cwd, ["rzero", *arguments]
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.modules["numpy"].random.seed()  # others seed themselves
    until_ready.close()
    try:
        runpy.run_module("rzero_cli", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
