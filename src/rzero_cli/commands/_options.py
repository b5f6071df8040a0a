"""The options that commands share, each declared once.

A default is never written here: an option left out takes its value from the environment,
`rzero.toml` or the preset (`options/presets.py`), which the two eager options below install as the
command's defaults before the others are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args
from urllib.parse import SplitResult, urlsplit

import typer

from rzero_cli.answers import EXTRACTIONS, Conventions
from rzero_cli.answers.conventions import Percent, Units
from rzero_cli.answers.rules import Rules
from rzero_cli.commands._run import say
from rzero_cli.data.journal import check_part
from rzero_cli.data.locks import check_free
from rzero_cli.data.whole_files import check_new_directory, part_of
from rzero_cli.engines import ENGINES, check_engine
from rzero_cli.errors import UsageError
from rzero_cli.method.rewards import BLEU_TOKENIZERS, RULES
from rzero_cli.options import presets as settings
from rzero_cli.system.processes import rank
from rzero_cli.system.progress import check_log_file
from rzero_cli.system.secrets import key_named_in

REPORTERS = ("tensorboard", "trackio", "wandb")

PRESET: Any = None
"""The declared default of an option whose value comes from the preset."""

INPUT, MODEL, VLLM, DRAWING, ANSWERS, GRPO, REWARD, OUTPUT = (
    "Input",
    "Model and engine",
    "vLLM",
    "Drawing completions",
    "Reading and comparing answers",
    "GRPO",
    "Reward",
    "Output and settings",
)


def _install_defaults(ctx: typer.Context, value: str | None) -> str | None:
    """Set the command's defaults from the preset and the configuration, known in either order."""
    chosen = ctx.params
    config = _read_config(chosen.get("config"))
    preset = str(chosen.get("preset") or config.get("preset") or settings.BASE_PRESET)
    _check_keys(ctx, config)
    values = settings.merge([*settings.layers(preset), config], ctx.command.name or "")
    # As text: every value then goes through the same check as one that was typed.
    several = {option.name for option in ctx.command.params if getattr(option, "multiple", False)}
    ctx.default_map = {k: _as_typed(v, several=k in several) for k, v in values.items()}
    ctx.default_map["preset"] = preset
    return value


def _as_typed(value: Any, *, several: bool) -> Any:
    if several:
        return [str(item) for item in (value if isinstance(value, list) else [value])]
    return value if isinstance(value, bool) else str(value)


def _preset_given(ctx: typer.Context, value: str | None) -> str | None:
    ctx.params["preset"] = value
    _install_defaults(ctx, value)
    return value or (str(ctx.default_map["preset"]) if ctx.default_map else None)


def _config_given(ctx: typer.Context, value: str | None) -> str | None:
    ctx.params["config"] = value
    return _install_defaults(ctx, value)


def _read_config(path: str | None) -> dict[str, Any]:
    if path is None and not Path(settings.CONFIG_NAME).is_file():
        return {}
    return settings.load_config(Path(path or settings.CONFIG_NAME))


def values_of(ctx: typer.Context, command: str) -> dict[str, Any]:
    """What the preset and the configuration of this command give the options of another one."""
    config = _read_config(ctx.params["config"])
    return settings.merge([*settings.layers(ctx.params["preset"]), config], command)


def chosen(ctx: typer.Context, name: str) -> bool:
    """Whether an option was given: typed, or set in the environment or in rzero.toml."""
    if str(ctx.get_parameter_source(name)).endswith(("COMMANDLINE", "ENVIRONMENT")):
        return True
    config = _read_config(ctx.params.get("config"))
    return name in config or name in config.get(ctx.command.name or "", {})


