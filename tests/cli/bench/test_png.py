from __future__ import annotations

import struct
import zlib

import pytest

from gateway.cli.bench.png import Canvas, encode_png, text_width


def decode(data: bytes) -> tuple[int, int, bytes]:
    """Width, height and pixels of a PNG; every checksum verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, []
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size) == (zlib.crc32(kind + body),)
        chunks.append((kind, body))
        at += size + 12
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, colour, rest) == (8, 2, [0, 0, 0])
    raw = zlib.decompress(chunks[1][1])
    stride = 3 * width + 1
    assert len(raw) == stride * height
    assert all(raw[row * stride] == 0 for row in range(height))
    return width, height, b"".join(raw[row * stride + 1 : (row + 1) * stride] for row in range(height))


def test_pixels_survive() -> None:
    canvas = Canvas(5, 3)
    canvas.box(1, 1, 2, 1, "#102030")
    width, height, pixels = decode(encode_png(canvas))
    assert (width, height) == (5, 3)
    dark = {place for place in range(15) if pixels[3 * place : 3 * place + 3] == b"\x10\x20\x30"}
    assert dark == {6, 7}


@pytest.mark.parametrize("stop", [(9, 9), (0, 9), (9, 0), (3, 7)])
def test_a_line_touches_both_ends(stop: tuple[int, int]) -> None:
    canvas = Canvas(10, 10)
    canvas.line((0, 0), stop, "#000000", 1)
    for x, y in ((0, 0), stop):
        assert canvas.pixels[3 * (10 * y + x)] == 0
    assert canvas.pixels.count(0) == 3 * (max(stop) + 1)


def test_what_lies_outside_is_not_drawn() -> None:
    canvas = Canvas(4, 4)
    canvas.box(-3, -3, 2, 2, "#000000")
    canvas.box(5, 0, 2, 2, "#000000")
    canvas.line((-5, 2), (-1, 2), "#000000", 1)
    canvas.text(-100, 2, "OUT", "#000000")
    assert canvas.pixels == Canvas(4, 4).pixels
    canvas.box(-10, -10, 100, 100, "#000000")
    assert not any(canvas.pixels)


def test_letters_differ_and_keep_to_their_width() -> None:
    drawn = set()
    text = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.,/-:_+()%"
    for letter in text:
        canvas = Canvas(text_width(letter), 12)
        canvas.text(0, 11, letter.lower(), "#000000")
        assert any(pixel == 0 for pixel in canvas.pixels)
        drawn.add(bytes(canvas.pixels))
    assert len(drawn) == len(text)
