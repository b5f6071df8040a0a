"""The page of a run in a real browser: requests, layout, accessibility.

Skipped if chromium or playwright is not installed.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.report_pages import write_report
from helpers.run_folders import HOSTILE, damage, hostile_run, make_run

pytestmark = pytest.mark.slow
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("chromium is not installed: apt-get install chromium", allow_module_level=True)

OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of a complete, a damaged and a hostile run."""
    folder = tmp_path_factory.mktemp("pages")
    make_run(folder / "whole", [30, 40], baseline=[25])
    damage(make_run(folder / "broken", [30, 40, 35]))
    hostile_run(folder / "hostile")
    for name in ("whole", "broken", "hostile"):
        write_report(folder / name, folder / f"{name}.html")
    return {path.stem: path for path in folder.glob("*.html")}


class Opened:
    """A page in a window, with its messages and requests."""

    def __init__(self, browser: Any, path: Path, size: str, scheme: str) -> None:
        width, height = SIZES[size]
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: self.messages.append("a dialog"))
        self.page.goto(path.as_uri())

    def unfold(self) -> None:
        self.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    contexts = []

    def opened(path: Path, size: str = "desktop", scheme: str = "light") -> Opened:
        found = Opened(browser, path, size, scheme)
        contexts.append(found.context)
        return found

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [
        ("whole", "phone", "dark"),
        ("whole", "desktop", "light"),
        ("broken", "phone", "light"),
        ("hostile", "desktop", "dark"),
    ],
)
def test_page_loads_nothing_fits_and_is_accessible(
    opened: Any, pages: dict[str, Path], name: str, size: str, scheme: str
) -> None:
    shown = opened(pages[name], size, scheme)
    shown.unfold()
    assert shown.messages == []
    assert shown.requests == [pages[name].as_uri()]
    width = shown.page.evaluate("document.documentElement.scrollWidth")
    assert width <= SIZES[size][0]
    # Every picture is visible, complete and within the width.
    boxes = shown.page.evaluate(
        "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect())"
        ".map(b => [b.width, b.height, b.right])"
    )
    assert boxes
    for width, height, right in boxes:
        assert width > 140
        assert height > 90
        assert right <= SIZES[size][0]
    found = axe.Axe().run(shown.page).response["violations"]
    assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found] == []


def test_chart_text_is_large_enough_on_a_phone(opened: Any, pages: dict[str, Path]) -> None:
    shown = opened(pages["whole"], "phone")
    heights = shown.page.evaluate(
        "[...document.querySelectorAll('svg text')].filter(t => t.textContent.trim())"
        ".map(t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a || 99)"
    )
    assert len(heights) > 100
    assert min(height for height in heights if height) >= 8.5


def test_chart_labels_do_not_overlap(opened: Any, pages: dict[str, Path]) -> None:
    overlaps = opened(pages["whole"]).page.evaluate(
        """[...document.querySelectorAll('svg')].flatMap(svg => {
            const boxes = [...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect());
            const edge = svg.getBoundingClientRect();
            const texts = [...svg.querySelectorAll('text')].map(t => t.textContent);
            return boxes.flatMap((a, i) => [
                ...(a.right > edge.right + 1 || a.left < edge.left - 1 ? [texts[i]] : []),
                ...boxes.slice(i + 1).flatMap((b, j) =>
                    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
                    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3
                        ? [texts[i] + ' | ' + texts[i + 1 + j]] : [])]);
        })"""
    )
    assert overlaps == []


def test_light_and_dark_themes_differ(opened: Any, pages: dict[str, Path]) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page = opened(pages["whole"], scheme=scheme).page
        colours.append(
            page.evaluate(
                "['main > section', 'svg text'].map(s => document.querySelector(s))"
                ".map(e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).fill])"
            )
        )
    (light_ground, light_text), (dark_ground, dark_text) = colours
    assert light_ground[0] == "rgb(255, 255, 255)"
    assert dark_ground[0] != light_ground[0]
    assert dark_text[1] != light_text[1]


def test_keyboard_reaches_everything_that_unfolds_or_scrolls(
    opened: Any, pages: dict[str, Path]
) -> None:
    shown = opened(pages["whole"], "phone")
    page = shown.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    box = page.evaluate("document.activeElement.getBoundingClientRect().left")
    assert box >= 0  # it comes into sight
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # into the report, past the list of sections
    assert page.evaluate("document.activeElement.closest('main') !== null")
    summary = page.locator("details.numbers > summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('details.numbers').open")
    shown.unfold()
    wanted = page.evaluate(
        """(() => { const found = [...document.querySelectorAll('summary, .scroll, a')];
            found.forEach((e, i) => e.dataset.stop = i); document.activeElement.blur();
            return found.length })()"""
    )
    # Everything that scrolls is among them.
    hidden = page.evaluate(
        """[...document.querySelectorAll('main *')].filter(e =>
            ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) &&
            e.scrollWidth > e.clientWidth &&
            !e.matches('.scroll[tabindex="0"][aria-label]')).length"""
    )
    assert hidden == 0
    page.evaluate("window.scrollTo(0, 0)")
    reached = set()
    for _ in range(wanted + 3):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.stop"))
    assert {str(i) for i in range(wanted)} <= reached
    outline = page.evaluate(
        "(() => { const e = document.querySelector('.scroll'); e.focus({focusVisible: true});"
        " return getComputedStyle(e).outlineStyle })()"
    )
    assert outline == "solid"


def test_page_prints_in_light_colours_with_its_settings(
    opened: Any, pages: dict[str, Path]
) -> None:
    page = opened(pages["whole"], scheme="dark").page
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert 2 < len(re.findall(rb"/Type\s*/Page\b", printed)) < 30
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('svg text')).fill") in (
        *("rgb(27, 36, 48)", "rgb(89, 100, 115)"),
    )
    assert page.evaluate(
        "document.querySelector('details.long pre').checkVisibility({contentVisibilityAuto: true})"
    )
    assert not page.locator("nav").is_visible()


def test_generated_text_stays_in_its_place(opened: Any, pages: dict[str, Path]) -> None:
    page = opened(pages["hostile"]).page
    assert page.locator("script, img, iframe").count() == 0
    quoted = page.locator("blockquote").first.inner_text()
    assert quoted.startswith(HOSTILE[:40])
    assert "\\u202e" in quoted