def _check_keys(ctx: typer.Context, config: dict[str, Any]) -> None:
    """Refuse what is a slip of the pen: a key or a table that nothing reads. Raises UsageError."""
    root: Any = ctx.find_root().command
    where = ctx.params.get("config") or settings.CONFIG_NAME
    if name := key_named_in(config):
        raise UsageError(f"{where}: {name}: {_TO_THE_ENVIRONMENT}")
    mine = {str(option.name) for option in ctx.command.params}
    for key, value in config.items():
        if not isinstance(value, dict):
            if key not in mine | _shared_names():
                raise UsageError(
                    f"{where}: no option {key!r} that commands share; one that "
                    "belongs to a single command goes into its [table]"
                )
        elif "preset" in value:
            raise UsageError(
                f"{where}: [{key}] preset: a preset holds for all commands, at the top"
            )
        elif key not in root.commands:
            raise UsageError(f"{where}: [{key}] is no command")
        elif key == ctx.command.name and (unknown := sorted(set(value) - mine)):
            raise UsageError(f"{where}: [{key}] has no option {unknown[0]!r}")


def _shared_names() -> set[str]:
    """The options of this module, and whatever a preset gives a value."""
    declared = (m for kind in globals().values() for m in getattr(kind, "__metadata__", ()))
    flags = {flag for option in declared for flag in (option.param_decls or ())}
    return {flag.lstrip("-").replace("-", "_") for flag in flags} | settings.preset_keys()


def from_preset(
    command: str, *flags: str, help: str, panel: str, unset: str = "off", **kwargs: Any
) -> Any:
    """An option whose default is the preset's; `--help` shows the value of `paper`.

    `unset` is what it shows for an option that no preset gives a value.
    """
    name = flags[-1].lstrip("-").replace("-", "_")
    value = settings.preset_value(command, name)
    shown = unset if value is None else str(value)
    return typer.Option(*flags, help=help, rich_help_panel=panel, show_default=shown, **kwargs)


def _plain(*flags: str, help: str, panel: str = OUTPUT, **kwargs: Any) -> Any:
    return typer.Option(*flags, help=help, rich_help_panel=panel, show_default=False, **kwargs)


