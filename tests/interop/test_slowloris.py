"""Two thousand clients that send a byte a second: shown out at the deadline, and nobody waits longer."""

from __future__ import annotations

import select
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import soon, until_blocking
from tests.interop.bystander import Bystander
from tests.soak.oracle import MODELS, Oracle
from tests.soak.speaking import RestClient

SOCKETS = 2000
DEADLINE_S = 3.0
# Deadlines are looked at twice a second.
LATE_S = 0.75
ROUNDS, PROBES = 3, 800

_HEADERS = b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: a\r\n"
_BODY = _HEADERS + b"Content-Length: 100000\r\n\r\n"
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + b"\0\x40\0\1\0\0\0\0\1"
# What comes before the trickle, the byte that trickles, and what the deadline brings: a status, or a close.
KINDS = {
    "headers": (_HEADERS + b"X: ", b"a", b"HTTP/1.1 408"),
    "preface": (b"P", b"", b""),
    "body": (_BODY, b" ", b"HTTP/1.1 408"),
    "header block": (_HTTP2, b"a", b"\0"),
}


NUMBERS = {kind: SOCKETS if kind == "headers" else SOCKETS // 10 for kind in KINDS}


class Tricklers:
    """Open sockets that each send a byte a second, spread evenly over it, from a thread of its own."""

    def __init__(self, served: Gateway, opening: bytes, byte: bytes, number: int = SOCKETS) -> None:
        where = urlsplit(served.http)
        self.sockets: list[socket.socket] = []
        self.opened_at: dict[int, float] = {}
        for _ in range(number):
            began = time.perf_counter()
            sock = socket.create_connection((where.hostname, where.port), 60)
            sock.sendall(opening)
            self.sockets.append(sock)
            self.opened_at[sock.fileno()] = began
        self._byte = byte
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._trickle)

    def __enter__(self) -> Tricklers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for sock in self.sockets:
            sock.close()

    def _trickle(self) -> None:
        at, share = 0, max(1, len(self.sockets) // 50)
        while not self._stop.wait(0.02):
            for sock in self.sockets[at : at + share]:
                try:
                    sock.send(self._byte)
                except OSError:
                    continue  # shown out: who it was, and when, is what `farewells` tells
            at = (at + share) % len(self.sockets)

    def farewells(self, timeout_s: float) -> Iterator[tuple[float, bytes]]:
        """The age at which each socket was first told something or closed, and what it was told."""
        poll = select.poll()
        by_fd = {sock.fileno(): sock for sock in self.sockets}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        give_up = time.perf_counter() + timeout_s
        while by_fd and time.perf_counter() < give_up:
            for fd, _ in poll.poll(100):
                poll.unregister(fd)
                yield time.perf_counter() - self.opened_at[fd], _farewell(by_fd.pop(fd))


def _farewell(sock: socket.socket) -> bytes:
    try:
        return sock.recv(4096)
    except ConnectionError:
        return b""


@contextmanager
def started(**wire: float) -> Generator[Gateway]:
    """A warm gateway with these deadlines."""
    with gateway(
        MODELS, environment={f"GATEWAY_WIRE__{k.upper()}": str(v) for k, v in wire.items()}
    ) as running:
        with Bystander(running) as warm:
            until_blocking(lambda: warm.done > 50)
        yield running


@pytest.fixture(scope="module")
def served() -> Generator[Gateway]:
    with started(headers_timeout_s=DEADLINE_S, body_timeout_s=DEADLINE_S) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log.read_text()


def test_tricklers_are_shown_out_at_the_deadline_and_good_requests_served(served: Gateway) -> None:
    """All kinds of them at once."""

    def farewells(kind: str) -> list[tuple[float, bytes]]:
        opening, byte, _ = KINDS[kind]
        with Tricklers(served, opening, byte, NUMBERS[kind]) as tricklers:
            return list(tricklers.farewells(DEADLINE_S + soon(LATE_S)))

    with Bystander(served), ThreadPoolExecutor(len(KINDS)) as pool:
        found = dict(zip(KINDS, pool.map(farewells, KINDS), strict=True))
    for kind, (_, _, farewell) in KINDS.items():
        assert Counter(told[: len(farewell)] for _, told in found[kind]) == {farewell: NUMBERS[kind]}
        if farewell != b"\0":  # an HTTP/2 server says its SETTINGS at once
            ages = [age for age, _ in found[kind]]
            assert min(ages) > DEADLINE_S
            assert max(ages) < DEADLINE_S + soon(LATE_S)
    until_blocking(lambda: served.page()["gateway_connections"] == 0)


def p99_s(call: Callable[[], str]) -> float:
    """The 99th percentile of the duration of calls that must all go well."""
    durations = []
    for _ in range(PROBES):
        began = time.perf_counter()
        fault = call()
        durations.append(time.perf_counter() - began)
        assert not fault
    return statistics.quantiles(durations, n=100)[98]


@pytest.mark.bench
def test_two_thousand_tricklers_leave_the_p99_of_others_as_it_was() -> None:
    with started(headers_timeout_s=100.0) as served:
        case, client = Oracle(3).fraud(1), RestClient(served.http)
        quiet, attacked = [], []
        for _ in range(ROUNDS):
            quiet.append(p99_s(lambda: client.fault(case)))
            with Tricklers(served, *KINDS["headers"][:2]):
                until_blocking(lambda: served.page()["gateway_connections"] > SOCKETS)
                attacked.append(p99_s(lambda: client.fault(case)))
            until_blocking(lambda: served.page()["gateway_connections"] <= 1)
        client.close()
    told = f"p99 in seconds: quiet {quiet}, attacked {attacked}"
    print(told)
    assert statistics.median(attacked) <= 1.5 * statistics.median(quiet) + 0.002, told
