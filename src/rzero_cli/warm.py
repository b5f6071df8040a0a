"""Commands that start at once: `rzero warm` imports what stages need, and is forked for each.

A command that finds RZERO_WARM in its environment asks the server at that socket for a process that
has torch, transformers and TRL already, hands over its own words, folder, environment and standard
streams, and stays as a client: it passes signals on and ends as that process ends.

    client                      server                      fork
    connects              -->
                          <--   what a fork cannot change
    the command, streams  -->   forks                  -->  becomes the command
                          <-------------------------------  its process id
                          <--   how it ended

A client that differs in what a fork cannot change, or gets no answer, runs its command itself.
On Linux alone: elsewhere a process cannot tell whether it has threads, which no fork would have.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rzero_cli.system.processes import end_with_parent, importing

__all__ = ["WARM", "run_in_fork", "serve"]

WARM = "RZERO_WARM"
"""The environment variable with the server's socket."""

_COMMANDS = frozenset(
    ("challenge", "sample", "label", "score", "train-solver", "eval", "merge", "tiny-base")
)
"""What loads a model; the others start as fast by themselves."""

_THREADS = "OMP_NUM_THREADS"
_READ_AT_IMPORT = (
    *("PYTHON", "LD_", "GLIBC_", "MALLOC_", "LANG", "LC_", "TZ", "HOME", "XDG_", "TMPDIR"),
    *("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TOKENIZERS_", "TRL_", "ACCELERATE_", "VLLM_"),
    *("TORCH", "PYTORCH_", "CUDA_", "NVIDIA_", "OMP_", "GOMP_", "MKL_", "KMP_", "OPENBLAS_"),
    *("ATEN_", "DNNL_", "ONEDNN_", "ARROW_", "JE_"),
)
# A fork has the thread that calls it and no other. pyarrow's allocator and numpy's BLAS begin some
# when they are loaded; and whether there is a GPU is asked in the way that opens none.
_WHILE_IMPORTING = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
_PATIENCE = 5.0
"""Seconds that client and server wait for each other's words."""
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, and a command is to have as they are without it."""
_NUMBER = struct.Struct("=q")


def _fixed() -> dict[str, Any]:
    """What a fork has from its server for good, as JSON has it."""
    limits = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    found = {
        "python": [sys.version, str(Path(sys.prefix).resolve()), __file__, list(sys.flags)],
        "user": [os.geteuid(), os.getegid()],
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "cores": sorted(os.sched_getaffinity(0)),
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in limits},
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name.startswith(_READ_AT_IMPORT) and name != _THREADS
        },
    }
    return dict(json.loads(json.dumps(found)))


# ---------------------------------------------------------------- the client


def run_in_fork() -> None:
    """Have this process's command run by a fork of the server, and end as that ends.

    Returns only where the command is to be run here: there is no server, it does not answer, it
    suits other commands, or this is one of several processes that a launcher has begun. RZERO_WARM
    is not in the environment then, nor in a fork's: what a command begins are ordinary processes.
    """
    address = os.environ.pop(WARM, None)
    named = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if not address or named not in _COMMANDS or "RANK" in os.environ:
        return
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(_PATIENCE)
        try:
            server.connect(address)
            offered = _receive(server)
            request = _request()
        except (OSError, ValueError):  # also where our folder has been removed
            return
        threads = (os.environ.get(_THREADS), offered["threads"])
        # One thread is one thread; other numbers are not set as exactly as they are begun with.
        if offered["fixed"] != _fixed() or (threads[0] != threads[1] and threads[0] != "1"):
            return
        server.settimeout(None)
        with _passing_on() as begun:
            try:
                _send(server, request, [0, 1, 2])
                fork = _receive_number(server)
            except OSError:
                return
            if fork < 0:  # it was killed before it could say
                _end_as(fork)
            begun(fork)
            with suppress(OSError):
                _end_as(_receive_number(server))
            with suppress(OSError):
                print("rzero: the server of `rzero warm` has died", file=sys.stderr, flush=True)
            os._exit(1)


def _request() -> dict[str, Any]:
    """What makes a process this one."""
    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "argv": sys.argv,
        "path": sys.path,
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "umask": umask,
        "ignored": [n for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN],
        "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "streams": [sys.stdin is not None, sys.stdout is not None],
    }


@contextmanager
def _passing_on() -> Iterator[Callable[[int], None]]:
    """Pass signals on to the group of a process, from when it is named."""
    group: list[int] = []
    early: list[int] = []
    numbers: tuple[signal.Signals, ...] = (*_PASSED_ON, signal.SIGTSTP)

    def pass_on(number: int, frame: FrameType | None = None) -> None:
        if not group:
            early.append(number)
            return
        with suppress(ProcessLookupError):
            if number != signal.SIGTSTP:
                os.killpg(group[0], number)
                return
            # A group without a shell is not stopped by a terminal's own signal.
            os.killpg(group[0], signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.killpg(group[0], signal.SIGCONT)

    def begun(process: int) -> None:
        group.append(process)
        for missed in early:
            pass_on(missed)

    heard = {
        number: signal.signal(number, pass_on)
        for number in numbers
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield begun
    finally:
        for number, before in heard.items():
            signal.signal(number, before)
        for missed in early:  # of a command that is now to be run here
            os.kill(os.getpid(), missed)


def _end_as(status: int) -> NoReturn:
    """End with an exit status, or by the signal -status."""
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [-status])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # there is no fault in this process
        os.kill(os.getpid(), -status)
    os._exit(status)


# ---------------------------------------------------------------- the server


def serve(words: list[str], say: Callable[[str], None]) -> int:
    """Import what stages import, run a command, and be forked for each `rzero` below it.

    Forks that are still at work when the command ends are waited for.

    Args:
        words: the command and its arguments.
        say: how the person is told that commands will start as ever, and why.

    Returns:
        The command's exit status, 128 + N where signal N ended it. Where this process cannot be
        forked it becomes the command, and does not return.

    Raises:
        OSError: the command cannot be begun.
    """
    offered = {"fixed": _fixed(), "threads": os.environ.get(_THREADS)}
    environment = dict(os.environ)
    if why_not := _import_slow():
        say(f"warm: {why_not}: commands start as ever")
        for number in _IGNORED:
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(words[0], words, environment)  # signals and the status are its own then
    import shutil
    import tempfile

    # What libraries have set, as they do in every process that imports them.
    added = {name: value for name, value in os.environ.items() if name not in environment}
    # Not a TemporaryDirectory: each fork would remove it at its end.
    folder = Path(tempfile.mkdtemp(prefix="rzero-warm-"))
    try:
        with socket.socket(socket.AF_UNIX) as asks:
            asks.bind(str(folder / "socket"))
            asks.listen(128)
            command = _begin(words, environment | {WARM: str(folder / "socket")})
            return _serve(command, asks, offered, lambda asked: _become(asked, added))
    finally:
        shutil.rmtree(folder)


def _serve(
    command: int,
    asks: socket.socket,
    offered: Mapping[str, Any],
    become: Callable[[Mapping[str, Any]], None],
) -> int:
    """Fork for whoever asks until the command has ended, and all forks; returns its status."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in [command] if status is None else [fork for fork, _ in forks.values()]:
            _signal(process, number)

    # A terminal's Ctrl-C reaches the command as well, and the command decides.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    server, status = os.getpid(), None
    ended = os.pidfd_open(command)
    forks: dict[int, tuple[int, socket.socket]] = {}  # by a descriptor of the process
    clients: dict[int, int] = {}  # those who listen, by descriptor: their fork
    while status is None or forks:
        own = [ended, asks.fileno()] if status is None else []
        # One at a time: what is done may close another.
        ready = _readable([*own, *forks, *clients])
        if ready == ended:
            status = _exit_status(os.waitpid(command, 0)[1])
            os.close(ended)
            asks.close()
        elif ready in forks:
            fork, client = forks.pop(ready)
            result = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
            clients.pop(client.fileno(), None)
            with client, suppress(OSError):
                client.sendall(_NUMBER.pack(result))
            os.close(ready)
        elif ready in clients:  # it has died: nobody waits for the fork
            _signal(clients.pop(ready), signal.SIGTERM)
        else:
            client = asks.accept()[0]
            if (asked := _asked(client, offered)) is None:
                client.close()
                continue
            child = _fork()
            if child == 0:
                for descriptor in (asks.detach(), ended, *forks):
                    os.close(descriptor)
                for _, other in forks.values():
                    other.close()
                _part_from(server, asked, client)
                _run(become, asked)
            for stream in asked["descriptors"]:
                os.close(stream)
            if child is None:
                client.close()
            else:
                forks[os.pidfd_open(child)] = child, client
                clients[client.fileno()] = child
    return status


