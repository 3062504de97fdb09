"""Curves as SVG, written by hand: panels side by side, one scale a panel, an objective as a dashed line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 420, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 130, 34, 30
_COLOURS = ("#c0392b", "#2c7fb8", "#41ab5d", "#8856a7", "#e6872e", "#636363", "#a6761d")


class Curve(NamedTuple):
    """Points (x, y), x ascending, from 0 to 1."""

    name: str
    points: tuple[tuple[float, float], ...]
    is_bold: bool = False


class Panel(NamedTuple):
    """`objective` is a line across, and twice of it the most that is shown."""

    title: str
    curves: tuple[Curve, ...]
    objective: float


def drawn(panels: Sequence[Panel]) -> str:
    """The whole picture."""
    width = _WIDTH * len(panels)
    body = "\n".join(
        f'<g transform="translate({_WIDTH * index},0)">\n{_panel(panel)}\n</g>'
        for index, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _panel(panel: Panel) -> str:
    top = _rounded(max(y for curve in panel.curves for _, y in curve.points), 1.2 * panel.objective)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [
        f'<text x="{_LEFT}" y="20" font-weight="bold">{escape(panel.title)}</text>',
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="black"/>',
    ]
    for share in (0.0, 0.5, 1.0):
        parts.append(
            f'<text x="{_LEFT - 5}" y="{_y(share * top, top) + 4}" text-anchor="end">{share * top:g}</text>'
        )
    for load in sorted({x for curve in panel.curves for x, _ in curve.points}):
        parts.append(f'<text x="{_x(load)}" y="{bottom + 16}" text-anchor="middle">{load:.0%}</text>')
    at = _y(panel.objective, top)
    parts.append(f'<path d="M{_LEFT} {at}H{right}" stroke="black" stroke-dasharray="4 3"/>')
    parts.append(f'<text x="{right + 6}" y="{at + 4}">objective</text>')
    for index, curve in enumerate(panel.curves):
        parts += _curve(curve, _COLOURS[index % len(_COLOURS)], top, _HEIGHT - 130 + 15 * index)
    return "\n".join(parts)


def _curve(curve: Curve, colour: str, top: float, legend_y: int) -> list[str]:
    points = " ".join(f"{_x(x)},{_y(min(y, top), top)}" for x, y in curve.points)
    stroke = f'stroke="{colour}" stroke-width="{3 if curve.is_bold else 1.3}"'
    x = _WIDTH - _RIGHT + 6
    return [
        f'<polyline points="{points}" fill="none" {stroke}/>',
        f'<path d="M{x} {legend_y - 4}h14" {stroke}/>',
        f'<text x="{x + 18}" y="{legend_y}">{escape(curve.name)}</text>',
    ]


def _rounded(highest: float, least: float) -> float:
    """The top of a scale: all of it, but not so much that the objective lies on the floor."""
    return float(f"{max(least, min(highest * 1.05, 2 * least)):.2g}")


def _x(load: float) -> float:
    return round(_LEFT + load * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(value: float, top: float) -> float:
    bottom = _HEIGHT - _BOTTOM
    return round(bottom - value / top * (bottom - _TOP), 1)
