"""Random and spoilt bytes: never an exception, never an answer to nobody, never a leak."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.http2 import frames
from tests.fakes.http2 import Http2, data, rst
from tests.fakes.services import EchoService, FakeBodyMemory

FRAMES = st.builds(
    frames.frame,
    st.integers(0, 11),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 5, 7, (1 << 31) - 1, 1 << 31 | 1]),
    st.one_of(st.binary(max_size=40), st.sampled_from([b"\x83\x86\x84", b"\0\0\0\x01", bytes(8), bytes(5)])),
)


def settle(http: Http2) -> None:
    """Ends what is still open and asserts that nothing is held."""
    http.sweep(1)
    if not http.transport.closed:
        http.connection._sender.check()
    http.transport.lose()
    assert http.connection.is_idle
    service, memory = http.service, http.memory
    assert isinstance(service, EchoService)
    assert isinstance(memory, FakeBodyMemory)
    calls = [*service.echo.calls, *service.late.calls]
    handed = [lease for _, _, lease in calls if lease is not None]
    assert [lease for lease in memory.leases if lease.holds] == handed


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAMES, max_size=25), st.lists(st.integers(0, 2000), max_size=5))
def test_any_frames(said: list[bytes], cuts: list[int]) -> None:
    http = Http2()
    whole, at = b"".join(said), 0
    for cut in [*sorted(cuts), len(whole)]:
        http.send(whole[at : max(at, cut)])
        at = max(at, cut)
    settle(http)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=10), st.booleans())
def test_any_bytes(said: list[bytes], greet: bool) -> None:
    http = Http2(greet=greet)
    http.send(*said)
    settle(http)


def conversation(http: Http2) -> bytes:
    said = http.request(1, b"hello") + http.headers(3, b"/stream") + data(3, b"x" * 50, padding=7)
    said += http.request(5, b"", b"/late") + frames.window_update(5, 100) + frames.ping(0, b"12345678")
    said += http.headers(7, b"/", (b"content-length", b"6000")) + data(7, bytes(5000)) + rst(5)
    said += data(7, bytes(1000), end=True) + data(3, b"", end=True) + frames.settings([(4, 100_000)])
    return said + http.request(9, b"bye") * 1


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6500), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(5, 700),
)
def test_spoilt_conversations(spoilt: list[tuple[int, int]], step: int) -> None:
    http = Http2(EchoService(), shared_body_bytes=4096)
    said = bytearray(conversation(http))
    for at, value in spoilt:
        said[at % len(said)] = value
    for at in range(0, len(said), step):
        http.send(bytes(said[at : at + step]))
    settle(http)


def test_the_conversation_itself_is_fine() -> None:
    http = Http2(EchoService(), shared_body_bytes=4096)
    http.send(conversation(http))
    assert [http.answer(stream).body for stream in (1, 3, 9)] == [b"hello", b"x" * 50, b"bye"]
    assert http.answer(7).body == bytes(6000)
    assert http.failed_with() is None
