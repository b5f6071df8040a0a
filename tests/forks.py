"""Commands in processes of their own without the wait for torch: a server that forks them.

`python -m rzero_cli` spends 3 to 12 seconds on importing torch, transformers and TRL; a test that
begins twenty processes, or kills one and continues it, would spend them twenty times. The server
imports them once and never computes. For each request it forks a child, which becomes what
`python -m rzero_cli ARGUMENTS` would be: its streams, folder, environment, signals, status and
ending. Being a process like any other, it can be killed at any moment.

    with ForkServer() as server:
        command = server.start(["label", "q.jsonl", "-o", "out.jsonl"], cwd=folder)
        command.send_signal(signal.SIGKILL)
        assert command.wait(timeout=30) == -signal.SIGKILL

What is different from a fresh process: modules are there already, so what is read when a module is
imported (`HF_HUB_OFFLINE`, `OMP_NUM_THREADS`) must be as the server had it, and imports, memory and
the start are not to be tested; and /proc shows the server's words and environment.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

Stream = str | Path | int | None
"""A file by its name, a file descriptor, or nothing (/dev/null)."""

# What takes long of the things that commands import, measured with `-X importtime`. transformers
# and TRL are lazy: `import transformers` alone gives a tenth of it.
_SLOW = (
    "rzero_cli.cli",
    "transformers.generation",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.models.qwen3.modeling_qwen3",
    "transformers.trainer",
    "peft",
    "datasets",
    "trl.trainer.grpo_trainer",
    "lm_eval.evaluator",
    "lm_eval.tasks",
    "lm_eval.models.huggingface",
)
# A fork takes the thread that calls it alone, so there may be no other. pyarrow brings an
# allocator that has one, whether it is used or not.
_SINGLE_THREADED = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
_READ_AT_IMPORT = (
    *("PYTHON", "OMP_", "MKL_", "CUDA_", "TORCH", "ACCELERATE_"),
    *("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TOKENIZERS_", "VLLM_"),
)
_START_SECONDS = 120.0
_LONGEST_REQUEST = 1 << 20


class Ended(NamedTuple):
    """How a command ended: as `subprocess` has it, -9 if it was killed by signal 9."""

    status: int
    stdout: bytes
    stderr: bytes


class Forked:
    """A command that was begun: a process, and the leader of its own session and group."""

    def __init__(self, arguments: Sequence[str], news: int) -> None:
        self.arguments = arguments
        self.returncode: int | None = None
        self._news = os.fdopen(news, "rb", buffering=0)
        self.pid = self._read()

    def send_signal(self, number: int) -> None:
        """Signal this process alone; `os.killpg(command.pid, number)` is what a terminal does."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def poll(self) -> int | None:
        """The status, if it has ended."""
        if self.returncode is None and select.select([self._news], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The status, when it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not, and goes on.
        """
        if self.returncode is None:
            if not select.select([self._news], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(list(self.arguments), timeout or 0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def _end(self) -> None:
        self.returncode = self._read()
        self._news.close()

    def _read(self) -> int:
        if not (news := self._news.read(8)):
            raise RuntimeError("the server of forks has died")
        return int.from_bytes(news, sys.byteorder, signed=True)


class ForkServer:
    """The server, begun with the first command; it ends, and its children with it, with us."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()
        self._environment = dict(os.environ)

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def suits(self, env: Mapping[str, str]) -> bool:
        """Whether the server has imported with what this environment has for libraries."""
        if find_spec("vllm"):  # TRL imports it where it is, and it begins threads
            return False
        changed = dict(env.items() ^ self._environment.items())
        changed.pop("TORCHINDUCTOR_CACHE_DIR", None)  # torch sets it itself
        return not any(name.startswith(_READ_AT_IMPORT) for name in changed)

    def start(
        self,
        arguments: Sequence[Any],
        *,
        cwd: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> Forked:
        """Begin `rzero ARGUMENTS`. `env` is the whole environment, ours unless given."""
        words = [str(word) for word in arguments]
        env = dict(os.environ if env is None else env)
        assert self.suits(env), "this needs a process that imports with its own environment"
        request = {"arguments": words, "cwd": str(cwd), "env": env}
        with contextlib.ExitStack() as opened:
            flags = (os.O_RDONLY, *2 * (os.O_WRONLY | os.O_CREAT | os.O_TRUNC,))
            streams = [
                _open(stream, flag, opened)
                for stream, flag in zip((stdin, stdout, stderr), flags, strict=True)
            ]
            news, theirs = os.pipe()
            opened.callback(os.close, theirs)
            with self._asking:
                server = self._begin()
                socket.send_fds(server, [json.dumps(request).encode()], [*streams, theirs])
        return Forked(words, news)

    def run(
        self,
        arguments: Sequence[Any],
        *,
        cwd: str | Path,
        env: Mapping[str, str] | None = None,
        input: bytes = b"",
        timeout: float = 120,
    ) -> Ended:
        """Run `rzero ARGUMENTS` to its end.

        Raises:
            subprocess.TimeoutExpired: it took too long, and was killed.
        """
        with contextlib.ExitStack() as opened:
            files = [opened.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            files[0].write(input)
            files[0].seek(0)
            stdin, stdout, stderr = (file.fileno() for file in files)
            command = self.start(
                arguments, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr
            )
            try:
                status = command.wait(timeout)
            except BaseException:
                os.killpg(command.pid, signal.SIGKILL)
                raise
            for file in files:
                file.seek(0)
            return Ended(status, files[1].read(), files[2].read())

    def close(self) -> None:
        """End the server, and whatever it has begun."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait()
            self._socket = self._process = None

    def _begin(self) -> socket.socket:
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, __file__, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=self._environment | _SINGLE_THREADED,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # a Ctrl-C on the terminal reaches the tests alone
                )
            if not (select.select([ours], [], [], _START_SECONDS)[0] and ours.recv(8)):
                self._process.kill()
                raise RuntimeError("the server of forks did not start")
            self._socket = ours
        return self._socket


def _open(stream: Stream, flags: int, opened: contextlib.ExitStack) -> int:
    if isinstance(stream, int):
        return stream
    descriptor = os.open(os.devnull if stream is None else stream, flags, 0o666)
    opened.callback(os.close, descriptor)
    return descriptor


def _import_slow(names: Iterable[str]) -> None:
    for name in names:
        if find_spec(name.partition(".")[0]):
            importlib.import_module(name)


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Fork for each request until there are no more; returns in the children, with the request."""
    asks = connection.fileno()
    running: dict[int, tuple[int, int]] = {}  # a descriptor of the process -> its id, its news
    while True:
        for ready in select.select([asks, *running], [], [])[0]:
            if ready != asks:
                pid, news = running.pop(ready)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(BrokenPipeError):
                    os.write(news, _news(status))
                os.close(news)
                os.close(ready)
                continue
            message, descriptors, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, 4)
            if not message:
                os._exit(0)  # our children end with us
            *streams, news = descriptors
            assert _threads() == 1, "a fork would take one thread and leave the others' locks taken"
            server = os.getpid()
            if (pid := os.fork()) == 0:
                _end_with(server)
                connection.close()
                for descriptor, (_, other) in running.items():
                    os.close(descriptor)
                    os.close(other)
                os.close(news)
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                    os.close(stream)
                return dict(json.loads(message))
            with contextlib.suppress(BrokenPipeError):
                os.write(news, _news(pid))
            for stream in streams:
                os.close(stream)
            running[os.pidfd_open(pid)] = pid, news


def _news(number: int) -> bytes:
    return number.to_bytes(8, sys.byteorder, signed=True)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _end_with(server: int) -> None:
    from rzero_cli.system.processes import end_with_parent

    if not end_with_parent(signal.SIGKILL, server):
        os._exit(1)


def _become(request: dict[str, Any]) -> None:
    """Make this process what a fresh interpreter would be before its first line."""
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    # As `python -m` has them; stderr holds nothing back, and libraries' handlers hold on to it.
    sys.path[0] = request["cwd"]
    sys.argv[1:] = request["arguments"]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # others seed themselves


def _run() -> int:
    """`python -m rzero_cli`, to the status of its process."""
    try:
        runpy.run_module("rzero_cli", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, int | None):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _exit(status: int) -> NoReturn:
    """What an interpreter does at its end, but for taking thousands of modules apart (0.5 s)."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        status = 120
    os._exit(status & 0xFF)


if __name__ == "__main__":
    asked = socket.socket(fileno=int(sys.argv.pop()))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _import_slow(_SLOW)
    gc.collect()
    gc.freeze()  # a collection would touch, and so copy, every page that is shared
    asked.send(b"ready")
    _become(_serve(asked))
    _exit(_run())
