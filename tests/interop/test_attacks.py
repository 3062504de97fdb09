"""Attacks on the whole gateway: each is cut off with the right word, and nobody else notices.

CVE numbers name what such an attack did to other servers.
"""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections.abc import Callable, Generator, Iterable
from itertools import chain, count, islice, repeat
from urllib.parse import urlsplit

import grpc
import pytest

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import until_blocking
from tests.interop.bystander import Bystander
from tests.interop.http2_peer import (
    Http2Peer,
    continuation,
    data,
    fields,
    ping,
    raw,
    reset,
    settings_frame,
    window_update,
)
from tests.soak.footprint import Footprint, look
from tests.soak.oracle import MODELS, Oracle
from tests.soak.speaking import INFER, binary_body, path_of

LIMITS = {
    "GATEWAY_WIRE__HEADERS_TIMEOUT_S": "1.5",
    "GATEWAY_WIRE__WRITE_IDLE_TIMEOUT_S": "1.5",
    "GATEWAY_WIRE__BODY_IDLE_TIMEOUT_S": "3",
}
ENHANCE_YOUR_CALM = 11
CANCEL = 8
# What an attack may cost while it lasts, beyond what the gateway had before: buffers of one connection
# (its windows, its unsent answers) and the allocator's slack.
COST_BYTES = 64 << 20
# 1,030 times as large as it looks, and yet less than the window of a stream.
BOMB_BYTES = 768 << 20


@pytest.fixture(scope="module")
def served() -> Generator[Gateway]:
    """A gateway with short deadlines, whose processes must all live to the end."""
    with gateway(MODELS, environment=LIMITS) as running:
        with Bystander(running) as warm:
            until_blocking(lambda: warm.done > 50)
        family = {one.pid for one in running.processes()}
        yield running
        assert {one.pid for one in running.processes()} == family
        assert running.stop() == 0
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(autouse=True)
def footprint(served: Gateway) -> Generator[Footprint]:
    """Runs each attack beside a bystander; afterwards no connection and little memory is left of it."""
    before = look(served.process.pid)
    with Bystander(served):
        yield before
    until_blocking(lambda: served.page()["gateway_connections"] == 0)
    after = look(served.process.pid)
    assert after.pss_bytes < before.pss_bytes + COST_BYTES, f"{before}\n{after}"


def requests(peer: Http2Peer) -> Iterable[tuple[int, bytes]]:
    """Bodies to come, on one stream after another."""
    post = fields("/v2/models/identity/infer", "POST")
    return ((stream_id, peer.request(stream_id, post, ends=False)) for stream_id in count(1, 2))


def resets(peer: Http2Peer) -> Iterable[bytes]:
    """CVE-2023-44487, rapid reset."""
    return (frames + reset(stream_id) for stream_id, frames in requests(peer))


def provoked_resets(peer: Http2Peer) -> Iterable[bytes]:
    """CVE-2025-8671, the server is made to reset: by a window update of nothing."""
    return (frames + raw(8, 0, stream_id, bytes(4)) for stream_id, frames in requests(peer))


def overflown_windows(peer: Http2Peer) -> Iterable[bytes]:
    """The same by windows of more than 2**31 - 1."""
    return (frames + window_update(stream_id, (1 << 31) - 1) for stream_id, frames in requests(peer))


def refused_streams(peer: Http2Peer) -> Iterable[bytes]:
    """Far more streams at once than were allowed; none of them ends, so a quick server does not help."""
    return (peer.request(stream_id, ends=False) for stream_id in count(1, 2))


def late_resets(peer: Http2Peer) -> Iterable[bytes]:
    """Resets of a stream that is over."""
    return chain([peer.request(1)], repeat(reset(1)))


def empty_data(peer: Http2Peer) -> Iterable[bytes]:
    """CVE-2019-9518."""
    return chain([peer.request(1, ends=False)], repeat(data(1)))


