"""Plots as SVG, drawn here: a report opens without a network and prints as it is seen. A table with the same figures
stands beside each. Shapes tell series apart as well as colours, which are Okabe and Ito's."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

from hisbus_bus.lab.evaluate.report import Rate

WIDTH = 720
LABELS = 190
RIGHT = 16
TOP = 22
SERIES = 15
"""Height of one series of a row."""
GAP = 9
COLOURS = ("#0072b2", "#d55e00", "#3d3d3d", "#009e73")
SHAPES = ("circle", "square", "diamond", "triangle")
BINS = 24


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an interval plot: a rate for each series, None where it has none."""

    label: str
    rates: Sequence[Rate]


def intervals(rows: Sequence[Row], title: str, low: float = 0.0, high: float = 1.0) -> Markup:
    """Draw rates as points with their 95 % intervals."""
    height = TOP + sum(len(row.rates) * SERIES + GAP for row in rows) + 22
    svg = _svg(height, title)
    span = high - low

    def at(value: float) -> float:
        return LABELS + (min(max(value, low), high) - low) / span * (WIDTH - LABELS - RIGHT)

    for step in range(5):
        value = low + span * step / 4
        _line(svg, at(value), TOP - 6, at(value), height - 18, "axis" if value == 0 else "grid")
        _text(svg, at(value), height - 4, f"{value:g}", "middle")
    y = float(TOP)
    for number, row in enumerate(rows):
        own = len(row.rates) * SERIES
        if number % 2:
            stripe = {"x": "0", "y": f"{y - GAP / 2:g}", "width": str(WIDTH), "height": f"{own + GAP:g}"}
            svg.insert(1, ET.Element("rect", {"class": "stripe", **stripe}))  # behind everything but the title
        _text(svg, LABELS - 10, y + own / 2 + 4, _short(row.label), "end", whole=row.label)
        for series, rate in enumerate(row.rates):
            middle = y + series * SERIES + SERIES / 2
            _rate(svg, rate, at, middle, series)
        y += own + GAP
    return _made(svg)


def histogram(values: Sequence[float], title: str, unit: str = "", most: float | None = None) -> Markup:
    """Draw how many values lie in each of some equal steps from 0."""
    height, bottom = 190, 160
    svg = _svg(height, title)
    end = most if most is not None else _round(max(values, default=0.0) or 1.0)
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int(value / end * BINS))] += 1
    tallest = max(counts) or 1
    left, width = 46, (WIDTH - 46 - RIGHT) / BINS
    for part in (0, 0.5, 1):
        y = bottom - part * (bottom - TOP)
        _line(svg, left, y, WIDTH - RIGHT, y, "grid" if part else "axis")
        if part == 0 or tallest * part == int(tallest * part):
            _text(svg, left - 8, y + 4, f"{tallest * part:g}", "end")
    for number, count in enumerate(counts):
        tall = count / tallest * (bottom - TOP)
        bar = {"x": f"{left + number * width + 1:.1f}", "y": f"{bottom - tall:.1f}", "width": f"{width - 2:.1f}"}
        if count:
            ET.SubElement(svg, "rect", {**bar, "height": f"{tall:.1f}", "fill": COLOURS[0]})
    for part in (0, 0.25, 0.5, 0.75, 1):
        _text(svg, left + part * width * BINS, bottom + 18, f"{end * part:.3g}{unit}", "middle" if part < 1 else "end")
    return _made(svg)


def changes(rows: Sequence[tuple[str, int, int]], title: str) -> Markup:
    """Draw by label how many cases were gained, to the right, and lost, to the left."""
    height = TOP + len(rows) * 24 + 22
    svg = _svg(height, title)
    most = max((max(gained, lost) for _, gained, lost in rows), default=0) or 1
    middle = LABELS + (WIDTH - LABELS - RIGHT) / 2
    scale = (WIDTH - LABELS - RIGHT) / 2 / (most * 1.12)
    for number, (label, gained, lost) in enumerate(rows):
        y = TOP + number * 24
        _text(svg, LABELS - 10, y + 14, _short(label), "end", whole=label)
        for count, colour, sign in ((lost, COLOURS[1], -1), (gained, COLOURS[0], 1)):
            wide = count * scale
            x = middle if sign > 0 else middle - wide
            if count:
                ET.SubElement(
                    svg,
                    "rect",
                    {"x": f"{x:.1f}", "y": f"{y + 2}", "width": f"{wide:.1f}", "height": "16", "fill": colour},
                )
            _text(svg, middle + sign * (wide + 5), y + 14, f"{count:d}", "start" if sign > 0 else "end")
    _line(svg, middle, TOP - 6, middle, height - 18, "axis")
    return _made(svg)


