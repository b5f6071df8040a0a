"""Run `rzero ARGUMENTS` with MIB of address space beyond what the imports take.

    python tests/helpers/limit_address_space.py MIB ARGUMENTS...

Loading a small model needs little of it, so only a batch can exceed it.
"""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import transformers.models.llama.modeling_llama  # noqa: F401 - before there is a limit

from rzero_cli.cli import run


def main(mebibytes: int, arguments: list[str]) -> int:
    if "train-solver" in arguments:
        import rzero_cli.training.grpo
    else:
        import rzero_cli.engines.transformers  # noqa: F401
    found = re.search(r"^VmSize:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    limit = (int(found[1]) << 10) + (mebibytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
