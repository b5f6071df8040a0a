"""The report of `rzero preflight` as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rzero_cli.system.progress import duration
from rzero_cli.system.terminal import plain


def show(report: Mapping[str, Any]) -> None:
    """Print the report on standard output."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200

    def say(text: str) -> None:
        console.print(plain(text))

    for line in _versions(report["versions"]):
        say(line)
    say(_machine(report["machine"]))
    for stage, memory in report["memory"].items():
        say("")
        say(f"{stage}: {memory['layout']}")
        parts = ((name, f"{gib:.2f}") for name, gib in memory["gib"].items() if gib >= 5e-3)
        console.print(_table(("", "GiB"), parts))
        verdict = "fits in" if memory["fits"] else "does not fit in"
        say(f"{verdict} {memory['usable']:.1f} GiB")
    if "stages" not in report:
        return
    say("")
    rows = (_stage(stage, found) for stage, found in report["stages"].items())
    head = ("measured", "fixed", "each text or step", "mean tokens", "tokens per second")
    console.print(_table(head, rows))
    if not any(found.get("weights_sent_to_vllm") for found in report["stages"].values()):
        say("weights sent to vLLM: not applicable, transformers generates the rollouts")
    projection = report["projection"]
    iterations = projection["iterations"]
    say("")
    head = (f"{iterations} iteration{'s' * (iterations > 1)}", "times", "each", "all", "at most")
    console.print(_table(head, _projected(projection)))
    say(
        "Measured on the models as they are: lengths, and how many completions have a question, "
        "change in training. At most: every text reaches its token limit."
    )


def _versions(packages: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    within = [f"{p['name']} {p['installed']}" for p in packages if p["fits"]]
    outside = [
        f"{p['name']} {p['installed']} ({p['bounds']})" for p in packages if p["fits"] is False
    ]
    missing = [f"{p['name']} ({p['extra']})" for p in packages if p["installed"] is None]
    none = "none known, since rzero-cli is not installed"
    yield f"versions within their bounds: {', '.join(within) or none}"
    if outside:
        yield f"OUTSIDE their bounds: {', '.join(outside)}"
    if missing:
        yield f"not installed: {', '.join(missing)}"


def _machine(machine: Mapping[str, Any]) -> str:
    gpus = "no GPU"
    if machine["gpu_gib"]:
        gpus = f"{', '.join(machine['gpus'])}, {machine['gpu_gib']:.0f} GiB each"
    return f"machine: {machine['cores']} cores, {machine['memory_gib']:.0f} GiB of memory, {gpus}"


def _stage(stage: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    if not found["passed"]:
        return f"{stage}: failed", "", "", "", ""
    fixed = f"{found['fixed']:.1f} s"
    if "length" not in found:
        return stage, fixed, "", "", ""
    rates, length = found["tokens_per_second"], f"{found['length']:.0f}"
    if "step" not in found:
        return stage, fixed, f"{1000 * found['each']:.3g} ms", length, f"{rates:,.0f}"
    parts = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    return stage, fixed, f"{sum(found['step'].values()):.2f} s", length, parts


def _projected(projection: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for one in projection["stages"]:
        times, each, most = one["times"], one["seconds"], one["at_most"]
        yield (
            one["stage"],
            str(times),
            duration(each),
            duration(times * each),
            duration(times * most),
        )
    if projection["seconds"] is None:
        yield "all", "", "", "unknown", ""
        return
    yield "all", "", "", duration(projection["seconds"]), duration(projection["at_most"])
    if "price" in projection:
        cost = (f"{projection[name]:,.2f}" for name in ("cost", "cost_at_most"))
        yield (f"price, at {projection['price']:g} per hour", "", "", *cost)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(head):
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(plain, row))
    return table