def calibration(points: Sequence[tuple[str, float, Rate]], title: str) -> Markup:
    """Draw how often what is called so sure is right, with 95 % intervals; on the line it is as often as that says.

    Args:
        points: a name, the mean confidence and the rate of being right of each.
        title: of the plot.
    """
    side = 320
    height, left, bottom = TOP + side + 40, LABELS, TOP + side
    svg = _svg(height, title)

    def across(value: float) -> float:
        return left + value * side

    def up(value: float) -> float:
        return bottom - value * side

    for step in range(5):
        value = step / 4
        _line(svg, across(value), up(0), across(value), up(1), "grid" if step else "axis")
        _line(svg, across(0), up(value), across(1), up(value), "grid" if step else "axis")
        _text(svg, across(value), bottom + 16, f"{value:g}", "middle")
        _text(svg, left - 8, up(value) + 4, f"{value:g}", "end")
    _text(svg, across(0.5), bottom + 34, "可信度 / Confidence", "middle")
    _text(svg, left - 40, up(0.5) + 4, "正确率 / Right", "end")
    _line(svg, across(0), up(0), across(1), up(1), "axis")
    for name, mean, rate in points:
        if rate.value is None or rate.low is None or rate.high is None:
            continue
        _line(svg, across(mean), up(rate.low), across(mean), up(rate.high), "whisker", COLOURS[0])
        _mark(svg, across(mean), up(rate.value), 0)
        _text(svg, across(mean) + 8, up(rate.value) + 4, f"{name} ({rate.of})", "start")
    return _made(svg)


def key(series: int) -> Markup:
    """Return the mark of a series, for a legend."""
    svg = ET.Element(
        "svg", {"class": "key", "viewBox": "0 0 14 14", "width": "14", "height": "14", "aria-hidden": "true"}
    )
    _mark(svg, 7, 7, series)
    return _made(svg)


def _svg(height: float, title: str) -> ET.Element:
    svg = ET.Element("svg", {"class": "plot", "viewBox": f"0 0 {WIDTH} {height:g}", "role": "img", "aria-label": title})
    ET.SubElement(svg, "title").text = title
    return svg


def _rate(svg: ET.Element, rate: Rate, at: Callable[[float], float], y: float, series: int) -> None:
    if rate.value is None:
        _text(svg, LABELS + 4, y + 4, "–", "start")
        return
    if rate.low is not None and rate.high is not None:
        _line(svg, at(rate.low), y, at(rate.high), y, "whisker", COLOURS[series])
        for end in (rate.low, rate.high):
            _line(svg, at(end), y - 3, at(end), y + 3, "whisker", COLOURS[series])
    _mark(svg, at(rate.value), y, series)


def _mark(svg: ET.Element, x: float, y: float, series: int) -> None:
    shape, fill = SHAPES[series], {"fill": COLOURS[series]}
    if shape == "circle":
        ET.SubElement(svg, "circle", {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "4.5", **fill})
        return
    ends = {
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "diamond": ((0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)),
        "triangle": ((0, -5), (5, 4), (-5, 4)),
    }[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in ends)
    ET.SubElement(svg, "polygon", {"points": points, **fill})


def _line(svg: ET.Element, x1: float, y1: float, x2: float, y2: float, kind: str, colour: str = "") -> None:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}", "class": kind}
    ET.SubElement(svg, "line", ends | ({"stroke": colour} if colour else {}))


def _text(svg: ET.Element, x: float, y: float, said: str, anchor: str, whole: str = "") -> None:
    made = ET.SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor})
    made.text = said
    if whole and whole != said:
        ET.SubElement(made, "title").text = whole


def _round(value: float) -> float:
    """Return the next number of the form 1, 2, 4 or 8 times a power of ten, for an axis to end at."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value)


def _short(label: str) -> str:
    return label if len(label) <= 24 else f"{label[:23]}…"


def _made(svg: ET.Element) -> Markup:
    # ElementTree has escaped every text in it.
    return Markup(ET.tostring(svg, encoding="unicode"))  # noqa: S704
