"""Kinds of clients, good and bad, each a loop in a thread of its own until told to stop."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPResponse
from typing import NamedTuple
from urllib.parse import urlsplit

import grpc

from gateway.generated import open_inference_pb2 as pb
from tests.soak.oracle import Case, Oracle
from tests.soak.speaking import (
    HEADER_LENGTH,
    INFER,
    RestClient,
    arrays_of,
    arrays_of_message,
    message,
    request_bytes,
)

# Values of FP32 in a big body: 1 to 4 MiB.
BIG = (1 << 18, 1 << 20)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
# What a caller that breaks off or waits for 20 ms at the most may hear.
_BROKEN_OFF = {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}


class Tally:
    """What all clients did, by kind, and what went wrong. Shared by threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._lock = threading.Lock()

    def add(self, kind: str, fault: str = "") -> None:
        """One thing done, well unless `fault` says otherwise."""
        with self._lock:
            self.counts[kind] += 1
            if fault:
                self.faults.append(f"{kind}: {fault}")


class Client(NamedTuple):
    """What a loop works with. `dice` is its own; `stop` is everybody's."""

    http: str
    grpc: str
    tally: Tally
    stop: threading.Event
    seed: int
    dice: random.Random

    @property
    def oracle(self) -> Oracle:
        return Oracle(self.seed)

    def dial(self, *, receive_bytes: int = 0) -> socket.socket:
        """A raw connection to the HTTP port."""
        where = urlsplit(self.http)
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(30)
        sock.connect((where.hostname, where.port))
        return sock

    def turns(self, pause_s: float) -> Generator[None]:
        """One turn after another, `pause_s` between them, until the end."""
        while not self.stop.is_set():
            yield
            self.stop.wait(pause_s)


def rest(client: Client) -> None:
    """Good requests over REST, JSON and binary in turns, every answer compared."""
    oracle = client.oracle
    with closing(RestClient(client.http)) as good:
        for _ in client.turns(0.001):
            binary = client.dice.random() < 0.5
            fault = good.fault(oracle.any(), binary=binary)
            client.tally.add("rest binary" if binary else "rest json", fault)


def big_rest(client: Client) -> None:
    """Good requests of 1 to 4 MiB, which travel in shared memory."""
    oracle = client.oracle
    with closing(RestClient(client.http)) as good:
        for _ in client.turns(0.05):
            case = oracle.identity(client.dice.randint(*BIG))
            client.tally.add("rest big", good.fault(case, binary=True))


