from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from gateway.cli.bench.plan import BenchError
from gateway.cli.bench.plot import HEIGHT, WIDTH, Dot, Words, check_plot_path, draw, write_plot
from gateway.cli.bench.result import Report
from tests.cli.bench.test_png import decode
from tests.cli.bench.test_result import report, some_results


def _report() -> Report:
    return msgspec.structs.replace(report(), model="<fraud> & co", results=some_results())


def test_points_lie_within_and_rise_with_latency() -> None:
    dots = [shape for shape in draw("t", some_results()) if isinstance(shape, Dot)]
    assert len(dots) == 9
    assert all(0 < dot.x < WIDTH and 0 < dot.y < HEIGHT for dot in dots)
    p50 = dots[:3]
    assert [dot.x for dot in p50] == sorted(dot.x for dot in p50)
    assert [dot.y for dot in p50] == sorted((dot.y for dot in p50), reverse=True)


def test_the_axis_has_round_marks() -> None:
    words = [shape.text for shape in draw("t", some_results()) if isinstance(shape, Words)]
    assert {"0", "2,000", "10,000", "0.1 ms", "1 ms", "1,000 ms"} <= set(words)


def test_loads_without_a_success_and_no_loads_at_all_are_no_trouble() -> None:
    nothing = msgspec.structs.replace(some_results()[0], requests=0, rate=0.0)
    assert not [shape for shape in draw("t", [nothing]) if isinstance(shape, Dot)]
    assert len([shape for shape in draw("t", some_results()[:1]) if isinstance(shape, Dot)]) == 3


def test_html_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "plot.html"
    write_plot(_report(), path)
    text = path.read_text()
    page = ET.fromstring(text.replace("<!DOCTYPE html>", "").replace('<meta charset="utf-8">', ""))
    assert page.findtext(".//title") == "<fraud> & co over rest"
    lines = page.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len([line for line in lines if line.get("stroke-width") == "2"]) == 3
    assert len(page.findall(".//tr")) == 4
    assert "src=" not in text
    assert "href" not in text


def test_png_is_an_image_with_the_colours_of_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    write_plot(_report(), path)
    width, height, pixels = decode(path.read_bytes())
    assert (width, height) == (WIDTH, HEIGHT)
    for colour in ("1f77b4", "d62728", "9467bd"):
        assert bytes.fromhex(colour) in pixels


def test_names_are_refused_before_the_run(tmp_path: Path) -> None:
    check_plot_path(tmp_path / "x.png")
    with pytest.raises(BenchError, match="must end in"):
        check_plot_path(tmp_path / "x.pdf")
    with pytest.raises(BenchError, match="no folder"):
        check_plot_path(tmp_path / "no" / "x.png")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.mkdir()
    with pytest.raises(BenchError, match="cannot write"):
        write_plot(_report(), path)
