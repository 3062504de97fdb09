"""The client's half of gRPC over HTTP/2 for unary calls, by hand on whole chunks.

DESIGN: grpcio makes 3,000 to 8,000 calls a second on a core, so it would be what is measured. Here a
request is one `bytes.join` of prepared pieces and the stream id; an answer is a walk over its frames.
Header blocks of answers are decoded once and then looked up by their bytes: that is right as long as
the block does not alter the HPACK table, and the cache is emptied when one does. Our own constant
headers are taught to the server on a connection's first request and indexed afterwards, as grpc-core
does; where the server's table is too small they are sent as literals.
"""

from __future__ import annotations

import struct

import msgspec

from gateway.cli.bench.dialogue import UNPROCESSED, Answer, Broken
from gateway.cli.bench.hpack import TABLE_BYTES, Blocks
from gateway.cli.bench.unique import Unique
from gateway.cli.bench.verdict import NO_TRAILERS, Block, verdict
from gateway.core.tensor import Buffer
from gateway.wire.http2.frames import ConnectionFault
from gateway.wire.http2.hpack import Decoder

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = (
    0, 1, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

_FRAME = struct.Struct(">IBI")  # length and type in one word, flags, stream
_HEAD = struct.Struct(">IB")  # the same without the stream
_SETTING = struct.Struct(">HI")
_U32 = struct.Struct(">I")

_MAX_WINDOW = (1 << 31) - 1
_DEFAULT_WINDOW = 65_535
_MAX_FRAME = 1 << 20
_TOP_UP = 1 << 28
_LAST_STREAM = (1 << 31) - 3
_JOINED = 65_536  # a body up to here is copied into one buffer with its head
_CACHED_BLOCKS = 256
_CANCEL = 8


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return _FRAME.pack(len(payload) << 8 | kind, flags, stream) + payload


_OPENING = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + _frame(
        _SETTINGS,
        0,
        0,
        _SETTING.pack(2, 0)  # no server push
        + _SETTING.pack(4, _MAX_WINDOW)
        + _SETTING.pack(5, _MAX_FRAME),
    )
    + _frame(_WINDOW_UPDATE, 0, 0, _U32.pack(_MAX_WINDOW - _DEFAULT_WINDOW))
)


class GrpcRequest(msgspec.Struct, frozen=True, tag=True):
    """A call's bytes: its header list and its body (the five-byte prefix and the message)."""

    blocks: Blocks
    body: bytes


class _Upload:
    """A body that did not fit the windows at once."""

    __slots__ = ("offset", "window")

    def __init__(self, window: int) -> None:
        self.offset = 0
        self.window = window


