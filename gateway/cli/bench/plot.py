"""Latency against load as a picture: a drawing of lines and words, then SVG in HTML, or PNG.

No plotting library: the drawing is three axes' worth of arithmetic, and must work wherever the
generator does. Latency is on a logarithmic scale, because p50 and p99.9 differ by powers of ten.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import NamedTuple

from gateway.cli.bench.plan import BenchError
from gateway.cli.bench.png import Canvas, encode_png, text_width
from gateway.cli.bench.result import Report, Result

WIDTH, HEIGHT = 960, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 60, 70
_INK, _GRID = "#333333", "#dddddd"
_SERIES = (("p50", "p50_ms", "#1f77b4"), ("p99", "p99_ms", "#d62728"), ("p99.9", "p999_ms", "#9467bd"))
_TICKS = 6


class Line(NamedTuple):
    points: tuple[tuple[float, float], ...]
    colour: str
    width: int = 1


class Dot(NamedTuple):
    x: float
    y: float
    colour: str


class Words(NamedTuple):
    """`anchor` is what of the text lies at x: "start", "middle" or "end"; y is its baseline."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    colour: str = _INK


Shape = Line | Dot | Words


class _Axes(NamedTuple):
    most_rate: float
    least_exponent: int
    most_exponent: int

    def x(self, rate: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * rate / self.most_rate

    def y(self, latency_ms: float) -> float:
        share = (log10(latency_ms) - self.least_exponent) / (self.most_exponent - self.least_exponent)
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share


def check_plot_path(path: Path) -> None:
    """Raises BenchError for a name that is no .png or .html, before the measuring and not after it."""
    if path.suffix not in {".png", ".html"}:
        raise BenchError(f"--plot: '{path}' must end in .png or .html")
    if not path.parent.is_dir():
        raise BenchError(f"--plot: there is no folder '{path.parent}'")


def write_plot(report: Report, path: Path) -> None:
    """Draws the report's results into `path`; raises BenchError when it cannot be written."""
    title = f"{report.model} over {report.protocol}"
    shapes = draw(title, report.results)
    try:
        if path.suffix == ".png":
            path.write_bytes(encode_png(_paint(shapes)))
        else:
            path.write_text(_page(title, shapes, report), encoding="utf-8")
    except OSError as error:
        raise BenchError(f"--plot: cannot write '{path}': {error.strerror}") from error


def draw(title: str, results: Sequence[Result]) -> list[Shape]:
    """The picture: rate to the right, latency upwards; loads without a single success have no point."""
    shown = [result for result in results if result.requests]
    axes = _axes(shown)
    shapes: list[Shape] = [Words(WIDTH / 2, 28, title, "middle"), *_grid(axes)]
    for place, (name, field, colour) in enumerate(_SERIES):
        points = tuple((axes.x(item.rate), axes.y(_latency_ms(item, field))) for item in shown)
        if len(points) > 1:
            shapes.append(Line(points, colour, 2))
        shapes += [Dot(x, y, colour) for x, y in points]
        shapes.append(Words(_LEFT + 90 * place, _TOP - 12, name, colour=colour))
    return shapes


def _latency_ms(result: Result, field: str) -> float:
    return max(float(getattr(result.latency, field)), 1e-4)  # a logarithm needs more than nothing


def _axes(shown: Sequence[Result]) -> _Axes:
    latencies = [_latency_ms(result, field) for result in shown for _, field, _ in _SERIES] or [1.0]
    least = floor(log10(min(latencies)))
    most = max(ceil(log10(max(latencies))), least + 1)
    rate = max([result.rate for result in shown], default=1.0)
    step = _step(rate)
    return _Axes(step * ceil(rate / step - 1e-9), least, most)


def _step(most: float) -> float:
    """A round distance between marks, so that there are about six of them."""
    rough = most / _TICKS
    power: float = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def _grid(axes: _Axes) -> list[Shape]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    shapes: list[Shape] = []
    step = _step(axes.most_rate)
    for index in range(round(axes.most_rate / step) + 1):
        x = axes.x(index * step)
        shapes += [
            Line(((x, _TOP), (x, bottom)), _GRID),
            Words(x, bottom + 20, _number(index * step), "middle"),
        ]
    for exponent in range(axes.least_exponent, axes.most_exponent + 1):
        y = axes.y(10.0**exponent)
        shapes += [
            Line(((_LEFT, y), (right, y)), _GRID),
            Words(_LEFT - 8, y + 4, f"{_number(10.0**exponent)} ms", "end"),
        ]
    frame = ((_LEFT, _TOP), (_LEFT, bottom), (right, bottom))
    return [*shapes, Line(frame, _INK), Words((_LEFT + right) / 2, HEIGHT - 20, "requests/s", "middle")]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.6g}"


def _paint(shapes: Sequence[Shape]) -> Canvas:
    canvas = Canvas(WIDTH, HEIGHT)
    for shape in shapes:
        match shape:
            case Line(points, colour, width):
                for (x0, y0), (x1, y1) in itertools.pairwise(points):
                    canvas.line((round(x0), round(y0)), (round(x1), round(y1)), colour, width)
            case Dot(x, y, colour):
                canvas.box(round(x) - 3, round(y) - 3, 7, 7, colour)
            case Words(x, y, text, anchor, colour):
                shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
                canvas.text(round(x - shift * text_width(text)), round(y), text, colour)
    return canvas


def _page(title: str, shapes: Sequence[Shape], report: Report) -> str:
    body = "\n".join(_svg(shape) for shape in shapes)
    rows = "\n".join(_row(result) for result in report.results)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>body{{font:14px sans-serif;color:{_INK}}}td,th{{padding:2px 12px;text-align:right}}</style></head>
<body>
<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">
<rect width="{WIDTH}" height="{HEIGHT}" fill="white"></rect>
{body}
</svg>
<table><tr><th>load</th><th>requests/s</th><th>p50 ms</th><th>p99 ms</th><th>p99.9 ms</th><th>failed</th></tr>
{rows}
</table>
</body></html>
"""


def _row(result: Result) -> str:
    latency = result.latency
    cells = (
        f"{result.load:g}",
        f"{result.rate:,.0f}",
        *(f"{value:.3f}" for value in (latency.p50_ms, latency.p99_ms, latency.p999_ms)),
        str(result.failed),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _svg(shape: Shape) -> str:
    match shape:
        case Line(points, colour, width):
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            return (
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"></polyline>'
            )
        case Dot(x, y, colour):
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"></circle>'
        case Words(x, y, text, anchor, colour):
            place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
            return f'<text {place} font-family="sans-serif" font-size="13">{html.escape(text)}</text>'