def empty_continuations(peer: Http2Peer) -> Iterable[bytes]:
    """CVE-2024-27316 and its kin: a header block without an end."""
    block = peer.encoder.encode(fields())
    return chain([raw(1, 0x1, 1, block)], repeat(continuation(1, b"")))


def full_continuations(peer: Http2Peer) -> Iterable[bytes]:
    """The same, of 16 KiB each."""
    return chain([raw(1, 0x1, 1, b"")], repeat(continuation(1, bytes(16_384))))


def hpack_bomb(peer: Http2Peer) -> Iterable[bytes]:
    """CVE-2016-6581: one table entry of 4,000 bytes, named again by each further byte of the block."""
    entry = b"\x40\x01x" + _hpack_integer(4000, 7) + b"a" * 4000
    block = peer.encoder.encode(fields()) + entry + b"\xbe" * 10_000
    return [raw(1, 0x5, 1, block)]


def _hpack_integer(value: int, bits: int) -> bytes:
    """RFC 7541 section 5.1."""
    most = (1 << bits) - 1
    encoded, value = bytearray([most]), value - most
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


FLOODS: list[Callable[[Http2Peer], Iterable[bytes]]] = [
    resets,
    provoked_resets,
    overflown_windows,
    refused_streams,
    late_resets,
    empty_data,
    empty_continuations,
    full_continuations,
    hpack_bomb,
    lambda _: repeat(ping()),  # CVE-2019-9512
    lambda _: repeat(settings_frame()),  # CVE-2019-9515
    lambda _: repeat(settings_frame({4: 1 << 20, 1: 4096})),
    lambda _: repeat(window_update(0, 1)),
    lambda _: repeat(raw(2, 0, 1, bytes(4) + b"\x10")),  # CVE-2019-9513: PRIORITY
    lambda _: repeat(raw(0xFA, 0, 0, b"?")),  # a type nobody knows
]
NAMES = ["ping", "settings", "settings_with_values", "window_update", "priority", "unknown_type"]
# A flood is over long before: the budgets are a thousand frames and a few hundred a second.
MOST = 50_000


@pytest.mark.parametrize("flood", FLOODS, ids=[*(one.__name__ for one in FLOODS[: -len(NAMES)]), *NAMES])
def test_a_flood_is_told_to_calm_down(served: Gateway, flood: Callable[[Http2Peer], Iterable[bytes]]) -> None:
    with Http2Peer(served.http) as peer:
        sent = peer.flood(islice(flood(peer), MOST))
        assert peer.goaway() == ENHANCE_YOUR_CALM
        assert sent < MOST


def test_a_small_hpack_bomb_costs_its_stream_only(served: Gateway) -> None:
    with Http2Peer(served.http) as peer:
        entry = b"\x40\x01x" + _hpack_integer(4000, 7) + b"a" * 4000
        peer.send(raw(1, 0x5, 1, peer.encoder.encode(fields()) + entry + b"\xbe" * 100))
        until_blocking(lambda: peer.hear() and peer.has_answer(1))
        assert peer.goaway() is None


def test_a_header_block_that_never_ends_is_over_at_the_deadline(served: Gateway) -> None:
    with Http2Peer(served.http) as peer:
        peer.send(raw(1, 0, 1, peer.encoder.encode(fields())))
        peer.hear_all()
        assert peer.goaway() == ENHANCE_YOUR_CALM


def test_pings_of_a_client_that_never_reads_are_not_answered_for_ever(served: Gateway) -> None:
    with Http2Peer(served.http) as peer:
        peer.send(ping() * MOST)
        until_blocking(lambda: not peer.send(ping()))


def identity_requests(peer: Http2Peer, number: int) -> bytes:
    """Requests whose answers are 256 KiB each."""
    case = Oracle(1).identity(1 << 16)
    body, json_size = binary_body(case)
    post = fields(path_of(case), "POST", ("inference-header-content-length", str(json_size)))
    return b"".join(
        peer.request(stream_id, post, ends=False)
        + b"".join(data(stream_id, body[at : at + 16_384]) for at in range(0, len(body), 16_384))
        + data(stream_id, ends=True)
        for stream_id in range(1, 2 * number, 2)
    )


