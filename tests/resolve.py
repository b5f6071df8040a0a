"""Check that every requirement resolves together, vLLM for CUDA included; nothing is installed.

    make resolve        needs the network, takes a few minutes

pip resolves for the Python that runs this, as `pip install` and `make setup` would. uv resolves for
the other versions of Python: pip evaluates environment markers only for its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("train", "eval", "report", "openai", "vllm")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PINS = ROOT / "constraints.txt"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-emit-index-url"]
        uv += ["pyproject.toml", *(f"--extra={extra}" for extra in EXTRAS)]
        uv += ["--output-file", str(Path(folder) / "resolved.txt")]
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        commands = {
            f"pip, Python {sys.version_info.major}.{sys.version_info.minor}": [
                *pip,
                f".[{','.join(EXTRAS)}]",
            ]
        }
        commands |= {f"uv, Python {v}": [*uv, "--python-version", v] for v in PYTHONS}
        failed = False
        for name, command in commands.items():
            for pins in ([], ["--constraint", str(PINS)]):
                done = subprocess.run([*command, *pins], cwd=ROOT, capture_output=True, text=True)
                what = f"{name}, {'constraints.txt' if pins else 'no constraints'}"
                print(f"{what}: {'resolves' if done.returncode == 0 else 'FAILS'}", flush=True)
                if done.returncode:
                    failed = True
                    print(done.stderr, file=sys.stderr, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
