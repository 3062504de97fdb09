from __future__ import annotations

import socket

import msgspec
import pytest

from gateway.cli.bench.grpc import GrpcDialogue, GrpcRequest
from gateway.cli.bench.hpack import make_blocks
from gateway.cli.bench.job import Failed, Job, Progress, Ready, Start, ToParent, make_dialogue, receive, send
from gateway.cli.bench.plan import Plan
from gateway.cli.bench.rest import RestDialogue, RestRequest
from gateway.cli.bench.tally import Mark, Tally

REST = RestRequest(b"POST / HTTP/1.1\r\n", b"body")
GRPC = GrpcRequest(make_blocks([(b":path", b"/x"), (b"te", b"trailers")]), bytes(100_000))


@pytest.mark.parametrize("call", [REST, GRPC])
def test_a_job_arrives_as_it_was_sent(call: RestRequest | GrpcRequest) -> None:
    plan = Plan(model="m", shapes={"x": (1, 2)}, headers=(("a", "b"),), cpus=(1, 2))
    job = Job(plan, 1, int(socket.AF_INET), ["127.0.0.1", 80], call)
    mine, theirs = socket.socketpair()
    with mine, theirs:
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        send(mine, job)
        send(mine, Start(1.5))
        assert msgspec.msgpack.decode(receive(theirs), type=Job) == job
        assert msgspec.msgpack.decode(receive(theirs), type=Start) == Start(1.5)


def test_what_a_process_says_is_told_apart() -> None:
    outcome = Tally().close(Mark(0.0, 0, 0, 0.0), Mark(1.0, 1, 2, 0.5), 1.0)
    for message in (Ready(), Failed("why"), Progress(1, 2), outcome):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=ToParent) == message


def test_a_closed_link_is_the_end() -> None:
    mine, theirs = socket.socketpair()
    with theirs:
        mine.sendall(b"\0\0\0\x09half")
        mine.close()
        with pytest.raises(EOFError):
            receive(theirs)


def test_the_call_chooses_the_protocol() -> None:
    plan = Plan(model="m")
    assert isinstance(make_dialogue(plan, REST, seed=1, keep_bodies=False), RestDialogue)
    assert isinstance(make_dialogue(plan, GRPC, seed=1, keep_bodies=False), GrpcDialogue)
