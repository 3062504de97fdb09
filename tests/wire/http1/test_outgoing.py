from __future__ import annotations

import logging

import pytest

from gateway.wire.http1.outgoing import Outgoing
from tests.fakes.transport import FakeTransport


class Protocol:
    """Only what flow control calls."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.outgoing = outgoing

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        self.outgoing.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        self.outgoing.lost()


def make() -> tuple[FakeTransport, Outgoing]:
    transport = FakeTransport()
    outgoing = Outgoing(transport, 1 << 20)
    transport.set_protocol(Protocol(outgoing))  # type: ignore[arg-type]
    return transport, outgoing


def test_callbacks_wait_for_the_last_byte() -> None:
    transport, outgoing = make()
    transport.taking = False
    transport.write(b"x" * 1000)
    order: list[int] = []
    outgoing.call_when_written(lambda: order.append(1))
    transport.write(b"y")
    outgoing.call_when_written(lambda: order.append(2))
    transport.take(1000)
    assert not order
    transport.take()
    assert order == [1, 2]
    assert transport.get_write_buffer_limits() == (1 << 18, 1 << 20)


def test_nothing_unsent_is_at_once() -> None:
    _, outgoing = make()
    order: list[int] = []
    outgoing.call_when_written(lambda: order.append(1))
    assert order == [1]


def test_one_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    transport, outgoing = make()
    transport.taking = False
    transport.write(b"x")
    order: list[int] = []

    def fail() -> None:
        raise ZeroDivisionError

    outgoing.call_when_written(fail)
    outgoing.call_when_written(lambda: order.append(2))
    with caplog.at_level(logging.ERROR):
        transport.lose()
    assert order == [2]
    assert len(caplog.records) == 1


def test_without_a_socket_nobody_can_be_asked() -> None:
    _, outgoing = make()
    assert outgoing.has_reader(0.0, may_probe=True)
    outgoing.reset_on_close()
