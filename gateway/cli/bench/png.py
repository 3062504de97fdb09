"""A small canvas and its PNG: straight lines, boxes, and capitals of 3 by 5 cells."""

from __future__ import annotations

import struct
import zlib

_CELL = 2  # pixels a cell of a letter
_ADVANCE = 4 * _CELL  # three cells and a gap
_ROWS = 5

# Five rows of three cells, each row an octal digit; what is not here is drawn as an empty space.
_GLYPHS = {
    "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717", "6": "74757",
    "7": "71222", "8": "75757", "9": "75717", "A": "25755", "B": "65656", "C": "34443", "D": "65556",
    "E": "74647", "F": "74644", "G": "34553", "H": "55755", "I": "72227", "J": "11152", "K": "55655",
    "L": "44447", "M": "57755", "N": "65555", "O": "25552", "P": "65644", "Q": "25563", "R": "65655",
    "S": "34216", "T": "72222", "U": "55557", "V": "55552", "W": "55775", "X": "55255", "Y": "55222",
    "Z": "71247", ".": "00002", ",": "00024", "/": "11244", "-": "00700", ":": "02020", "_": "00007",
    "+": "02720", "(": "24442", ")": "21112", "%": "51245",
}  # fmt: skip


def text_width(text: str) -> int:
    """Pixels that `text` takes."""
    return _ADVANCE * len(text)


class Canvas:
    """Pixels, white at first; what lies outside is not drawn."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.pixels = bytearray(b"\xff" * (3 * width * height))

    def box(self, left: int, top: int, width: int, height: int, colour: str) -> None:
        """Fills a rectangle with "#rrggbb"."""
        left, right = max(left, 0), min(left + width, self.width)
        if right <= left:
            return
        run = bytes.fromhex(colour[1:]) * (right - left)
        for y in range(max(top, 0), min(top + height, self.height)):
            start = 3 * (y * self.width + left)
            self.pixels[start : start + len(run)] = run

    def line(self, start: tuple[int, int], stop: tuple[int, int], colour: str, width: int) -> None:
        """Draws a straight line of squares of `width` pixels."""
        (x0, y0), (x1, y1) = start, stop
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(steps + 1):
            x = x0 + round((x1 - x0) * step / steps)
            y = y0 + round((y1 - y0) * step / steps)
            self.box(x, y, width, width, colour)

    def text(self, left: int, baseline: int, text: str, colour: str) -> None:
        """Writes in capitals."""
        top = baseline - _ROWS * _CELL
        for place, letter in enumerate(text.upper()):
            for row, digit in enumerate(_GLYPHS.get(letter, "")):
                for column in range(3):
                    if int(digit, 8) >> (2 - column) & 1:
                        x = left + place * _ADVANCE + column * _CELL
                        self.box(x, top + row * _CELL, _CELL, _CELL, colour)


def encode_png(canvas: Canvas) -> bytes:
    """The canvas as a PNG file, 8-bit RGB."""
    stride = 3 * canvas.width
    rows = (canvas.pixels[at : at + stride] for at in range(0, len(canvas.pixels), stride))
    raw = b"".join(b"\x00" + row for row in rows)  # 0: the row is not filtered
    header = struct.pack(">IIBBBBB", canvas.width, canvas.height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
