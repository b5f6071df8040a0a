"""`vllm serve` on GPUs of its own, for the frozen Solver of a training (`--solver-gpus`).

The process that the user started runs the server until the stage ends; the ranks find it through
the environment. The server has the engine arguments of the vLLM engine, and its requests end where
that engine's answers end. It listens on 127.0.0.1 and requires a random key.

As a program, this module is that server: the command of vLLM's CPU build cannot start, since it
looks up the version of a package named vllm.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import IO, Any

from rzero_cli.data.provenance import adapter_base
from rzero_cli.engines import chat
from rzero_cli.engines.vllm import QUIET, reason_in
from rzero_cli.engines.vllm_arguments import engine_arguments
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.system.processes import ended_with_us

_URL = "RZERO_SOLVER_SERVER"
"""Environment variable with the server's URL, for the ranks."""
_PROGRAM = ["-m", __name__]
_HOST = "127.0.0.1"
_NUMBERS = re.compile(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*")
_SHUTDOWN = 30.0
"""Seconds that a server gets to end its processes before they are killed."""
_PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
"""`method.prompts.plain_text` as a chat template."""


def gpu_numbers(text: str) -> list[int]:
    """Return the GPUs of a list such as `4-7` or `0,2`; empty for `cpu`.

    Raises:
        UsageError: it is no such list, or has a GPU twice.
    """
    if text == "cpu":
        return []
    if not _NUMBERS.fullmatch(text):
        raise UsageError(f"--solver-gpus {text}: must be GPUs such as 4-7 or 0,2, or cpu")
    found = list[int]()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    if len({*found}) < len(found):
        raise UsageError(f"--solver-gpus {text}: has a GPU twice")
    if not found:
        raise UsageError(f"--solver-gpus {text}: the first GPU of a range must be the lowest")
    return found


def has_gpus() -> bool:
    """Return whether this machine has GPUs; CUDA is not initialised."""
    import torch

    return bool(torch.cuda.device_count())


def take_gpus(text: str, processes: int) -> list[str]:
    """Take GPUs away from this process, which must not have used CUDA yet, and from its children.

    Args:
        text: the GPUs, numbered from 0 as torch does: among the visible ones.
        processes: training processes on this machine, which need a GPU each.

    Returns:
        The GPUs as CUDA_VISIBLE_DEVICES names them; empty for `cpu`.

    Raises:
        UsageError: a GPU does not exist, or too few are left.
    """
    import torch

    numbers, count = gpu_numbers(text), torch.cuda.device_count()
    if not numbers:
        if count:
            raise UsageError("--solver-gpus cpu: this machine has GPUs: give some, such as 0")
        return []
    if count <= max(numbers):
        there = f"the last one is {count - 1}" if count else "this machine has none"
        raise UsageError(f"--solver-gpus {text}: there is no GPU {max(numbers)}: {there}")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(n) for n in range(count)] if visible is None else visible.split(",")[:count]
    left = [name for n, name in enumerate(names) if n not in numbers]
    if len(left) < processes:
        raise UsageError(
            f"--solver-gpus {text} leaves {len(left)} of {count} GPUs, and the training needs "
            f"{processes}: one per process"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(left)
    return [names[n] for n in numbers]


@contextmanager
def served(
    model: str,
    gpus: list[str],
    arguments: Mapping[str, Any],
    *,
    batch_size: int | None,
    seed: int,
    notify: Callable[[str], None],
) -> Iterator[None]:
    """Serve a model in the block.

    The environment gets the URL, and the key as OPENAI_API_KEY. All processes of the server end
    with the block, and if this process is killed.

    Args:
        model: checkpoint or adapter directory, or hub name; also its name on the server.
        gpus: as CUDA_VISIBLE_DEVICES names them; empty for the CPU.
        arguments, batch_size, seed: as for `vllm.VllmEngine`.
        notify: called with a line at the start, and if the server ends within the block.

    Raises:
        UsageError: vLLM has no such engine argument.
        RzeroError: the server ends before it answers; the message is one line.
    """
    notify(f"starting the Solver's server on {'GPUs ' * bool(gpus)}{','.join(gpus) or 'the CPU'}")
    port, key = _free_port(), secrets.token_hex(16)
    settings = {"given": dict(arguments), "batch_size": batch_size, "seed": seed}
    command = [sys.executable, *_PROGRAM, model, str(port), json.dumps(settings)]
    environment = QUIET | os.environ | {"VLLM_API_KEY": key}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    shown = os.environ.get("RZERO_DEBUG") or "--debug" in sys.argv
    with tempfile.TemporaryFile() as log, ended_with_us():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=2 if shown else log,
            stderr=None if shown else log,
            env=environment,
            start_new_session=True,  # a Ctrl-C in the terminal reaches it through us
        )
        try:
            while not _answers(port):
                if process.poll() is not None:
                    kind = UsageError if process.returncode == 2 else RzeroError
                    raise kind(f"the Solver's server cannot start with {model}: {_why(log)}")
                time.sleep(0.5)
            url = f"http://{_HOST}:{port}/v1"
            os.environ.update({_URL: url, "OPENAI_API_KEY": key, "no_proxy": _without_proxy()})
            try:
                yield
            finally:
                if process.poll() is not None:
                    notify(f"the Solver's server has ended: {_why(log)}")
        finally:
            _end(process)


