"""Describe the public interface as JSON, and write it to the files next to this script.

    python tests/goldens/write.py

`commands.json` has every command with its options, `api.json` the names in `rzero_cli.__all__`,
`records.json` the keys of the records that the stages leave. The last comes from real runs of
`small_pipeline.py` and takes about two minutes. `tests/test_goldens.py` compares all three with
the code.

Nothing here depends on how options are declared or where a module lies: the options are read from
the click commands, signatures are written without the modules of their types.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

GOLDENS = Path(__file__).parent
TESTS = GOLDENS.parent
REWRITE = "python tests/goldens/write.py"


def golden(name: str) -> Path:
    return GOLDENS / f"{name}.json"


def as_text(described: Any) -> str:
    """JSON with one value a line, so that a diff names what changed."""
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


# ---------------------------------------------------------------- commands


def commands() -> dict[str, Any]:
    """Every command by name: its panel, help and parameters in the order of `--help`.

    `rzero` holds the options that come before the command. A field that does not apply is left out.
    """
    import typer

    from rzero_cli.cli import build

    root: Any = typer.main.get_command(build())
    return {"rzero": _command(root)} | {
        name: _command(command) for name, command in sorted(root.commands.items())
    }


def _command(command: Any) -> dict[str, Any]:
    return _given(
        panel=_text(getattr(command, "rich_help_panel", None)),
        hidden=command.hidden,
        help=command.help,
    ) | {"parameters": [_parameter(parameter) for parameter in command.params]}


def _parameter(parameter: Any) -> dict[str, Any]:
    kind = parameter.type
    option = parameter.param_type_name == "option"
    # A text in place of the default belongs to an option whose value a preset or the stage gives.
    told = isinstance(parameter.show_default, str)
    return {"name": parameter.name} | _given(
        flags=parameter.opts if option else None,
        off=parameter.secondary_opts,
        type=kind.name,
        min=getattr(kind, "min", None),
        max=getattr(kind, "max", None),
        choices=list(getattr(kind, "choices", ())),
        flag=option and parameter.is_flag,
        multiple=option and parameter.multiple,
        nargs=None if parameter.nargs == 1 else parameter.nargs,
        required=parameter.required,
        environment=parameter.envvar,
        panel=_text(getattr(parameter, "rich_help_panel", None)),
        metavar=parameter.metavar,
        default=None if told else _value(parameter.default),
        shown=_shown(parameter),
        hidden=getattr(parameter, "hidden", False),
        help=getattr(parameter, "help", None),
    )


def _shown(parameter: Any) -> str | None:
    """The default that `--help` shows."""
    if isinstance(parameter.show_default, str):
        return str(parameter.show_default)
    if not parameter.show_default or parameter.default in (None, False):
        return None
    return str(_value(parameter.default))


def _value(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_value(one) for one in value] or None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _text(value: Any) -> str | None:
    """Typer marks what was not given by an object of its own."""
    return value if isinstance(value, str) else None


def _given(**fields: Any) -> dict[str, Any]:
    """The fields that say something. A default of 0 or an empty text does."""
    return {
        name: value
        for name, value in fields.items()
        if value is not None and value is not False and value != []
    }


# ---------------------------------------------------------------- names for scripts


def api() -> dict[str, Any]:
    """Every name in `rzero_cli.__all__` with its signature; a class with its public members."""
    import rzero_cli

    return {name: _described(getattr(rzero_cli, name)) for name in sorted(rzero_cli.__all__)}


def _described(value: Any) -> Any:
    if inspect.isclass(value):
        return {"class": _signature(value)} | dict(sorted(_members(value)))
    return _signature(value) if callable(value) else value


def _members(kind: type) -> Iterator[tuple[str, str]]:
    """The public fields, properties and methods that are not Python's own."""
    found: dict[str, Any] = {}
    for one in reversed(kind.__mro__):
        if one.__module__ not in ("builtins", "typing", "abc"):
            found |= {n: v for n, v in vars(one).items() if isinstance(v, _DESCRIBED)}
            found |= vars(one).get("__annotations__", {})
    for name, value in found.items():
        if not name.startswith("_"):
            yield name, _member(value)


_DESCRIBED = (FunctionType, property, staticmethod, classmethod)


def _member(value: Any) -> str:
    if isinstance(value, property):
        result = inspect.signature(value.fget).return_annotation  # type: ignore[arg-type]
        return f"property -> {_annotation(result)}"
    if isinstance(value, (staticmethod, classmethod)):
        return f"{type(value).__name__} {_signature(value.__func__)}"
    return _signature(value) if inspect.isfunction(value) else _annotation(value)


class _As:
    """An annotation that `inspect` writes as it is, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _signature(value: Any) -> str:
    signature = inspect.signature(value)
    parameters = [
        parameter
        if parameter.annotation is inspect.Parameter.empty
        else parameter.replace(annotation=_As(_annotation(parameter.annotation)))
        for parameter in signature.parameters.values()
    ]
    result = signature.return_annotation
    if result is not inspect.Signature.empty:
        result = _As(_annotation(result))
    text = str(signature.replace(parameters=parameters, return_annotation=result))
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _annotation(annotation: Any) -> str:
    """A type without its module: moving a class changes nothing for who uses it."""
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__name__
    text = annotation if isinstance(annotation, str) else repr(annotation)
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", text)


# ---------------------------------------------------------------- records


def records(folder: Path) -> dict[str, Any]:
    """By stage, the keys in its records below `folder`: at the top, and of the settings.

    Records are `rzero.json`, `NAME.meta.json`, and results that hold theirs under `origin`. Where
    options change the keys, the stage has several entries, each with the files it holds for.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.rglob("*.json")):
        value = json.loads(path.read_text("utf-8"))
        if not isinstance(value, dict):
            continue
        record = value.get("origin", value)
        if isinstance(record, dict) and {"stage", "settings"} <= record.keys():
            own = {} if value is record else {"results": sorted(value)}
            keys = {**own, "keys": sorted(record), "settings": sorted(record["settings"])}
            entries = found.setdefault(record["stage"], [])
            same = next((e for e in entries if e == {"files": e["files"], **keys}), None)
            if same is None:
                entries.append(same := {"files": [], **keys})
            same["files"].append(str(path.relative_to(folder)))
    return dict(sorted(found.items()))


def main() -> None:
    sys.path.insert(0, str(TESTS))
    from small_pipeline import BASE, STAGES, Process, run_steps

    golden("commands").write_text(as_text(commands()), "utf-8")
    golden("api").write_text(as_text(api()), "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        run_steps((BASE, *STAGES), work, Process(TESTS.parent / "src", Path(folder)))
        golden("records").write_text(as_text(records(work)), "utf-8")


if __name__ == "__main__":
    main()
