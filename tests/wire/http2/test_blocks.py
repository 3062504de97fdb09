from __future__ import annotations

import pytest

from gateway.wire.http2.blocks import HeaderBlocks
from gateway.wire.http2.frames import ConnectionFault, ErrorCode, StreamFault
from gateway.wire.settings import WireSettings
from tests.fakes.services import EchoService, RoutingService, StreamEndpoint

BLOCK = b"\x83\x86\x84"


def make() -> tuple[HeaderBlocks, EchoService]:
    echoes = EchoService()
    return HeaderBlocks(echoes, WireSettings()), echoes


def test_a_block_is_remembered_from_its_second_time_on() -> None:
    blocks, echoes = make()
    first, second = blocks.read(BLOCK), blocks.read(BLOCK)
    assert first is not second
    assert blocks.heads == {BLOCK: second}
    assert second.endpoint is second.routed is echoes.echo
    assert second.is_plain


def test_all_are_forgotten_when_the_table_changes() -> None:
    blocks, _ = make()
    blocks.read(BLOCK)
    blocks.read(BLOCK)
    blocks.read(BLOCK + b"\x40\x01a\x01b")
    assert not blocks.heads
    blocks.read(BLOCK)
    assert not blocks.heads  # seen once under this table


@pytest.mark.parametrize("follow", ["follow", "read_trailers"])
def test_blocks_of_no_request_change_the_table_too(follow: str) -> None:
    blocks, _ = make()
    blocks.read(BLOCK)
    blocks.read(BLOCK)
    getattr(blocks, follow)(b"\x40\x01a\x01b")
    assert not blocks.heads


def test_memory_is_bounded() -> None:
    blocks, _ = make()
    for number in range(2000):
        block = BLOCK + b"\x00\x01a\x04%04d" % number
        blocks.read(block)
        blocks.read(block)
    assert len(blocks.heads) <= 64
    large = BLOCK + b"\x00\x01a\x7f\x81\x17" + b"b" * 3072
    blocks.read(large)
    blocks.read(large)
    assert large not in blocks.heads


def test_what_is_not_plain() -> None:
    streaming = HeaderBlocks(RoutingService(StreamEndpoint()), WireSettings())
    assert not streaming.read(BLOCK).is_plain
    blocks, _ = make()
    assert not blocks.read(BLOCK + b"\x0f\x0d\x015").is_plain
    assert not blocks.read(b"\x42\x04HEAD\x86\x84").is_plain


def test_fragments() -> None:
    blocks, _ = make()
    blocks.begin(5, BLOCK[:1], ends_stream=True)
    assert blocks.open_id == 5
    blocks.go_on(BLOCK[1:])
    assert blocks.complete() == (BLOCK, True)
    assert blocks.open_id == 0


def test_a_smaller_table_holds_from_the_acknowledgement_on() -> None:
    blocks, _ = make()
    blocks.follow(b"\x3f\xe1\x1f")  # 4096
    blocks.limit_table(100)
    with pytest.raises(ConnectionFault) as caught:
        blocks.follow(b"\x3f\xe1\x1f")
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


def test_a_malformed_request_keeps_the_table_right() -> None:
    blocks, _ = make()
    with pytest.raises(StreamFault):
        blocks.read(b"\x83\x86\x40\x01A\x01b")
    with pytest.raises(StreamFault):
        blocks.read(BLOCK + b"\xbe")
    assert blocks.read(BLOCK).path == b"/"