def _import_slow() -> str | None:
    """Import what stages do, and put it out of the collector's reach, which would copy every page.

    Returns:
        Why this process cannot be forked; None where it can.
    """
    if sys.platform != "linux":
        return "forks of what has threads cannot be told from others on this system"
    from importlib.util import find_spec

    if find_spec("torch") is None or find_spec("trl") is None:
        return "torch and TRL are not installed"
    if find_spec("vllm"):
        return "vLLM is installed, and begins threads and processes of its own"
    before = {name: os.environ.get(name) for name in _WHILE_IMPORTING}
    os.environ.update(_WHILE_IMPORTING)
    with importing():
        import peft  # noqa: F401
        import torch
        import transformers.models.llama.modeling_llama
        import transformers.models.qwen3.modeling_qwen3  # noqa: F401

        import rzero_cli.answers.equivalence
        import rzero_cli.commands.challenge
        import rzero_cli.commands.eval
        import rzero_cli.commands.label
        import rzero_cli.commands.sample
        import rzero_cli.commands.train_solver
        import rzero_cli.engines.transformers
        import rzero_cli.evaluation.passes
        import rzero_cli.evaluation.tasks
        import rzero_cli.training.challenger
        import rzero_cli.training.grpo
        import rzero_cli.training.solver  # noqa: F401
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value
    gc.collect()
    gc.freeze()
    if torch.cuda.is_initialized():
        return "the GPU is in use after the imports"
    if (threads := len(list(Path("/proc/self/task").iterdir()))) > 1:
        return f"there are {threads} threads after the imports, and a fork has one"
    return None


