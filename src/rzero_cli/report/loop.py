"""The loop as a picture: five stations in a ring, with the numbers of one iteration in them.

Narrow enough for a phone, so there is one picture for each iteration instead of a wide one for all.
"""

from __future__ import annotations

from html import escape

from rzero_cli.report.parts import Iteration, shown

__all__ = ["STATIONS", "draw_loop"]

STATIONS = ("Challenger", "Questions", "Labels", "Filter", "Solver")
_WIDTH, _HEIGHT = 148, 70
_LEFT, _RIGHT = 6, 196
_PLACES = {
    "Challenger": (_LEFT, 4),
    "Questions": (_RIGHT, 4),
    "Labels": (_RIGHT, 102),
    "Filter": (_RIGHT, 200),
    "Solver": (_LEFT, 200),
}
_MOST_LINES, _LONGEST = 3, 25

# From, to, what goes there, and where that is written.
_ARROWS = (
    ("M154 39 H190", "asks", 172, 33),
    ("M270 74 V96", "", 0, 0),
    ("M270 172 V194", "", 0, 0),
    ("M196 235 H160", "trains", 176, 229),
    ("M118 200 C118 150 150 137 190 137", "answers each", 112, 128),
    ("M44 200 V80", "", 0, 0),
)
_FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 350 276" role="img" class="chart"
 aria-labelledby="{id}-title {id}-words"><title id="{id}-title">{title}</title>
<desc id="{id}-words">{words}</desc>
<defs><marker id="{id}-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
 orient="auto"><path d="M0 0 L8 4 L0 8 Z" style="fill: var(--muted)"/></marker></defs>
{body}</svg>"""
_LINE = '<text x="{x}" y="{y}" style="font-size: 11px; fill: var(--ink)">{text}</text>'
_NAME = (
    '<text x="{x}" y="{y}" style="font-size: 12px; font-weight: 700; fill: var(--c{c})">'
    "{text}</text>"
)
_NOTE = (
    '<text x="{x}" y="{y}" style="font-size: 11px; fill: var(--muted); text-anchor: middle">'
    "{text}</text>"
)
_BOX = (
    '<rect x="{x}" y="{y}" width="148" height="70" rx="8" '
    'style="fill: var(--paper); stroke: var(--c{c}); stroke-width: 1.5{dash}"/>'
)
_COLOURS = {"Challenger": 2, "Questions": 6, "Labels": 6, "Filter": 6, "Solver": 1}


def draw_loop(iteration: Iteration) -> str:
    """The picture as an `<svg>` element; a station of which nothing is known has a dashed edge."""
    head = f"{iteration.id}-head"
    body = [
        f'<path d="{way}" marker-end="url(#{head})" '
        'style="fill: none; stroke: var(--muted); stroke-width: 1.5"/>'
        for way, *_ in _ARROWS
    ]
    body += [_NOTE.format(x=x, y=y, text=text) for _, text, x, y in _ARROWS if text]
    body += [_NOTE.format(x=82, y=y, text=text) for y, text in ((96, "next"), (110, "iteration"))]
    for name, (x, y) in _PLACES.items():
        lines = [shown(line, _LONGEST) for line in iteration.stations.get(name, ())]
        dash = "" if lines else "; stroke-dasharray: 4 4"
        body.append(_BOX.format(x=x, y=y, c=_COLOURS[name], dash=dash))
        body.append(_NAME.format(x=x + 9, y=y + 17, c=_COLOURS[name], text=name))
        body += [
            _LINE.format(x=x + 9, y=y + 33 + 14 * i, text=escape(line))
            for i, line in enumerate(lines[:_MOST_LINES] or ["not there yet"])
        ]
    return _FRAME.format(
        id=iteration.id,
        title=escape(shown(iteration.title, 80)),
        words=escape(shown(iteration.words(), 2000)),
        body="\n".join(body),
    )