def grpc_calls(client: Client) -> None:
    """Sixteen calls at once, of which 60 % are cancelled or have no time; the others must be right."""
    oracle = client.oracle
    with grpc.insecure_channel(client.grpc, _UNLIMITED) as channel:
        infer = channel.unary_unary(
            INFER,
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        # Some 300 calls a second and so 180 resets: an honest client, below the limit on resets.
        for turn, _ in enumerate(client.turns(0.05)):
            size = BIG[0] if turn % 20 == 0 else 2000
            calls = [_call(client.dice, infer, oracle.any(largest=size)) for _ in range(16)]
            client.stop.wait(client.dice.random() * 0.02)
            for is_patient, case, future in calls:
                if not is_patient and future.is_active() and client.dice.random() < 0.5:
                    future.cancel()
                kind = "grpc" if is_patient else "grpc broken off"
                client.tally.add(kind, _grpc_fault(case, future, is_patient=is_patient))


def _call(
    dice: random.Random, infer: grpc.UnaryUnaryMultiCallable, case: Case
) -> tuple[bool, Case, grpc.Future]:
    is_patient = dice.random() < 0.4
    timeout_s = 60.0 if is_patient else dice.choice((60.0, 0.001 + dice.random() * 0.02))
    return is_patient, case, infer.future(message(case), timeout=timeout_s)


def _grpc_fault(case: Case, future: grpc.Future, *, is_patient: bool) -> str:
    try:
        return case.fault(arrays_of_message(future.result()))
    except (grpc.RpcError, grpc.FutureCancelledError):
        if not is_patient and future.code() in _BROKEN_OFF:
            return ""
        return f"{case.model}: {future.code()} {future.details()}"


def slow_reader(client: Client) -> None:
    """Asks for 1 MiB and takes it by 16 KiB, with a receive buffer that holds little."""
    oracle = client.oracle
    for _ in client.turns(0.0):
        case = oracle.identity(BIG[0])
        with closing(client.dial(receive_bytes=16 << 10)) as sock:
            sock.sendall(request_bytes(case, binary=True))
            answer = HTTPResponse(sock)
            answer.begin()
            pieces = list(_slowly(answer, client.stop))
            fault = case.fault(arrays_of(b"".join(pieces), answer.getheader(HEADER_LENGTH)))
            client.tally.add("slow reader", fault)
            answer.close()


def _slowly(answer: HTTPResponse, stop: threading.Event) -> Iterable[bytes]:
    """All of the body; once it is time to stop, as fast as it comes."""
    while piece := answer.read(16 << 10):
        yield piece
        stop.wait(0.01)


def aborted_uploads(client: Client) -> None:
    """Requests that end somewhere in the middle, by FIN or RST."""
    oracle = client.oracle
    for _ in client.turns(0.01):
        big = client.dice.random() < 0.2
        case = oracle.identity(BIG[0]) if big else oracle.any()
        whole = request_bytes(case, binary=client.dice.random() < 0.5)
        with _torn(client, "upload") as sock:
            sock.sendall(whole[: client.dice.randrange(len(whole))])


def aborted_downloads(client: Client) -> None:
    """Whole requests, pipelined now and then, whose answers are not read to the end."""
    oracle = client.oracle
    for _ in client.turns(0.01):
        big = client.dice.random() < 0.2
        case = oracle.identity(BIG[0]) if big else oracle.any()
        with _torn(client, "download") as sock:
            sock.sendall(request_bytes(case, binary=big) * client.dice.choice((1, 1, 3)))
            if client.dice.random() < 0.8:
                sock.recv(client.dice.choice((1, 100, 100_000)))


def garbage(client: Client) -> None:
    """Random bytes, and good requests with some bytes changed."""
    oracle = client.oracle
    for _ in client.turns(0.01):
        data = bytearray(request_bytes(oracle.any(largest=50), binary=client.dice.random() < 0.5))
        for _ in range(client.dice.randint(1, 20)):
            data[client.dice.randrange(len(data))] = client.dice.randrange(256)
        with _torn(client, "garbage") as sock:
            sock.sendall(client.dice.choice((bytes(data), os.urandom(client.dice.randint(1, 5000)))))
            sock.settimeout(0.05)
            sock.recv(65536)


def http2_garbage(client: Client) -> None:
    """A good preface, then frames of any type, flags, stream and content."""
    for _ in client.turns(0.01):
        frames = b"".join(_random_frame(client.dice) for _ in range(client.dice.randint(1, 30)))
        with _torn(client, "http2 garbage") as sock:
            sock.sendall(PREFACE + frames)
            sock.settimeout(0.05)
            sock.recv(65536)


def _random_frame(dice: random.Random) -> bytes:
    payload = os.urandom(dice.choice((0, 4, 5, 6, 8, dice.randint(0, 300))))
    stream_id = dice.choice((0, 1, 3, dice.randrange(1 << 31)))
    kind, flags = dice.choice((*range(10), dice.randrange(256))), dice.choice((0, 1, 4, 5, 0x2D))
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream_id) + payload


@contextmanager
def _torn(client: Client, kind: str) -> Generator[socket.socket]:
    """A connection that ends by FIN or RST; what the other end does with it is its own affair."""
    with closing(client.dial()) as sock:
        with suppress(OSError):
            yield sock
        if client.dice.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    client.tally.add(kind)


EVERYTHING: Mapping[Callable[[Client], None], int] = {
    rest: 3,
    big_rest: 1,
    grpc_calls: 1,
    slow_reader: 2,
    aborted_uploads: 1,
    aborted_downloads: 1,
    garbage: 1,
    http2_garbage: 1,
}


def run(kinds: Mapping[Callable[[Client], None], int], http: str, grpc: str, length_s: float) -> Tally:
    """Runs so many clients of each kind for `length_s`, and returns when all have ended."""
    tally, stop = Tally(), threading.Event()
    loops = [kind for kind, number in kinds.items() for _ in range(number)]
    threads = [
        threading.Thread(
            target=_guarded, args=(loop, Client(http, grpc, tally, stop, seed, random.Random(seed)))
        )
        for seed, loop in enumerate(loops)
    ]
    for thread in threads:
        thread.start()
    stop.wait(length_s)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a request without an outcome"
    return tally


def _guarded(loop: Callable[[Client], None], client: Client) -> None:
    try:
        loop(client)
    except Exception as error:  # ruff: ignore[blind-except] - whatever ends a client too early is a fault
        client.tally.add(loop.__name__, f"ended by {error!r}")