def test_streams_of_a_client_without_a_window_are_given_up(served: Gateway) -> None:
    """CVE-2019-9517, CVE-2019-9511 and the zero-window reader: answers that wait must not wait for ever."""
    with Http2Peer(served.http, {4: 0}) as peer:
        peer.send(identity_requests(peer, 20))
        until_blocking(lambda: peer.hear() and len(resets_heard(peer)) == 20)
        assert resets_heard(peer) == dict.fromkeys(range(1, 40, 2), CANCEL)
        assert served.infer("fraud", {"inputs": []})[0] == 400


def test_a_window_that_opens_byte_by_byte_does_not_hold_a_stream(served: Gateway) -> None:
    with Http2Peer(served.http, {4: 0}, timeout_s=0.1) as peer:
        peer.send(identity_requests(peer, 1))
        until_blocking(lambda: dribble(peer) and 1 in resets_heard(peer))
        assert resets_heard(peer)[1] == CANCEL


def dribble(peer: Http2Peer) -> bool:
    """One byte more of stream 1, and whatever comes within a tenth of a second."""
    peer.send(window_update(1, 1))
    try:
        return peer.hear()
    except TimeoutError:
        return True


def resets_heard(peer: Http2Peer) -> dict[int, int]:
    return {one.stream_id: int(one.error_code) for one in peer.heard if one.type == 3}


def test_a_client_that_takes_nothing_is_cut_off(served: Gateway) -> None:
    """Windows wide open, but the socket is never read."""
    wide = {4: (1 << 31) - 1}
    with Http2Peer(served.http, wide) as peer:
        peer.send(window_update(0, (1 << 30)), identity_requests(peer, 50))
        until_blocking(lambda: served.page()["gateway_connections"] <= 2)


# ---- HTTP/1.1 and bodies ---------------------------------------------------------------------------------


def dial(served: Gateway) -> socket.socket:
    where = urlsplit(served.http)
    return socket.create_connection((where.hostname, where.port), 20)


def status_of(sock: socket.socket, *pieces: bytes) -> int:
    """Sends what is taken of `pieces`, and returns the answer's status."""
    try:
        for piece in pieces:
            sock.sendall(piece)
    except OSError:
        pass  # refused before it was all sent, as a large one may be
    line = b""
    while b"\r\n" not in line and (more := sock.recv(4096)):
        line += more
    return int(line.split()[1]) if line else 0