def _check_log_file(value: str | None) -> str | None:
    """Refuse what no line can be appended to, before any work. Raises UsageError."""
    if value == "-":
        raise UsageError("--log-file -: standard output is for records: give a file")
    if value and (reason := check_log_file(Path(value))):
        raise UsageError(f"--log-file {value}: {reason}")
    return value or None


Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE", help="JSONL files, read one after the other; none or - is stdin."
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        envvar="RZERO_PRESET",
        is_eager=True,
        callback=_preset_given,
        help=f"Defaults: {', '.join(settings.preset_names())}; or several with commas.",
        show_default=settings.BASE_PRESET,
        rich_help_panel=OUTPUT,
    ),
]
Config = Annotated[
    str | None,
    _plain(
        "--config",
        help=f"Read options from this TOML file instead of ./{settings.CONFIG_NAME}.",
        envvar="RZERO_CONFIG",
        is_eager=True,
        callback=_config_given,
        metavar="FILE",
    ),
]
Seed = Annotated[
    int,
    from_preset(
        "sample", "--seed", help="Seed of everything drawn.", panel=OUTPUT, envvar="RZERO_SEED"
    ),
]
Limit = Annotated[
    int | None, _plain("--limit", help="Read only this many records.", panel=INPUT, min=1)
]
Strict = Annotated[
    bool,
    _plain("--strict", help="Refuse a record that has a key twice.", panel=INPUT),
]
OnError = Annotated[
    str,
    _plain(
        "--on-error",
        help="At a bad line stop, or skip it: it goes into the file of --rejects.",
        panel=INPUT,
        metavar="stop|skip",
    ),
]
Rejects = Annotated[
    str | None,
    _plain(
        "--rejects",
        help="Skipped lines, each with what is wrong with it. Default: OUTPUT.rejects.jsonl.",
        panel=INPUT,
        metavar="FILE",
    ),
]
QuestionKey = Annotated[
    str, _plain("--question-key", help="Key that holds the question.", panel=INPUT)
]
GroupKey = Annotated[
    str, _plain("--group-key", help="Key that holds the group, where there is one.", panel=INPUT)
]
Json = Annotated[bool, _plain("--json", help="Print JSON, for machines.")]
Model = Annotated[
    str | None,
    _plain(
        "--model",
        help="Checkpoint directory or hub name of the model.",
        panel=MODEL,
        envvar="RZERO_MODEL",
        metavar="MODEL",
    ),
]
Challenger = Annotated[
    str | None,
    _plain(
        "--challenger",
        help="Checkpoint directory or hub name of the Challenger.",
        panel=MODEL,
        envvar="RZERO_CHALLENGER",
        metavar="MODEL",
    ),
]
Solver = Annotated[
    str | None,
    _plain(
        "--solver",
        help="Checkpoint directory or hub name of the Solver.",
        panel=MODEL,
        envvar="RZERO_SOLVER",
        metavar="MODEL",
    ),
]
Engine = Annotated[
    str,
    _plain(
        "--engine",
        help=f"{', '.join(ENGINES[:-1])} or {ENGINES[-1]}; auto is a server where one is named, "
        "else vllm where it is installed and a GPU is there, else transformers.",
        panel=MODEL,
        envvar="RZERO_ENGINE",
    ),
]
Endpoint = Annotated[
    list[str] | None,
    _plain(
        "--endpoint",
        help="Base URL of an OpenAI-compatible server; several share the work.",
        panel=MODEL,
        envvar="RZERO_ENDPOINT",
        metavar="URL",
    ),
]
SolverEndpoint = Annotated[
    list[str] | None,
    _plain(
        "--solver-endpoint",
        help="Base URL of a server with the frozen Solver; several share the work.",
        panel=MODEL,
        envvar="RZERO_ENDPOINT",
        metavar="URL",
    ),
]
BatchSize = Annotated[
    int | None,
    from_preset(
        "sample",
        "--batch-size",
        help="Completions generated at a time; at each endpoint of a server.",
        panel=MODEL,
        unset="64 (transformers), 256 (a server), vLLM's own",
        min=1,
    ),
]
TensorParallelSize = Annotated[
    int | None, _plain("--tensor-parallel-size", help="GPUs a model is spread over.", panel=VLLM)
]
DataParallelSize = Annotated[
    int | None,
    _plain("--data-parallel-size", help="Copies of the model that share the work.", panel=VLLM),
]
GpuMemoryUtilization = Annotated[
    float | None,
    _plain("--gpu-memory-utilization", help="Share of a GPU's memory to take.", panel=VLLM),
]
MaxModelLen = Annotated[
    int | None,
    _plain("--max-model-len", help="Longest prompt and completion together.", panel=VLLM, min=1),
]
Quantization = Annotated[
    str | None,
    _plain("--quantization", help="How weights are quantised, as vLLM names it.", panel=VLLM),
]
Dtype = Annotated[
    str | None,
    _plain(
        "--dtype",
        help="Precision of the weights; by default float32 on a CPU, else the checkpoint's own.",
        panel=MODEL,
    ),
]
EngineArg = Annotated[
    list[str] | None,
    _plain(
        "--engine-arg",
        help="Any other argument of vLLM's engine, or field of a request to a server (null leaves "
        "one of ours out). May be repeated.",
        panel=MODEL,
        metavar="KEY=VALUE",
    ),
]
ChatTemplateArg = Annotated[
    list[str] | None,
    _plain(
        "--chat-template-arg",
        help="Passed to the model's chat template, e.g. enable_thinking=false. May be repeated.",
        panel=MODEL,
        metavar="KEY=VALUE",
    ),
]
Stop = Annotated[
    list[str] | None,
    _plain(
        "--stop",
        help="End a completion where it writes this. May be repeated.",
        panel=DRAWING,
        metavar="TEXT",
    ),
]
SolverStop = Annotated[
    list[str] | None,
    _plain(
        "--solver-stop",
        help="... end an answer where it writes this. May be repeated.",
        panel=REWARD,
        metavar="TEXT",
    ),
]
Shard = Annotated[
    str | None,
    _plain(
        "--shard",
        help="Do only the I-th of N parts of the work, I from 0 to N-1; `cat` puts them together.",
        panel=INPUT,
        metavar="I/N",
    ),
]
PromptFile = Annotated[
    str | None,
    _plain(
        "--prompt-file",
        help="Prompt to use instead of the built-in one: text, or JSON chat messages.",
        panel=DRAWING,
        metavar="FILE",
    ),
]
SolverPromptFile = Annotated[
    str | None,
    _plain(
        "--solver-prompt-file",
        help="The same for the Solver's prompt.",
        panel=DRAWING,
        metavar="FILE",
    ),
]
RequireBoxed = Annotated[
    bool,
    _plain(
        "--require-boxed",
        help="A question without the Challenger's own boxed answer is malformed.",
        panel=REWARD,
    ),
]
Workers = Annotated[
    int | None,
    _plain("--workers", help="Processes. Default: one for each core.", panel=OUTPUT, min=1),
]
AnswerKey = Annotated[
    str, _plain("--answer-key", help="Key that holds the pseudo-label.", panel=INPUT)
]
ReferenceKey = Annotated[
    str, _plain("--reference-key", help="Key that holds the true answer.", panel=INPUT)
]
OracleData = Annotated[
    str | None,
    _plain(
        "--oracle-data",
        help="JSONL with the true answers (`question`, `reference`), found by exact question.",
        panel=INPUT,
        metavar="FILE",
    ),
]
Out = Annotated[
    str | None,
    _plain("-o", "--output", help="Write here instead of stdout.", metavar="FILE"),
]
OutFile = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        help="Write the results here.",
        metavar="FILE",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
