from __future__ import annotations

import pytest

from gateway.wire.http2 import frames
from gateway.wire.http2.control import check_dependency, greeting
from gateway.wire.http2.frames import ConnectionFault
from gateway.wire.settings import WireSettings
from tests.fakes.http2 import Http2, rst


def test_a_default_window_needs_no_update() -> None:
    assert greeting(WireSettings(http2_connection_window=65_535))[3] == frames.SETTINGS
    assert len(greeting(WireSettings(http2_connection_window=65_535))) == 9 + 6 * 6
    assert len(greeting(WireSettings())) == 9 + 6 * 6 + 13


def test_a_dependency_on_oneself() -> None:
    check_dependency(3, b"\0\0\0\x05\x10", 0)
    check_dependency(3, b"x\0\0\0\x05\x10", 1)
    for payload in (b"\0\0\0\x03\x10", b"\x80\0\0\x03\x10"):
        with pytest.raises(ConnectionFault):
            check_dependency(3, payload, 0)


def test_resets_and_updates_of_finished_streams_are_ignored() -> None:
    http = Http2()
    http.send(
        http.request(1), frames.window_update(1, 5), rst(1), frames.window_update(1, 0), http.request(3)
    )
    assert http.answer(3).ended
    assert http.answers[1].reset is None


def test_a_larger_frame_size_is_used() -> None:
    http = Http2(client_settings=[(4, 1 << 20), (5, 1 << 20)])
    http.send(frames.window_update(0, 1 << 20), http.request(1, bytes(60_000)))
    assert [len(frame.payload) for frame in http.kinds(frames.DATA)] == [60_000]


def test_a_smaller_table_setting_is_answered_with_an_update() -> None:
    http = Http2(client_settings=[(1, 4095)])
    http.send(http.request(1, b"x"))
    assert http.frames()[0].payload[:1] == b"\x20"
    assert http.answers[1].body == b"x"
