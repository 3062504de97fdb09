from __future__ import annotations

from gateway.cli.bench.dialogue import Answer, Dialogue
from gateway.cli.bench.grpc import GrpcDialogue, GrpcRequest
from gateway.cli.bench.hpack import make_blocks
from gateway.cli.bench.rest import RestDialogue, RestRequest


def test_an_answer_is_a_success_unless_it_says_otherwise() -> None:
    assert Answer(3) == (3, "", "", b"")


def test_both_protocols_begin_alike() -> None:
    both: list[Dialogue] = [
        RestDialogue(RestRequest(b"POST / HTTP/1.1\r\n", b"")),
        GrpcDialogue(GrpcRequest(make_blocks([(b":path", b"/x")]), b"")),
    ]
    for dialogue in both:
        dialogue.open()
        assert not dialogue.closing
        assert dialogue.expected == 0
        assert dialogue.limit >= 1
        assert dialogue.end() == []
    assert [dialogue.ready for dialogue in both] == [True, False]