def post(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{one}\r\n" for one in headers)
    head = f"POST /v2/models/identity/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return head.encode() + body


def bomb(size: int) -> bytes:
    """Zeros in gzip form, without the checksum at the end, which nobody should get to."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + piece * (size >> 24)


@pytest.fixture(scope="module")
def gzip_bomb() -> bytes:
    return bomb(BOMB_BYTES)


def test_a_gzip_bomb_over_rest_is_too_large(served: Gateway, gzip_bomb: bytes, footprint: Footprint) -> None:
    with dial(served) as sock:
        assert status_of(sock, post(gzip_bomb, "Content-Encoding: gzip")) == 413
    assert look(served.process.pid).pss_bytes < footprint.pss_bytes + COST_BYTES


def test_a_bomb_within_a_bomb_is_not_unpacked_twice(served: Gateway, gzip_bomb: bytes) -> None:
    with dial(served) as sock:
        body = gzip.compress(gzip_bomb)
        assert status_of(sock, post(body, "Content-Encoding: gzip, gzip")) in {400, 413, 415, 501}


def test_a_gzip_bomb_over_grpc_is_too_large(served: Gateway, gzip_bomb: bytes, footprint: Footprint) -> None:
    with Http2Peer(served.http) as peer:
        extra = (("content-type", "application/grpc"), ("te", "trailers"), ("grpc-encoding", "gzip"))
        peer.send(peer.request(1, fields(INFER, "POST", *extra), ends=False))
        message = b"\1" + len(gzip_bomb).to_bytes(4, "big") + gzip_bomb
        peer.send(*(data(1, message[at : at + 16_000]) for at in range(0, len(message), 16_000)))
        peer.send(data(1, ends=True))
        until_blocking(lambda: peer.has_answer(1) or not peer.hear())
        assert grpc_status(peer) == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert look(served.process.pid).pss_bytes < footprint.pss_bytes + COST_BYTES


def grpc_status(peer: Http2Peer) -> int:
    import hpack

    decoder = hpack.Decoder()
    told: dict[str, str] = {}
    for frame in peer.heard:
        if frame.type == 1:
            told |= dict(decoder.decode(frame.data))
    return int(told["grpc-status"])


def test_a_flood_of_one_byte_chunks_is_too_large(served: Gateway) -> None:
    head = b"POST /v2/models/identity/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with dial(served) as sock:
        assert status_of(sock, head, *repeat(b"1\r\n \r\n" * 1000, 70)) == 413


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b'{"inputs":' * 100_000,
        b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1,1],"data":'
        + b"[" * 5000
        + b"]" * 5000
        + b"}]}",
        b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":' + b"[" * 900 + b"1" + b"]" * 900 + b"}]}",
        b'{"parameters":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b',"inputs":[]}',
        json.dumps({
            "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [2**62, 2**62], "data": [1]}]
        }).encode(),
        b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[' + b"1," * 500_000 + b'1],"data":[1]}]}',
        b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1,1],"data":[1e999]}]}'.replace(
            b"}]", b"}," * 50
        ),
        b'{"id":"' + b"\\u0000" * 1000 + b'","inputs":[]}',
        b'{"inputs":[' + b'{"name":"INPUT0"},' * 50_000 + b"1]}",
    ],
    ids=range(10),
)
def test_json_that_is_deep_wide_or_a_lie_is_a_bad_request(served: Gateway, body: bytes) -> None:
    with dial(served) as sock:
        assert status_of(sock, post(body)) == 400


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"a" * 100_000 + b"\r\n",
        b"".join(b"x%d: a\r\n" % number for number in range(1000)),
        b"a" * 100_000 + b": a\r\n",
        b"".join(b"X: %s\r\n" % (b"a" * 8000) for _ in range(20)),
    ],
    ids=["long value", "many", "long name", "long in sum"],
)
def test_oversized_headers_are_too_large(served: Gateway, head: bytes) -> None:
    with dial(served) as sock:
        assert status_of(sock, b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n") == 431


def test_an_endless_request_line_is_refused(served: Gateway) -> None:
    with dial(served) as sock:
        assert status_of(sock, b"GET /" + b"a" * 1_000_000) in {400, 414, 431}


def test_oversized_headers_over_http2_are_too_large(served: Gateway) -> None:
    with Http2Peer(served.http) as peer:
        block = peer.encoder.encode([*fields(), ("x", "~" * 40_000), ("y", "~" * 30_000)], huffman=False)
        pieces = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
        last = len(pieces) - 1
        middle = b"".join(continuation(1, piece, ends=at == last) for at, piece in enumerate(pieces) if at)
        peer.send(raw(1, 0x1, 1, pieces[0]) + middle)
        until_blocking(lambda: peer.hear() and peer.has_answer(1))
        assert peer.goaway() is None


def test_requests_of_a_client_that_never_reads_are_not_answered_for_ever(
    served: Gateway, footprint: Footprint
) -> None:
    """Pipelined without end: answers stop when they are not taken, and then the connection does."""
    with dial(served) as sock:
        sock.settimeout(30)
        some = b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
        with pytest.raises(OSError):  # ruff: ignore[pytest-raises-with-multiple-statements, pytest-raises-too-broad] - reset or broken pipe, as the kernel likes
            for _ in range(10_000):
                sock.sendall(some)
        assert look(served.process.pid).pss_bytes < footprint.pss_bytes + COST_BYTES