OutDir = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        help="Checkpoint directory to make; it appears whole or not at all.",
        metavar="DIR",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
Resume = Annotated[
    bool, _plain("--resume", help="Continue an interrupted run; nothing to do if it is done.")
]
Force = Annotated[bool, _plain("--force", help="Replace the output if it exists.")]
LogFile = Annotated[
    str | None,
    _plain(
        "--log-file",
        help="Append the figures of the stage here, as JSONL, while it works.",
        envvar="RZERO_LOG_FILE",
        metavar="FILE",
        callback=_check_log_file,
    ),
]
ReportTo = Annotated[
    list[str] | None,
    _plain(
        "--report-to",
        help=f"Send the figures of each update to {', '.join(REPORTERS)}, too. May be repeated.",
        metavar="NAME",
    ),
]
Quiet = Annotated[bool, _plain("--quiet", "-q", help="Print errors only.")]
DryRun = Annotated[
    bool,
    _plain(
        "--dry-run",
        help="Print the plan and an estimate of memory, and stop; with --json for machines.",
    ),
]


def drawing(command: str) -> tuple[Any, Any, Any, Any]:
    """--temperature, --top-p, --top-k and --max-tokens with `command`'s defaults."""
    return (
        from_preset(command, "--temperature", help="0 is greedy.", panel=DRAWING, min=0.0),
        from_preset(command, "--top-p", help="Nucleus; 1 is off.", panel=DRAWING, min=0.0, max=1.0),
        from_preset(command, "--top-k", help="Most likely tokens; 0 is off.", panel=DRAWING, min=0),
        from_preset(command, "--max-tokens", help="Longest completion.", panel=DRAWING, min=1),
    )


def reward(command: str) -> tuple[Any, Any, Any, Any]:
    """--rule, --bleu, --tau-bleu and --lambda-rep with `command`'s defaults."""
    return (
        from_preset(command, "--rule", help=f"Formula: {' or '.join(RULES)}.", panel=REWARD),
        *distance(command),
        from_preset(
            command,
            "--lambda-rep",
            help="Weight of the repetition penalty; 0 leaves it out.",
            panel=REWARD,
            min=0.0,
        ),
    )