def _begin(words: list[str], environment: Mapping[str, str]) -> int:
    """The process of a command."""
    return os.posix_spawnp(words[0], words, environment, setsigdef=_IGNORED)


def _exit_status(waited: int) -> int:
    status = os.waitstatus_to_exitcode(waited)
    return status if status >= 0 else 128 - status


def _signal(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _readable(descriptors: list[int]) -> int:
    """The first that has something to read, when there is one."""
    import select

    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return poll.poll()[0][0]


def _asked(client: socket.socket, offered: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a client asks for, with the descriptors of its streams; None where it goes again."""
    client.settimeout(_PATIENCE)
    descriptors: list[int] = []
    try:
        _send(client, offered)
        head, descriptors, _, _ = socket.recv_fds(client, _NUMBER.size, 3)
        head += _exactly(client, _NUMBER.size - len(head))
        request = json.loads(_exactly(client, _NUMBER.unpack(head)[0]))
    except (OSError, ValueError):
        for stream in descriptors:  # or whoever reads what the client wrote would wait for us
            os.close(stream)
        return None
    client.settimeout(None)
    return {**request, "descriptors": descriptors}


def _fork() -> int | None:
    """Fork; no signal is heard in between, nor in the fork until it has parted from the server.

    Returns:
        As `os.fork`; None where the system has no room for a process.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        child = os.fork()
    except OSError:
        child = None
    if child != 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return child


def _part_from(server: int, request: Mapping[str, Any], client: socket.socket) -> None:
    """Make this process, a fork, one that its client alone sends signals."""
    os.setsid()  # a Ctrl-C on the terminal comes from the client, once
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)  # what was meant for the server is forgotten
        if number not in request["ignored"]:
            signal.signal(number, signal.SIG_DFL)
    if not end_with_parent(signal.SIGTERM, server):
        os._exit(1)
    with client, suppress(OSError):  # who may have died meanwhile, as the server will see
        client.sendall(_NUMBER.pack(os.getpid()))
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])


def _become(request: Mapping[str, Any], added: Mapping[str, str]) -> None:
    """Make this process what the client would be when it begins with its command."""
    for number, descriptor in enumerate(request["descriptors"]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update({**added, **request["environment"]})
    sys.argv[:] = request["argv"]
    sys.path[:] = request["path"]
    has_input, has_output = request["streams"]
    sys.stdin = open(0, closefd=False) if has_input else None  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False) if has_output else None  # noqa: SIM115
    # Standard error stays the object that it is: it holds nothing back, and libraries keep it.
    import numpy
    import torch

    numpy.random.seed()  # the others seed themselves
    if os.environ.get(_THREADS) == "1":  # else it is as the server had it
        torch.set_num_threads(1)


def _run(become: Callable[[Mapping[str, Any]], None], asked: Mapping[str, Any]) -> NoReturn:
    """Be a command, and end as an interpreter does, but without taking all modules apart."""
    import atexit
    import threading

    from rzero_cli.cli import main  # which imports this

    status: Any = 0
    try:
        become(asked)
        main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        status = 120  # as Python's own
    finally:  # what the server has open is not for a fork to close
        os._exit(status & 0xFF if isinstance(status, int) else int(status is not None))


# ---------------------------------------------------------------- words on the socket


def _send(
    to: socket.socket, words: Mapping[str, Any], descriptors: list[int] | None = None
) -> None:
    text = json.dumps(words).encode()
    socket.send_fds(to, [_NUMBER.pack(len(text))], descriptors or [])
    to.sendall(text)


def _receive(of: socket.socket) -> dict[str, Any]:
    return dict(json.loads(_exactly(of, _receive_number(of))))


def _receive_number(of: socket.socket) -> int:
    return int(_NUMBER.unpack(_exactly(of, _NUMBER.size))[0])


def _exactly(of: socket.socket, size: int) -> bytes:
    """Raises: ConnectionError: the other one has gone."""
    text = b""
    while len(text) < size:
        if not (more := of.recv(min(size - len(text), 1 << 16))):
            raise ConnectionError
        text += more
    return text
