"""What the parent and its generating processes say to each other: msgpack behind a four-byte length."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from gateway.cli.bench.dialogue import Dialogue
from gateway.cli.bench.grpc import GrpcDialogue, GrpcRequest
from gateway.cli.bench.hpack import encode_literal
from gateway.cli.bench.plan import Plan
from gateway.cli.bench.rest import RestDialogue, RestRequest
from gateway.cli.bench.tally import Outcome
from gateway.cli.bench.unique import EncodeField, Unique

_LENGTH_BYTES = 4
# What grpc-timeout counts down from when the plan has no deadline.
_UNIQUE_TIMEOUT_S = 30.0


Call = RestRequest | GrpcRequest


class Job(msgspec.Struct, frozen=True, tag=True):
    """To a process: what to send where, and which part of the load is its own."""

    plan: Plan
    index: int
    family: int
    address: list[Any]
    call: Call


class Start(msgspec.Struct, frozen=True, tag=True):
    """To a process: begin at this time of the monotonic clock, which all processes share."""

    at: float


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a process: all its connections are open."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """From a process: it cannot do its job, and why."""

    text: str


class Progress(msgspec.Struct, frozen=True, tag=True):
    """From a process, a few times a second: measured requests so far."""

    succeeded: int
    failed: int


ToChild = Job | Start
ToParent = Ready | Failed | Progress | Outcome


def send(link: socket.socket, message: ToChild | ToParent) -> None:
    """Writes one message; blocks."""
    data = msgspec.msgpack.encode(message)
    link.sendall(len(data).to_bytes(_LENGTH_BYTES, "big") + data)


def receive(link: socket.socket) -> bytes:
    """Reads one message; blocks; raises EOFError when the other side is gone."""
    return _read(link, int.from_bytes(_read(link, _LENGTH_BYTES), "big"))


def _read(link: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = link.recv(min(size - len(data), 1 << 20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def make_dialogue(plan: Plan, call: Call, *, seed: int, keep_bodies: bool) -> Dialogue:
    """A new connection's protocol; connections with different seeds never send the same metadata."""
    if isinstance(call, RestRequest):
        unique = _unique(plan, _header_line, None, seed)
        return RestDialogue(call, unique=unique, keep_bodies=keep_bodies)
    timeout_us = round((plan.deadline_s or _UNIQUE_TIMEOUT_S) * 1e6)
    unique = _unique(plan, encode_literal, timeout_us, seed)
    return GrpcDialogue(call, unique=unique, keep_bodies=keep_bodies)


def _unique(plan: Plan, encode: EncodeField, timeout_us: int | None, seed: int) -> Unique | None:
    if not plan.unique_metadata:
        return None
    return Unique(encode, timeout_us=timeout_us, tokens=plan.tokens, seed=seed)


def _header_line(name: bytes, value: bytes) -> bytes:
    return b"%b: %b\r\n" % (name, value)