def distance(command: str, panel: str = REWARD) -> tuple[Any, Any]:
    """--bleu and --tau-bleu with `command`'s defaults."""
    return (
        from_preset(
            command,
            "--bleu",
            help=f"Tokenizer of the distance: {', '.join(BLEU_TOKENIZERS)}; or nltk.",
            panel=panel,
        ),
        from_preset(
            command,
            "--tau-bleu",
            help="Distance at which clusters are cut.",
            panel=panel,
            min=0.0,
            max=1.0,
        ),
    )


def answers(command: str) -> tuple[Any, Any, Any]:
    """--extract, --units and --percent with `command`'s defaults."""
    return (
        from_preset(
            command,
            "--extract",
            help=f"Where a completion's answer is, tried in turn: {', '.join(EXTRACTIONS)}.",
            panel=ANSWERS,
        ),
        from_preset(
            command,
            "--units",
            help="drop: `60 mph` is 60; keep: a unit is part of the answer.",
            panel=ANSWERS,
        ),
        from_preset(
            command, "--percent", help="drop: `50%` is 50; fraction: it is 1/2.", panel=ANSWERS
        ),
    )


def vote_rule(command: str) -> Any:
    """--rule of a vote, with `command`'s default."""
    return from_preset(
        command,
        "--rule",
        help="p_hat divides by m (paper), or by m less the empty boxes (official).",
        panel=ANSWERS,
    )


def answer_rules(options: Mapping[str, Any], rule: str = "paper") -> Rules:
    """How answers are read and compared, from a command's options. Raises UsageError.

    `rule` is the vote's; that of `score` and `train-solver` is the reward's.
    """
    extract = tuple(name.strip() for name in options["extract"].split(","))
    for name in extract:
        if name not in EXTRACTIONS:
            raise UsageError(f"--extract {name}: unknown; known: {', '.join(EXTRACTIONS)}")
    for option, known in (("units", get_args(Units)), ("percent", get_args(Percent))):
        if options[option] not in known:
            raise UsageError(f"--{option} {options[option]}: must be {' or '.join(known)}")
    check_rule(rule)
    return Rules(extract, Conventions(options["units"], options["percent"]), rule)


def engine_options(ctx: typer.Context) -> dict[str, Any]:
    """What `engines.open_engine` is to be given, from a command's options.

    A preset's option that is not the engine's is left out; one that was typed is refused.

    Raises:
        UsageError: an engine or endpoint cannot be, or an option is not one of the engine's.
    """
    params = ctx.params

    def typed(name: str) -> bool:
        return str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")

    where = "endpoint" if "endpoint" in params else "solver_endpoint"
    engine = params["engine"]
    # An engine that was typed wins over a server that the environment names.
    named = params[where] if engine in ("auto", "openai") or typed(where) else None
    option = "--" + where.replace("_", "-")
    endpoints = [_url(text, option) for text in named or ()]
    name = check_engine(engine, endpoints)
    own = {key: params[key] for key in _VLLM_OPTIONS if params[key] is not None}
    dtype = {"dtype": params["dtype"]} if params["dtype"] else {}
    given = key_values("--engine-arg", params["engine_arg"])
    if name == "auto" and (given or any(map(typed, own))):
        name = check_engine("vllm")
    foreign = {"openai": own | dtype, "transformers": own | given}.get(name, {})
    for key in foreign:
        if key in given or typed(key):
            option = f"--engine-arg {key}" if key in given else "--" + key.replace("_", "-")
            raise UsageError(f"{option} goes with --engine vllm, not {name}")
    if name == "openai":
        _check_fields(given)
    arguments = {k: v for k, v in (own | dtype | given).items() if k not in foreign}
    return _to_open(ctx, name, endpoints, arguments)


def server_options(ctx: typer.Context, option: str, urls: Sequence[str]) -> dict[str, Any]:
    """What `engines.open_engine` is to be given for the servers of one option of a command.

    Raises:
        UsageError: an endpoint cannot be, or the packages are not installed.
    """
    given = key_values("--engine-arg", ctx.params["engine_arg"])
    _check_fields(given)
    endpoints = [_url(text, option) for text in urls]
    return _to_open(ctx, check_engine("openai", endpoints), endpoints, given)