class GrpcDialogue:
    """HTTP/2 on one connection."""

    # Invariant: `_received` has exactly the streams in flight; `_uploads` is a subset of them.
    __slots__ = (
        "_block",
        "_blocks",
        "_bodies",
        "_body",
        "_buffer",
        "_decoder",
        "_failed",
        "_first_block",
        "_fragments",
        "_head",
        "_initial_window",
        "_keeps",
        "_known",
        "_max_frame",
        "_next",
        "_received",
        "_skip",
        "_tail",
        "_taken",
        "_unique",
        "_uploads",
        "_window",
        "closing",
        "expected",
        "limit",
        "output",
        "ready",
    )  # fmt: skip

    def __init__(
        self, request: GrpcRequest, *, unique: Unique | None = None, keep_bodies: bool = False
    ) -> None:
        self.output: list[Buffer] = []
        self.ready = False
        self.closing = False
        self.expected = 0
        self.limit = 1 << 31  # streams the server allows at once
        self._blocks = request.blocks
        self._body = request.body
        self._unique = unique
        self._keeps = keep_bodies
        self._decoder = Decoder()
        self._known: dict[bytes, Block] = {}
        self._received: dict[int, int] = {}  # stream to bytes of its answer so far
        self._bodies: dict[int, list[bytes]] = {}
        self._failed: dict[int, str] = {}  # stream to the HTTP status that is not 200
        self._uploads: dict[int, _Upload] = {}
        self._next = 1
        self._buffer = b""
        self._skip = 0  # bytes of a DATA frame still to come that nobody wants
        self._taken = 0  # bytes received since the window was topped up
        self._fragments: tuple[int, int, bytes] | None = None  # flags, stream, block so far
        self._window = self._initial_window = _DEFAULT_WINDOW
        self._max_frame = 16_384
        self._first_block = b""
        self._choose_block(b"", request.blocks.literal)

    def open(self) -> None:
        """Sends the preface; requests wait for the server's SETTINGS, which come first."""
        self.output.append(_OPENING)

    def request(self) -> int:
        """Puts a call into `output`, or as much of it as the windows allow; returns its stream."""
        stream = self._next
        self._next = stream + 2
        if stream >= _LAST_STREAM:
            self.closing = True
        self._received[stream] = 0
        size = len(self._body)
        if self._unique is None and not self._first_block:
            head, tail = self._head, self._tail
        else:
            head, tail = self._changing_head()
        name = _U32.pack(stream)
        if size <= self._window and size <= self._initial_window and size <= self._max_frame:
            self._window -= size
            if size <= _JOINED:
                self.output.append(b"".join((head, name, tail, name, self._body)))
            else:
                self.output += (b"".join((head, name, tail, name)), self._body)
        else:
            self.output.append(b"".join((head, name, tail[:-5])))
            self._uploads[stream] = _Upload(self._initial_window)
            self._upload()
        return stream

    def feed(self, data: Buffer) -> list[Answer]:
        """Walks the frames in `data`; returns the calls that ended."""
        answers: list[Answer] = []
        at, size = 0, len(data)
        if self._skip:
            at = min(self._skip, size)
            self._skip = self.expected = self._skip - at
        elif self._buffer:
            data = self._buffer + data
            self._buffer = b""
            size = len(data)
            self.expected = 0
        while size - at >= 9:
            word, flags, stream = _FRAME.unpack_from(data, at)
            length = word >> 8
            if length > _MAX_FRAME:
                is_old = bytes(data[at : at + 4]) == b"HTTP"
                raise Broken("it answers in HTTP/1.1" if is_old else f"an HTTP/2 frame of {length} bytes")
            start = at + 9
            at = start + length
            if word & 0xFF == _DATA and not self._keeps:
                self._on_data(flags, stream, length, answers)
                if at > size:
                    self._skip = self.expected = at - size
                    return answers
            elif at > size:
                self.expected = at - size
                at = start - 9
                break
            elif word & 0xFF == _HEADERS and flags & 0x2C == _END_HEADERS:
                self._on_block(flags, stream, bytes(data[start:at]), answers)
            else:
                self._on_frame(word & 0xFF, flags, stream, bytes(data[start:at]), answers)
        if at < size:
            self._buffer = bytes(data[at:])
        return answers

    def end(self) -> list[Answer]:
        """A closed connection completes nothing."""
        return []

    def cancel(self, tag: int) -> bool:
        """Resets the stream; what still comes for it is ignored."""
        self._forget(tag)
        self.output.append(_frame(_RST_STREAM, 0, tag, _U32.pack(_CANCEL)))
        return True

    def _on_data(self, flags: int, stream: int, length: int, answers: list[Answer]) -> None:
        received = self._received.get(stream)
        if received is not None:
            self._received[stream] = received + length
            if flags & _END_STREAM:
                answers.append(self._finish(stream, *verdict(NO_TRAILERS, 0, self._failed.get(stream))))
        self._taken += length
        if self._taken > _TOP_UP:
            self.output.append(_frame(_WINDOW_UPDATE, 0, 0, _U32.pack(self._taken)))
            self._taken = 0

    def _on_block(self, flags: int, stream: int, raw: bytes, answers: list[Answer]) -> None:
        block = self._known.get(raw) or self._learn(raw)
        received = self._received.get(stream)
        if received is None:
            return
        if not flags & _END_STREAM:
            if block.http != "200" and not block.http.startswith("1"):
                self._failed[stream] = block.http
            return
        if block.status == "0" and received >= 5 and not self._uploads and not self._failed:
            del self._received[stream]
            answers.append(Answer(stream, body=b"".join(self._bodies.pop(stream)) if self._keeps else b""))
            return
        answers.append(self._finish(stream, *verdict(block, received, self._failed.get(stream))))

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes, answers: list[Answer]) -> None:
        if kind == _DATA:
            self._on_data(flags, stream, len(payload), answers)
            if stream in self._received:
                self._bodies.setdefault(stream, []).append(_unpadded(flags, payload))
        elif kind in {_HEADERS, _CONTINUATION}:
            self._on_headers(kind, flags, stream, payload, answers)
        elif kind == _RST_STREAM and stream in self._received:
            (code,) = _U32.unpack_from(payload)
            answers.append(self._finish(stream, f"h2 reset {code}", ""))
        elif kind == _SETTINGS and not flags & _ACK:
            self._on_settings(payload)
        elif kind == _PING and not flags & _ACK:
            self.output.append(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE:
            self._on_window_update(stream, payload)
        elif kind == _GOAWAY:
            self._on_goaway(payload, answers)

    def _on_headers(self, kind: int, flags: int, stream: int, payload: bytes, answers: list[Answer]) -> None:
        if kind == _HEADERS:
            block = _unpadded(flags, payload)
            self._fragments = (flags, stream, block[5:] if flags & _PRIORITY else block)
        elif self._fragments is None or self._fragments[1] != stream:
            raise Broken("a CONTINUATION of nothing")
        else:
            first, _, block = self._fragments
            self._fragments = (first, stream, block + payload)
        if flags & _END_HEADERS:
            first, _, block = self._fragments
            self._fragments = None
            self._on_block(first, stream, block, answers)

    def _on_settings(self, payload: bytes) -> None:
        table = TABLE_BYTES
        for name, value in _SETTING.iter_unpack(payload[: len(payload) // 6 * 6]):
            if name == 1:
                table = value
            elif name == 3:
                self.limit = value
            elif name == 4:
                for upload in self._uploads.values():
                    upload.window += value - self._initial_window
                self._initial_window = value
            elif name == 5:
                self._max_frame = value
        self.output.append(_frame(_SETTINGS, _ACK, 0))
        blocks = self._blocks
        if table < TABLE_BYTES:
            # 0x20: our encoder's table is empty from now on, which any smaller limit allows.
            self._choose_block(b"\x20" + blocks.literal, blocks.literal)
        elif not self.ready and blocks.fits:
            self._choose_block(blocks.teaching, blocks.indexed)
        self.ready = True
        self._upload()

    def _on_window_update(self, stream: int, payload: bytes) -> None:
        (increment,) = _U32.unpack_from(payload)
        if stream == 0:
            self._window += increment
        elif stream in self._uploads:
            self._uploads[stream].window += increment
        if self._uploads:
            self._upload()

    def _on_goaway(self, payload: bytes, answers: list[Answer]) -> None:
        """No new calls; those the server will not look at are handed back to be made elsewhere."""
        self.closing = True
        last, code = struct.unpack_from(">II", payload)
        for stream in [stream for stream in self._received if stream > last]:
            kind = UNPROCESSED if code == 0 else f"h2 goaway {code}"
            answers.append(self._finish(stream, kind, payload[8:].decode("utf-8", "replace")))

    def _upload(self) -> None:
        for stream, upload in list(self._uploads.items()):
            body = memoryview(self._body)
            while upload.offset < len(body):
                size = min(self._window, upload.window, self._max_frame, len(body) - upload.offset)
                if size <= 0:
                    break
                piece = body[upload.offset : upload.offset + size]
                upload.offset += size
                upload.window -= size
                self._window -= size
                flags = _END_STREAM if upload.offset == len(body) else 0
                self.output += (_FRAME.pack(size << 8 | _DATA, flags, stream), piece)
            if upload.offset == len(body):
                del self._uploads[stream]

    def _finish(self, stream: int, kind: str, detail: str) -> Answer:
        body = b"".join(self._bodies.get(stream, ()))
        if self._forget(stream):
            # Answered before it was all sent: the server must not wait for the rest.
            self.output.append(_frame(_RST_STREAM, 0, stream, _U32.pack(_CANCEL)))
        return Answer(stream, kind, detail, body)

    def _forget(self, stream: int) -> bool:
        """Drops what is known of a stream; True if its body was not sent to the end."""
        self._received.pop(stream, None)
        self._bodies.pop(stream, None)
        self._failed.pop(stream, None)
        return self._uploads.pop(stream, None) is not None

    def _learn(self, raw: bytes) -> Block:
        try:
            fields = dict(self._decoder.decode(raw))
        except ConnectionFault as error:
            raise Broken(f"HPACK: {error}") from error
        block = Block(
            fields.get(b":status", b"").decode("latin-1"),
            fields.get(b"grpc-status", b"").decode("latin-1"),
            fields.get(b"grpc-message", b"").decode("latin-1"),
        )
        if self._decoder.changed or len(self._known) >= _CACHED_BLOCKS:
            self._known.clear()
        if self._decoder.changed:
            self._decoder.changed = False
        else:
            self._known[raw] = block
        return block

    def _choose_block(self, first: bytes, later: bytes) -> None:
        self._first_block = first
        self._head = _HEAD.pack(len(later) << 8 | _HEADERS, _END_HEADERS)
        self._tail = later + _HEAD.pack(len(self._body) << 8 & 0xFFFFFFFF | _DATA, _END_STREAM)

    def _changing_head(self) -> tuple[bytes, bytes]:
        block = self._first_block or self._tail[:-5]
        if self._first_block:
            self._first_block = b""
        if self._unique is not None:
            block += self._unique.next()
        return _HEAD.pack(len(block) << 8 | _HEADERS, _END_HEADERS), block + self._tail[-5:]


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken("padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]
