"""No text of a model, a record or a checkpoint is run as code: the source is searched for every
way to do so, and each remaining place has its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import rzero_cli

SOURCE = Path(rzero_cli.__file__).parent

# Modules that run code, or unpickle objects that can.
MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "joblib",
    "code",
    "codeop",
}
MODULES |= {"pty", "commands", "ptyprocess", "pexpect", "timeit", "runpy", "multiprocessing"}
# Calls by their last name, and by their full name.
NAMES = {"eval", "exec", "execfile", "compile", "__import__", "sympify", "parse_expr", "lambdify"}
WHOLE = {
    *("os.system", "os.popen", "os.startfile", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
    *("pandas.read_pickle", "pd.read_pickle", "importlib.import_module", "import_module"),
    *("torch.load", "torch.hub.load", "numpy.load", "np.load", "sympy.S", "sympy.Number", "S"),
    *("ctypes.CDLL", "builtins.eval", "builtins.exec"),
}
OS = ("os.exec", "os.spawn", "os.posix_spawn")
# Options that allow foreign code to run.
TRUE_IS_WRONG = {
    "shell",
    "trust_remote_code",
    "allow_pickle",
    "allow_code",
    "confirm_run_unsafe_code",
}
FALSE_IS_WRONG = {"weights_only", "use_safetensors"}

ALLOWED = {
    ("cli.py", "import_module"): "of the commands listed in COMMANDS, by no other name",
    ("__init__.py", "import_module"): "of the API's names, from a table in the same file",
    ("system/processes.py", "ctypes.CDLL"): "of the C library, for prctl",
    ("system/pool.py", "multiprocessing"): "pickles pass only between processes forked here, by a "
    "private pipe; the texts in them stay texts",
    ("system/pool.py", "multiprocessing.connection"): "for the type of that pipe",
    (
        "system/processes.py",
        "multiprocessing",
    ): "a pickle passes only from a process forked here, by a private pipe",
    ("engines/vllm.py", "multiprocessing"): "starts Python's own tracker early",
    ("engines/transformers.py", "trust_remote_code=own_code"): "false unless vLLM gets it "
    "by --engine-arg trust_remote_code=true",
}


def findings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            yield from (name for name in names if name.split(".")[0] in MODULES)
            yield from (alias.name for alias in node.names if alias.name in NAMES)
        elif isinstance(node, ast.Call):
            whole = ast.unparse(node.func)
            # `re.compile` builds a pattern, and `model.eval()` sets evaluation mode.
            own = whole in ("re.compile",) or (whole.endswith(".eval") and not node.args)
            if not own and (whole.rpartition(".")[2] in NAMES or whole in WHOLE):
                yield whole
            if whole.startswith(OS):
                yield whole
            for keyword in node.keywords:
                value = getattr(keyword.value, "value", None)
                wrong = keyword.arg in TRUE_IS_WRONG and value is not False
                if wrong or (keyword.arg in FALSE_IS_WRONG and value is not True):
                    yield f"{keyword.arg}={ast.unparse(keyword.value)}"
        elif isinstance(node, ast.Name) and node.id in ("eval", "exec", "__import__"):
            yield node.id  # also if it is passed on


def found_in(path: Path) -> set[tuple[str, str]]:
    name = path.relative_to(SOURCE).as_posix()
    return {(name, found) for found in findings(ast.parse(path.read_text("utf-8")))}


def test_source_neither_evaluates_unpickles_nor_starts_a_shell() -> None:
    paths = sorted(SOURCE.rglob("*.py"))
    assert len(paths) > 80
    found = set().union(*map(found_in, paths))
    assert found - ALLOWED.keys() == set()
    assert ALLOWED.keys() - found == set()  # a reason without its place is outdated


def test_search_for_code_execution_finds_every_kind() -> None:
    lines = [
        *("eval(text)", "exec(text)", "f = eval", "builtins.exec(t)", "compile(t, '', 'exec')"),
        *("import pickle", "from pickle import loads", "import marshal", "from shelve import open"),
        *("os.system(t)", "os.popen(t)", "os.execvp(a, b)", "os.posix_spawnp(a, b, c)"),
        *("subprocess.run(t, shell=True)", "subprocess.Popen(t, shell=flag)", "yaml.load(t)"),
        *("torch.load(p)", "torch.load(p, weights_only=True)", "np.load(p, allow_pickle=True)"),
        *("sympy.sympify(t)", "from sympy import sympify", "parse_expr(t)", "sympy.Number(t)"),
        *("load(p, trust_remote_code=True)", "load(p, use_safetensors=False)", "__import__(t)"),
    ]
    for line in lines:
        assert list(findings(ast.parse(line))), line
    for line in ("re.compile(t)", "model.eval()", "yaml.safe_load(t)", "run(t, shell=False)"):
        assert not list(findings(ast.parse(line))), line
