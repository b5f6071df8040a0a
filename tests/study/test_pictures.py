"""The pictures of the study."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from .metrics import Study
from .pictures import PICTURES
from .synthetic_runs import small_study


def test_pictures_are_reproducible_and_described_in_words() -> None:
    for name, picture in PICTURES.items():
        first, again = picture(small_study()), picture(small_study())
        assert first is not None, name
        assert first == again
        svg, words = first
        root = ElementTree.fromstring(svg)
        assert root.find("{http://www.w3.org/2000/svg}desc").text == words  # type: ignore[union-attr]
        assert "prefers-color-scheme:dark" in svg
        assert not re.findall(r"#0a0b\w\w", svg), "a stand-in colour is left"
    assert "2 of 3 bases" in PICTURES["scores"](small_study())[1]  # type: ignore[index]
    assert "50.0, 62.5, 81.2" in PICTURES["scores"](small_study())[1]  # type: ignore[index]
    assert all(picture(Study(small_study().plan, {})) is None for picture in PICTURES.values())
