from __future__ import annotations

import hyperframe.frame
import pytest

from gateway.wire.http2 import frames
from gateway.wire.http2.frames import ConnectionFault, ErrorCode


def parse(data: bytes) -> hyperframe.frame.Frame:
    parsed, length = hyperframe.frame.Frame.parse_frame_header(memoryview(data[:9]))
    parsed.parse_body(memoryview(data[9 : 9 + length]))
    assert len(data) == 9 + length
    return parsed


def test_frames_as_another_library_reads_them() -> None:
    update = parse(frames.window_update(7, 65_536))
    assert isinstance(update, hyperframe.frame.WindowUpdateFrame)
    assert (update.stream_id, update.window_increment) == (7, 65_536)
    reset = parse(frames.rst_stream(9, ErrorCode.CANCEL))
    assert isinstance(reset, hyperframe.frame.RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (9, 8)
    away = parse(frames.goaway(5, ErrorCode.NO_ERROR, "bye"))
    assert isinstance(away, hyperframe.frame.GoAwayFrame)
    assert (away.last_stream_id, away.error_code, away.additional_data) == (5, 0, b"bye")
    ping = parse(frames.ping(frames.ACK, b"12345678"))
    assert isinstance(ping, hyperframe.frame.PingFrame)
    assert "ACK" in ping.flags
    settings = parse(frames.settings([(3, 100), (4, 70_000)]))
    assert isinstance(settings, hyperframe.frame.SettingsFrame)
    assert settings.settings == {3: 100, 4: 70_000}


def test_settings_round_trip() -> None:
    assert frames.parse_settings(frames.settings([(3, 100), (9, 1)])[9:]) == [(3, 100), (9, 1)]
    with pytest.raises(ConnectionFault) as caught:
        frames.parse_settings(b"12345")
    assert caught.value.code is ErrorCode.FRAME_SIZE_ERROR


@pytest.mark.parametrize("size", [0, 10, 11, 20, 25])
def test_long_blocks_are_continued(size: int) -> None:
    block = bytes(range(size))
    data = frames.header_block(3, block, end_stream=True, max_frame=10)
    joined, flags, kinds = b"", [], []
    while data:
        word, flag, stream_id = frames.HEADER.unpack_from(data)
        assert stream_id == 3
        assert word >> 8 <= 10
        joined += data[9 : 9 + (word >> 8)]
        flags.append(flag)
        kinds.append(word & 0xFF)
        data = data[9 + (word >> 8) :]
    assert joined == block
    assert kinds == [frames.HEADERS] + [frames.CONTINUATION] * (len(kinds) - 1)
    assert flags[0] & frames.END_STREAM
    assert [bool(flag & frames.END_HEADERS) for flag in flags] == [False] * (len(flags) - 1) + [True]