def server_url() -> str:
    """Return the URL of the running server.

    Raises:
        UsageError: another launcher than rzero's has started this process.
    """
    if _URL not in os.environ:
        raise UsageError("--solver-gpus requires --processes or --accelerate, no other launcher")
    return os.environ[_URL]


def _free_port() -> int:
    import socket  # slow to import

    with closing(socket.socket()) as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    """Return whether the server accepts requests."""
    from http.client import HTTPConnection, HTTPException

    with closing(HTTPConnection(_HOST, port, timeout=10)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False


def _without_proxy() -> str:
    """Return the hosts that need no proxy, and the server's."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    return f"{given},{_HOST}" if given else _HOST


def _why(log: IO[bytes]) -> str:
    reason = reason_in(log)
    if reason is None:
        log.seek(0)
        lines = log.read().decode("utf-8", "replace").split("\n")
        reason = next((line for line in reversed(lines) if line.strip()), "no message")
    return f"{' '.join(reason.split())[:400]} (RZERO_DEBUG=1 shows its full output)"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_SHUTDOWN)
    with suppress(ProcessLookupError):  # if none is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def request_fields(model: str, stop: tuple[str, ...], *, own_code: bool) -> dict[str, Any]:
    """Return the fields of a request that end an answer where the vLLM engine ends it.

    A base model often declares an end-of-text token that it does not write after a turn of its chat
    template. The seed is the server's, for the reason that `engines/vllm.py` gives.
    """
    from rzero_cli.engines.transformers import load_tokenizer

    tokenizer = load_tokenizer(model, own_code=own_code)
    return {
        "stop": list(chat.stop_strings(tokenizer, stop)),
        # The server adds those that generation_config.json declares.
        "stop_token_ids": chat.end_tokens(tokenizer, None, stop),
        "add_special_tokens": not tokenizer.chat_template,
        "seed": None,
    }


def _serve(model: str, port: int, settings: Mapping[str, Any]) -> None:
    """Do what `vllm serve` does, in this process."""
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.entrypoints.openai.models.protocol import LoRAModulePath
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from rzero_cli.engines.transformers import load_tokenizer

    made_with = engine_arguments(model, **settings)
    name = {"served_model_name": [model]}
    if adapter_base(model):
        name = {"lora_modules": [LoRAModulePath(model, model)]}
    tokenizer = load_tokenizer(model, own_code=bool(made_with["trust_remote_code"]))
    given = {
        "host": _HOST,
        "port": port,
        "chat_template": None if tokenizer.chat_template else _PLAIN,
        # As in the engine: generation_config.json's end tokens, but not its temperature or top-k.
        "generation_config": "vllm",
        "uvicorn_log_level": "warning",
        "disable_uvicorn_access_log": True,
    }
    options = make_arg_parser(FlexibleArgumentParser()).parse_args([])
    vars(options).update(given | made_with | name)
    ServeSubcommand.cmd(options)


if __name__ == "__main__":
    try:
        _serve(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
    except RzeroError as error:
        print(error)
        sys.exit(error.exit_code)
    except Exception as error:  # vLLM's own report may lack the reason in one line
        traceback.print_exc()
        print(f"{type(error).__name__}: {' '.join(str(error).split())}")
        sys.exit(1)
