"""Draw what each stage takes as the evidence grows: `docs/images/growth.svg`, from `growth.json`.

    .venv/bin/python benchmarks/plot_growth.py

`growth.json` is what was measured, a stage after the other: pairs of [size, number], for processor seconds
and for MiB of anonymous memory; what was not measured is not drawn.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIGURES, IMAGE = HERE / "growth.json", HERE.parent / "docs" / "images" / "growth.svg"
WIDTH, HEIGHT, LEFT, TOP = 360, 250, 46, 30
PANEL = WIDTH + LEFT + 20
LEGEND = 24
COLOURS = ("#1b6ca8", "#d1495b", "#edae49", "#2e933c", "#66418a", "#8d5524", "#444444", "#00798c", "#b5179e",
           "#7a9e3b")  # fmt: skip
LOOKS = [(colour, dashes) for dashes in ("none", "6,3", "2,2") for colour in COLOURS]
"""Of the lines, a stage after the other; more stages than these are an error, not left out."""


def decades(values: list[float]) -> tuple[int, int]:
    """The powers of ten around all values."""
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


class Panel:
    """One plot with both axes logarithmic."""

    def __init__(self, title: str, series: dict[str, list[list[float]]], left: int) -> None:
        self._title, self._series, self._left = title, series, left
        points = [point for line in series.values() for point in line]
        self._x, self._y = decades([x for x, _ in points]), decades([y for _, y in points])

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is drawn."""
        (x0, x1), (y0, y1) = self._x, self._y
        across = (math.log10(x) - x0) / (x1 - x0)
        up = (math.log10(y) - y0) / (y1 - y0)
        return self._left + across * WIDTH, TOP + HEIGHT * (1 - up)

    def draw(self) -> list[str]:
        """The lines of SVG."""
        out = [text(self._left, TOP - 12, self._title, weight="bold")]
        for power in range(self._y[0], self._y[1] + 1):
            _, y = self.place(10 ** self._x[0], 10**power)
            out.append(line([(self._left, y), (self._left + WIDTH, y)], "#dddddd", 1))
            out.append(text(self._left - 6, y + 4, f"{10**power:g}", anchor="end"))
        for power in range(self._x[0], self._x[1] + 1):
            x, _ = self.place(10**power, 10 ** self._y[0])
            out.append(line([(x, TOP), (x, TOP + HEIGHT)], "#dddddd", 1))
            out.append(text(x, TOP + HEIGHT + 16, f"1e{power}", anchor="middle"))
        looks = LOOKS[: len(self._series)]
        for (colour, dashes), points in zip(looks, self._series.values(), strict=True):
            places = [self.place(x, y) for x, y in points]
            out.append(line(places, colour, 2, dashes))
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        return out


def line(points: list[tuple[float, float]], colour: str, width: int, dashes: str = "none") -> str:
    """A line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    look = f'stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}"'
    return f'<polyline points="{path}" fill="none" {look}/>'


def text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    """Words at a place."""
    look = f'font-size="11" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{words}</text>'


def drawn(stages: dict[str, Any]) -> str:
    """The whole image."""
    titles = {
        "seconds": "processor seconds by windows or events",
        "mib": "MiB of anonymous memory by windows or events",
    }
    panels = [
        Panel(
            f"{title} by windows or events",
            {name: stage[what] for name, stage in stages.items()},
            LEFT + PANEL * number,
        )
        for number, (what, title) in enumerate(titles.items())
    ]
    below = TOP + HEIGHT + 2 * LEGEND
    legend = []
    for number, ((colour, dashes), name) in enumerate(zip(LOOKS[: len(stages)], stages, strict=True)):
        x, y = LEFT + number % 4 * 200, below + number // 4 * LEGEND
        legend.append(line([(x, y - 4), (x + 24, y - 4)], colour, 4, dashes))
        legend.append(text(x + 30, y, name))
    width, height = LEFT + 2 * PANEL, below + LEGEND * (1 + len(stages) // 4)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">'
    )
    back = f'<rect width="{width}" height="{height}" fill="white"/>'
    shown = [row for panel in panels for row in panel.draw()]
    return "\n".join([head, back, *shown, *legend, "</svg>"]) + "\n"


if __name__ == "__main__":
    IMAGE.write_text(drawn(json.loads(FIGURES.read_text())))
