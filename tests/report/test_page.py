"""The HTML page of a run, and its charts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.run_folders import make_run

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from helpers.report_pages import check_page, reported
from rzero_cli.report.content import Report
from rzero_cli.report.drawing import LIGHT, draw
from rzero_cli.report.page import page
from rzero_cli.report.parts import Chart, Series
from rzero_cli.report.summary import CHAINS


@pytest.mark.parametrize("iterations", [1, 10])
def test_page_of_any_number_of_iterations_is_well_formed(tmp_path: Path, iterations: int) -> None:
    run = make_run(tmp_path / "run", [20 + 2 * i for i in range(iterations)])
    text = page(reported(run))
    check_page(text)
    assert text.count('class="chart"') >= 12 + iterations
    assert len(text) < 2_000_000
    # With ten iterations, the first and the last are unfolded.
    assert text.count('<details class="questions long" open>') == (1 if iterations == 1 else 2)


def test_page_has_the_numbers_of_a_chart_as_a_table(whole_report: Report) -> None:
    text = page(whole_report)
    check_page(text)
    below = text[text.index("Accuracy on held-out questions</figcaption>") :]
    table = below[below.index("<table>") : below.index("</table>")]
    assert '<th scope="row">base</th><td>40.0 (27.6 to 53.8)</td>' in table
    assert "<caption>Accuracy on held-out questions</caption>" in table
    assert "trained Challenger: base: 40.0, 1: 60.0, 2: 80.0, 3: 70.0." in text  # in words


def test_every_chart_colour_has_a_light_and_a_dark_value() -> None:
    from importlib.resources import files

    css = (files("rzero_cli.report") / "page.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)
    for name, colour in LIGHT.items():
        assert f"--{name}: {colour};" in light
        assert f"--{name}: #" in dark


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_colours_contrast_with_the_background(theme: int) -> None:
    from importlib.resources import files

    css = (files("rzero_cli.report") / "page.css").read_text("utf-8")
    root = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)[theme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", root))
    for name in ("ink", "muted", "c1", "c2", "c3", "c4", "c5", "c6"):
        for ground in ("paper", "ground"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for ground in ("bar", "warn"):
        assert contrast(colours["ink"], colours[ground]) >= 4.5, ground


def test_drawing_is_deterministic() -> None:
    made = Chart("one", "$x$ & <b>", [Series("a $\\frac$", [1, 2], [3, 4])], "x", "y")
    assert draw(made) == draw(made)
    assert "$x$ &amp; &lt;b&gt;" in draw(made)


def test_lines_of_all_chains_look_different() -> None:
    lines = [Series(f"{i}", [0, 1], [i, i + 1]) for i in range(1 + len(CHAINS))]
    svg = draw(Chart("one", "t", lines, "x", "y"))
    looks = set(re.findall(r'style="(fill: none;[^"]*stroke: var\(--c\d\)[^"]*)"', svg))
    assert len(looks) == len(lines) > 6


def test_lines_are_interrupted_where_an_iteration_ends() -> None:
    lines = [Series("", [1, 2, 3, 4], [1, 2, 3, 4])]
    (whole,) = _strokes(draw(Chart("one", "t", lines, "x", "y")))
    (parted,) = _strokes(draw(Chart("one", "t", lines, "x", "y", marks=[2])))
    # M starts a stroke, L continues it.
    assert (whole.count("M"), whole.count("L")) == (1, 3)
    assert (parted.count("M"), parted.count("L")) == (2, 2)


def _strokes(svg: str) -> list[str]:
    found = re.findall(r'<path d="([^"]*)"[^>]*style="fill: none; stroke: var\(--c1\)', svg)
    return [path for path in found if path.count("L") > 1]