def _to_open(
    ctx: typer.Context, name: str, endpoints: list[str], arguments: dict[str, Any]
) -> dict[str, Any]:
    params = ctx.params
    return {
        "name": name,
        "endpoints": endpoints,
        "batch_size": params["batch_size"],
        "template_args": chat_template_args(params),
        "arguments": arguments,
        "notify": lambda message: say(f"{ctx.command.name}: {message}", quiet=params["quiet"]),
    }


def _check_fields(given: Mapping[str, Any]) -> None:
    """Refuse fields of a request that are ours to fill. Raises UsageError."""
    for name in given:
        if name in ("n", "stream", "model", "messages", "prompt"):
            raise UsageError(f"--engine-arg {name}: is not for a request of rzero's to change")


_VLLM_OPTIONS = (
    "tensor_parallel_size",
    "data_parallel_size",
    "gpu_memory_utilization",
    "max_model_len",
    "quantization",
)


def stops(texts: Sequence[str] | None) -> tuple[str, ...]:
    """What --stop says. Raises UsageError for an empty one, which would end everything at once."""
    if "" in (texts or ()):
        raise UsageError("--stop: must not be empty")
    return tuple(texts or ())


def chat_template_args(params: Mapping[str, Any]) -> dict[str, Any]:
    """What --chat-template-arg says. Raises UsageError."""
    found = key_values("--chat-template-arg", params["chat_template_arg"])
    for name in _TEMPLATES_OWN & found.keys():
        raise UsageError(f"--chat-template-arg {name}: is not the template's, but rzero's to say")
    return found


# What `apply_chat_template` takes itself.
_TEMPLATES_OWN = {
    *("conversation", "messages", "tools", "documents", "chat_template", "add_generation_prompt"),
    *("continue_final_message", "tokenize", "padding", "truncation", "max_length"),
    *("return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"),
}


def key_values(option: str, texts: Sequence[str] | None) -> dict[str, Any]:
    """KEY=VALUE options as a dictionary; a value that is JSON is what it says, else text.

    Raises:
        UsageError: there is no `=`, or a key of a service, which `ps` and records would show.
    """
    found = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"{option} {text}: must be KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    if name := key_named_in(found):
        raise UsageError(f"{option} {name}: {_TO_THE_ENVIRONMENT}")
    return found


_TO_THE_ENVIRONMENT = "a key belongs into the environment (OPENAI_API_KEY, HF_TOKEN)"


def _url(text: str, option: str) -> str:
    """The base URL of a server; one without a path gets /v1. Raises UsageError."""
    parts = check_url(text, option)
    return text if parts.path.strip("/") else text.rstrip("/") + "/v1"


def check_url(text: str, option: str) -> SplitResult:
    """The parts of a server's URL, which holds no key. Raises UsageError."""
    if any(sign in text for sign in "@?#"):
        raise UsageError(f"{option}: a key belongs into OPENAI_API_KEY, not into the URL")
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of the port, or of an address in brackets
        good = False
    if not good:
        raise UsageError(f"{option} {text}: not a URL such as http://127.0.0.1:8000/v1")
    return parts


def solver_drawing(name: str, help: str, **kwargs: Any) -> Any:
    """An option of `challenge` for how the frozen Solver answers."""
    return from_preset("challenge", f"--solver-{name}", help=help, panel=REWARD, **kwargs)


def check_rule(rule: str) -> None:
    """Raise UsageError unless `rule` is a known reward formula."""
    if rule not in RULES:
        raise UsageError(f"--rule {rule}: unknown; known: {', '.join(RULES)}")


def check_output_dir(ctx: typer.Context) -> None:
    """Refuse an output that exists, before anything heavy is loaded. Raises UsageError."""
    options = ctx.params
    target, resume, force = Path(options["output"]), options["resume"], options["force"]
    check_new_directory(target, force=force or resume)
    if not rank():
        check_free(target)
    check_part(part_of(target), force=force, resume=resume)
