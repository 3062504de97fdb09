from __future__ import annotations

import socket

import pytest

from gateway.core.errors import RequestTimeout
from tests.fakes.http1 import Http1, chunked, get, post
from tests.fakes.services import TEXT, EchoService, RoutingService, StreamEndpoint, WholeEndpoint
from tests.fakes.transport import FakeSocket


class TestHeads:
    def test_a_slow_head_is_answered_408(self) -> None:
        http = Http1(EchoService(), headers_timeout_s=10)
        for byte in b"GET / HTTP/1.1":
            http.send(bytes([byte]))
            http.pass_time(0.75)
        http.pass_time(1)
        assert http.answer().status == 408
        assert http.is_over
        assert http.faults == {"head_timeout": 1}

    def test_it_is_over_soon_after(self) -> None:
        http = Http1(EchoService(), headers_timeout_s=10)
        http.send(b"GET")
        http.pass_time(20)
        assert http.transport.closed

    def test_a_head_in_time_is_served(self) -> None:
        http = Http1(EchoService(), headers_timeout_s=10)
        raw = get("/")
        for at in range(0, len(raw), 10):
            http.send(raw[at : at + 10])
            http.pass_time(3)
        assert http.answer().status == 200


class TestIdle:
    def test_an_idle_connection_is_closed_without_a_word(self) -> None:
        http = Http1(EchoService(), idle_timeout_s=60)
        http.pass_time(59)
        assert not http.transport.closed
        http.pass_time(2)
        assert http.transport.closed
        assert http.raw() == b""

    def test_each_request_begins_the_time_anew(self) -> None:
        http = Http1(EchoService(), idle_timeout_s=60)
        for _ in range(3):
            http.pass_time(50)
            http.send(get("/"))
            assert http.answer().status == 200
        http.pass_time(61.5)
        assert http.transport.closed

    @pytest.mark.parametrize("rest", [b"\r", b"\r\n"])
    def test_empty_lines_are_idle_too(self, rest: bytes) -> None:
        http = Http1(EchoService(), idle_timeout_s=60)
        http.send(rest)
        http.pass_time(62)
        assert http.transport.closed

    def test_a_long_computation_is_not_idle(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(RoutingService(endpoint), idle_timeout_s=60)
        http.send(get("/"))
        http.pass_time(1000, step=5)
        endpoint.calls[0][0].respond(200, TEXT)
        assert http.answer().status == 200


class TestBodies:
    @pytest.mark.parametrize("endpoint", [WholeEndpoint(), StreamEndpoint()])
    def test_silence(self, endpoint: WholeEndpoint) -> None:
        http = Http1(RoutingService(endpoint), body_idle_timeout_s=10, body_min_rate=0)
        http.send(post("/", b"abcdef")[:-1])
        http.pass_time(9.5)
        assert http.raw() == b""
        http.pass_time(1.5)
        assert http.answer().status == 408
        assert isinstance(endpoint.refusals[0], RequestTimeout)
        assert http.faults == {"body_timeout": 1}
        assert endpoint.gone == (0 if endpoint.whole else 1)

    def test_a_trickle(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(RoutingService(endpoint), body_min_rate=240)
        http.send(post("/", b"x" * 10_000)[:-10_000])
        for _ in range(20):
            http.send(b"x")
            http.pass_time(0.5)
        assert http.answer().status == 408
        assert "240 bytes/s" in endpoint.refusals[0].text

    def test_a_body_without_end(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(RoutingService(endpoint), body_timeout_s=30)
        http.send(chunked("/")[:-5])
        for _ in range(70):
            http.send(b"200\r\n" + b"x" * 512 + b"\r\n")
            http.pass_time(0.5)
        assert http.answers()[0].status == 408

    def test_time_in_which_the_endpoint_does_not_read_is_not_the_clients(self) -> None:
        endpoint = StreamEndpoint(lambda exchange, body: exchange.respond(200, TEXT))
        http = Http1(RoutingService(endpoint))
        raw = post("/", b"x" * 20_000)
        http.send(raw[:-10_000])
        endpoint.receivers[0].exchange.pause_reading()
        http.pass_time(1000, step=5)
        endpoint.receivers[0].exchange.resume_reading()
        http.pass_time(5)
        http.send(raw[-10_000:])
        assert http.answer().status == 200


class TestWriting:
    def test_a_client_that_takes_nothing_is_cut_off(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(RoutingService(endpoint), write_idle_timeout_s=30)
        http.send(get("/"))
        http.transport.taking = False
        endpoint.calls[0][0].start(200, TEXT)
        endpoint.calls[0][0].write(b"x" * 1000)
        http.pass_time(32)
        assert http.transport.aborted
        assert endpoint.gone == 1
        assert http.faults == {"write_timeout": 1}

    def test_also_after_the_answer(self) -> None:
        http = Http1(EchoService(), write_idle_timeout_s=30)
        http.transport.taking = False
        http.send(post("/", b"x" * 100, "Connection: close"))
        http.pass_time(32)
        assert http.transport.aborted

    def test_a_slow_one_is_not(self) -> None:
        http = Http1(EchoService(), write_idle_timeout_s=30)
        http.transport.taking = False
        http.send(post("/", b"x" * 1000))
        for _ in range(10):
            http.pass_time(20)
            http.transport.take(50)
        assert not http.transport.closed


class TestAge:
    def test_the_next_answer_is_the_last(self) -> None:
        http = Http1(EchoService(), max_connection_age_s=60)
        http.send(get("/"))
        assert "connection" not in http.answer().headers
        endpoint_late = get("/late")
        http.send(endpoint_late)
        http.pass_time(61)
        assert not http.transport.closed

    def test_an_idle_one_closes(self) -> None:
        http = Http1(EchoService(), max_connection_age_s=60)
        http.pass_time(61)
        assert http.transport.closed
        assert not http.transport.aborted

    def test_close_is_announced(self) -> None:
        echoes = EchoService()
        http = Http1(echoes, max_connection_age_s=60)
        http.send(get("/late"))
        http.pass_time(61)
        echoes.late.calls[0][0].respond(200, TEXT)
        assert http.answer().headers["connection"] == "close"
        assert http.transport.closed

    def test_grace_has_an_end(self) -> None:
        echoes = EchoService()
        http = Http1(echoes, max_connection_age_s=60, max_connection_age_grace_s=30)
        http.send(get("/late"))
        http.pass_time(89)
        assert not http.transport.closed
        http.pass_time(2)
        assert http.transport.aborted
        assert echoes.late.gone == 1


class TestHalfClosed:
    def waiting(self, version: str = "1.1") -> tuple[Http1, WholeEndpoint, FakeSocket]:
        endpoint, sock = WholeEndpoint(), FakeSocket()
        http = Http1(RoutingService(endpoint), extra={"socket": sock})
        http.send(get("/", version=version))
        http.end()
        return http, endpoint, sock

    def test_one_that_still_reads_is_asked_once_and_answered(self) -> None:
        http, endpoint, _ = self.waiting()
        http.pass_time(0.5)
        assert http.raw() == b""
        http.pass_time(10)
        assert http.raw() == b"HTTP/1.1 100 Continue\r\n\r\n"
        endpoint.calls[0][0].respond(200, TEXT)
        assert http.answer().status == 200
        assert http.transport.closed

    def test_one_that_has_gone_is_found_out(self) -> None:
        http, endpoint, sock = self.waiting()
        http.pass_time(1.5)
        sock.state = 7  # TCP_CLOSE: our question was answered by a reset
        http.pass_time(0.5)
        assert endpoint.gone == 1
        assert http.transport.closed

    def test_http10_cannot_be_asked(self) -> None:
        http, _, _ = self.waiting(version="1.0")
        http.pass_time(10)
        assert http.raw() == b""

    def test_nor_can_a_started_answer(self) -> None:
        http, endpoint, sock = self.waiting()
        endpoint.calls[0][0].start(200, TEXT)
        http.raw()
        http.pass_time(10)
        assert http.raw() == b""
        sock.state = 7
        http.pass_time(0.5)
        assert endpoint.gone == 1

    def test_a_close_delimited_answer_broken_off_is_a_reset(self) -> None:
        endpoint, sock = WholeEndpoint(), FakeSocket()
        http = Http1(RoutingService(endpoint), extra={"socket": sock})
        http.send(get("/", version="1.0"))
        endpoint.calls[0][0].start(200, TEXT)
        endpoint.calls[0][0].abort()
        assert [option[:2] for option in sock.options] == [(socket.SOL_SOCKET, socket.SO_LINGER)]
