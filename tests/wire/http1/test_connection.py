from __future__ import annotations

import logging
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import RequestTimeout, TooLarge
from gateway.core.tensor import Buffer
from gateway.wire.exchange import Exchange
from gateway.wire.http1.connection import MAX_AHEAD_BYTES, MAX_TURNS
from gateway.wire.http1.phase import Phase
from tests.fakes.http1 import Http1, chunked, get, parse_answers, post
from tests.fakes.services import (
    TEXT,
    EchoService,
    RoutingService,
    StreamEndpoint,
    WholeEndpoint,
    describe,
    echo,
)


def service(endpoint: WholeEndpoint) -> RoutingService:
    return RoutingService(endpoint)


class TestRequests:
    @pytest.mark.parametrize("cached", [True, False])
    def test_one_write_per_small_answer(self, cached: bool) -> None:
        http = Http1(EchoService(), cached=cached)
        for _ in range(3):
            http.transport.write_calls = 0
            http.send(post("/", b"hello"))
            assert http.transport.write_calls == 1
            assert http.answer().body == b"hello"
        assert http.connection.is_idle

    def test_a_repeated_head_is_routed_once(self) -> None:
        echoes = EchoService()
        http = Http1(echoes)
        http.send(post("/", b"a"), post("/", b"b"))
        assert [answer.body for answer in http.answers()] == [b"a", b"b"]
        assert echoes.routed == 1

    @pytest.mark.parametrize("cached", [True, False])
    @pytest.mark.parametrize(
        "raw", [post("/", b"hello world"), chunked("/", b"hello ", b"world", trailers=b"A: b\r\n")]
    )
    def test_cut_at_every_byte(self, raw: bytes, cached: bool) -> None:
        for path in (b"/ ", b"/stream "):
            request = raw.replace(b"/ ", path, 1)
            for cut in range(1, len(request)):
                http = Http1(EchoService(), cached=cached)
                http.send(request[:cut], request[cut:])
                assert http.answer().body == b"hello world", cut
                assert http.connection.is_idle

    def test_byte_by_byte(self) -> None:
        http = Http1(EchoService())
        raw = post("/", b"x" * 20) + chunked("/stream", b"abc", b"de") + get("/")
        http.send(*(raw[at : at + 1] for at in range(len(raw))))
        assert [answer.body for answer in http.answers()] == [b"x" * 20, b"abcde", b""]

    def test_empty_lines_before_a_request(self) -> None:
        http = Http1(EchoService())
        http.send(b"\r\n\r\n" + post("/", b"a") + b"\r\n", b"\r", b"\n" + post("/", b"b"))
        assert [answer.body for answer in http.answers()] == [b"a", b"b"]
        http.send(b"\r\n" * 5000 + post("/", b"c"))
        assert http.answer().body == b"c"

    def test_a_short_body_is_bytes_without_lease(self) -> None:
        endpoint = WholeEndpoint(echo)
        http = Http1(service(endpoint))
        http.send(post("/", b"abc"))
        _, body, lease = endpoint.calls[0]
        assert type(body) is bytes
        assert lease is None

    def test_the_peer_is_passed_on(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint))
        http.send(get("/"))
        assert endpoint.calls[0][0].peer.address == ("192.0.2.1", 4711)

    def test_tls_makes_the_scheme(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint), extra={"sslcontext": object()})
        http.send(get("/"))
        assert endpoint.calls[0][0].head.scheme == b"https"

    def test_an_upgrade_to_h2c_is_ignored(self) -> None:
        http = Http1(EchoService())
        fields = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
        http.send(post("/", b"body", *fields), post("/", b"next"))
        assert [(answer.status, answer.body) for answer in http.answers()] == [(200, b"body"), (200, b"next")]

    @pytest.mark.parametrize("target", ["/%ff", "/%zz", "/%00", "//", "/../..", "/%2F?%ff"])
    def test_odd_targets_get_an_answer(self, target: str) -> None:
        http = Http1(RoutingService(WholeEndpoint(describe)))
        http.send(get(target))
        path = target.partition("?")[0].encode()
        assert path in http.answer().body


class TestPersistence:
    def test_close_on_request(self) -> None:
        http = Http1(EchoService())
        http.send(get("/", "Connection: close"))
        assert http.answer().headers["connection"] == "close"
        assert http.transport.closed

    def test_http10_closes(self) -> None:
        http = Http1(EchoService())
        http.send(get("/", version="1.0"))
        assert http.answer().headers["connection"] == "close"
        assert http.transport.closed

    def test_http10_keep_alive(self) -> None:
        http = Http1(EchoService())
        for _ in range(2):
            http.send(get("/", "Connection: keep-alive", version="1.0"))
            assert http.answer().headers["connection"] == "keep-alive"
        assert not http.transport.closed

    def test_a_client_that_leaves_between_requests(self) -> None:
        http = Http1(EchoService())
        http.send(get("/"))
        http.end()
        assert http.transport.closed
        assert http.lost == 1


class TestPipelining:
    def test_answers_come_in_order_one_request_at_a_time(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint))
        http.send(b"".join(post("/", b"%d" % number) for number in range(5)))
        for number in range(5):
            assert len(endpoint.calls) == number + 1
            exchange, body, _ = endpoint.calls[-1]
            exchange.respond(200, TEXT, b"re " + bytes(body))
            assert http.answer().body == b"re %d" % number

    def test_many_answered_at_once_yield_to_others(self) -> None:
        http = Http1(EchoService())
        http.connection.data_received(post("/", b"x") * 40)
        assert len(http.answers()) == MAX_TURNS
        assert len(http.later) == 1
        http.run()
        assert len(http.answers()) == 40 - MAX_TURNS

    def test_reading_stops_when_much_waits(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint))
        http.send(get("/"), post("/", b"x" * MAX_AHEAD_BYTES))
        assert not http.transport.reading
        endpoint.calls[0][0].respond(200, TEXT)
        assert http.transport.reading
        endpoint.calls[1][0].respond(200, TEXT)
        assert [answer.status for answer in http.answers()] == [200, 200]

    def test_a_client_that_takes_no_answers_gets_no_more_work_done(self) -> None:
        endpoint = WholeEndpoint(lambda exchange, body: exchange.respond(200, TEXT, b"x" * 5000))
        http = Http1(service(endpoint), write_buffer_bytes=1 << 14)
        http.transport.taking = False
        http.send(get("/") * 1000)
        http.send(*[get("/") * 1000] * 9)
        assert len(endpoint.calls) < 10
        assert not http.transport.reading
        assert http.transport.get_write_buffer_size() < 1 << 15
        http.transport.taking = True
        while http.transport.get_write_buffer_size():
            http.transport.take()
            http.run()
        assert http.raw().count(b"HTTP/1.1 200") == 10_000
        assert http.transport.reading

    def test_nothing_is_served_behind_a_close(self) -> None:
        http = Http1(EchoService())
        http.send(get("/", "Connection: close") + get("/late"))
        assert len(http.answers()) == 1
        assert http.is_over

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_any_split_gives_the_same_answers(self, data: st.DataObject) -> None:
        kinds = st.sampled_from([
            post("/a?x", b"one"),
            post("/b", b"y" * 300),
            get("/c"),
            chunked("/d", b"piece", b"another piece"),
            post("/stream", b"streamed"),
            chunked("/stream", b"s", b"t", trailers=b"T: 1\r\n"),
            post("/e", b"z" * 5000),  # into shared memory, by the limit below
            b"\r\n" + get("/f"),
            get("/g", version="1.0").replace(b"Host", b"Connection: keep-alive\r\nHost"),
        ])
        raw = b"".join(data.draw(st.lists(kinds, min_size=1, max_size=6)))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=10)))
        edges = [0, *cuts, len(raw)]
        answers = []
        for cached, pieces in (
            (False, [raw]),
            (True, [raw]),
            (True, [raw[a:b] for a, b in pairwise(edges) if a != b]),
        ):
            stream = StreamEndpoint(lambda exchange, body: describe(exchange, body))
            http = Http1(
                RoutingService(WholeEndpoint(describe), stream=stream), cached=cached, shared_body_bytes=4096
            )
            http.send(*pieces)
            answers.append(http.raw())
            assert http.connection.is_idle
            assert all(lease.holds == 1 for lease in http.memory.leases)  # handed over, not released
        assert answers[0] == answers[1] == answers[2]

    def test_the_head_cache_changes_nothing(self) -> None:
        corpus = [
            post("/", b"abc"),
            get("/", method="HEAD"),
            get("/", version="1.0"),
            get("/", "Connection: close"),
            get("/x", "Host: y"),
            post("/", b"abc", "Transfer-Encoding: chunked"),
            post("/", b"abc", "Expect: 100-continue"),
            post("/", b"abc", "Expect: 417"),
            chunked("/", b"abc"),
            chunked("/stream", b"abc"),
            post("/", b"x" * 70_000),
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
            b"BROKEN\r\n\r\n",
        ]
        for first in corpus:
            for second in corpus:
                seen = []
                for cached in (True, False):
                    http = Http1(EchoService(), cached=cached)
                    http.send(first, second, second)
                    seen.append((http.raw(), http.is_over, http.connection.phase))
                assert seen[0] == seen[1], (first[:60], second[:60])


class TestContinue:
    FIELDS = ("Expect: 100-continue",)

    def split(self, path: str = "/", body: bytes = b"abc") -> tuple[bytes, bytes]:
        head, end, body = post(path, body, *self.FIELDS).partition(b"\r\n\r\n")
        return head + end, body

    @pytest.mark.parametrize("path", ["/", "/stream"])
    def test_is_said_when_the_body_is_awaited(self, path: str) -> None:
        http = Http1(EchoService())
        head, body = self.split(path)
        http.send(head)
        assert http.raw() == b"HTTP/1.1 100 Continue\r\n\r\n"
        http.send(body)
        assert http.answer().body == b"abc"

    @pytest.mark.parametrize("path", ["/", "/stream"])
    def test_is_not_said_when_the_body_is_here(self, path: str) -> None:
        http = Http1(EchoService())
        http.send(b"".join(self.split(path)))
        assert http.answer().status == 200

    def test_is_not_said_before_a_refusal(self) -> None:
        http = Http1(EchoService(), max_body_bytes=10)
        http.send(self.split(body=b"x" * 11)[0])
        assert http.answer().status == 413
        assert http.is_over

    def test_is_not_said_after_an_answer(self) -> None:
        endpoint = StreamEndpoint(opening=lambda exchange: exchange.respond(403, TEXT, b"no"))
        http = Http1(service(endpoint))
        http.send(self.split()[0])
        answer = http.answer()
        assert answer.status == 403
        assert answer.headers["connection"] == "close"
        assert http.is_over

    def test_other_expectations_fail(self) -> None:
        http = Http1(EchoService())
        http.send(post("/", b"abc", "Expect: the-impossible"))
        assert http.answer().status == 417
        assert http.is_over


class TestLimits:
    @pytest.mark.parametrize("path", ["/", "/stream"])
    def test_a_declared_size_is_refused_unread(self, path: str) -> None:
        echoes = EchoService()
        http = Http1(echoes, max_body_bytes=1000)
        http.send(post(path, b"x" * 1001)[:200])
        answer = http.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert not echoes.stream.receivers
        assert isinstance((echoes.echo.refusals + echoes.stream.refusals)[0], TooLarge)
        assert http.faults == {"too_large": 1}

    def test_the_endpoints_own_limit_counts(self) -> None:
        endpoint = WholeEndpoint(echo)
        endpoint.max_body_bytes = 10
        http = Http1(service(endpoint))
        http.send(post("/", b"x" * 10))
        assert http.answer().status == 200
        http.send(post("/", b"x" * 11))
        assert http.answer().status == 413

    @pytest.mark.parametrize("path", ["/", "/stream"])
    def test_chunks_are_counted_while_they_come(self, path: str) -> None:
        http = Http1(EchoService(), max_body_bytes=1000)
        http.send(chunked(path, b"x" * 600, b"x" * 401))
        assert http.answer().status == 413
        assert http.is_over

    @pytest.mark.parametrize("path", ["/", "/stream"])
    def test_a_flood_of_tiny_chunks(self, path: str) -> None:
        echoes = EchoService()
        http = Http1(echoes, max_chunks=100)
        head, _, _ = chunked(path).partition(b"0\r\n\r\n")
        http.send(head, *[b"1\r\nx\r\n" * 60] * 3)
        assert http.answer().status == 413
        assert http.faults == {"too_many_chunks": 1}

    def test_a_streaming_endpoint_learns_that_its_request_is_dead(self) -> None:
        echoes = EchoService()
        http = Http1(echoes, max_body_bytes=10)
        http.send(chunked("/stream", b"12345", b"678901"))
        assert echoes.stream.gone == 1
        assert not echoes.stream.receivers[0].ended

    def test_a_refusal_in_the_middle_of_an_answer_breaks_it_off(self) -> None:
        endpoint = StreamEndpoint(opening=lambda exchange: exchange.start(200, TEXT))
        http = Http1(service(endpoint), max_body_bytes=10)
        http.send(chunked("/", b"12345", b"678901"))
        assert http.transport.aborted
        assert endpoint.gone == 1
        assert not endpoint.receivers[0].exchange.is_open

    def test_heads(self) -> None:
        for raw in (
            get("/", "A: " + "x" * 1100),
            get("/" + "x" * 1100),
            get("/", "A: " + "x" * 1100)[:-30],
            get("/", *["A: b"] * 9),
        ):
            http = Http1(EchoService(), max_header_bytes=1024, max_headers=8)
            http.send(raw)
            assert http.answer().status == 431, raw[:30]
            assert http.is_over
            assert http.faults == {"header_limit": 1}

    def test_a_malformed_chunk_is_answered(self) -> None:
        for path in ("/", "/stream"):
            echoes = EchoService()
            http = Http1(echoes)
            http.send(chunked(path, b"abc").replace(b"abc\r\n", b"abcd\r\n"))
            assert http.answer().status == 400
            assert http.is_over
            assert echoes.stream.gone == len(echoes.stream.receivers)

    def test_what_comes_after_a_refusal_is_read_and_dropped(self) -> None:
        http = Http1(EchoService(), max_body_bytes=10)
        http.send(post("/", b"x" * 11)[:-11], *[b"y" * 1000] * 100)
        assert len(http.answers()) == 1
        assert http.transport.eof_written
        assert not http.transport.closed
        http.end()
        assert http.transport.closed


class TestSharedMemory:
    def test_a_large_body_lies_in_it(self) -> None:
        endpoint = WholeEndpoint(echo)
        endpoint.offset = 17
        http = Http1(service(endpoint), shared_body_bytes=5000)
        body = random.Random(1).randbytes(20_000)
        raw = post("/", body) + post("/", b"small")
        http.send(*(raw[at : at + 777] for at in range(0, len(raw), 777)))
        assert [answer.body for answer in http.answers()] == [body, b"small"]
        assert http.memory.asked == [(20_000, 17)]
        assert endpoint.calls[0][2] is http.memory.leases[0]
        assert http.memory.leases[0].holds == 1

    def test_without_room_it_is_ordinary(self) -> None:
        endpoint = WholeEndpoint(echo)
        http = Http1(service(endpoint), shared_body_bytes=5000)
        http.memory.room = False
        http.send(post("/", b"x" * 20_000))
        assert http.answer().body == b"x" * 20_000
        assert endpoint.calls[0][2] is None

    def test_a_promise_takes_no_memory(self) -> None:
        http = Http1(EchoService(), shared_body_bytes=5000)
        http.send(post("/", b"x" * 20_000)[:-20_000])
        assert not http.memory.asked

    @pytest.mark.parametrize("death", ["eof", "reset", "late", "close"])
    def test_it_is_given_back_when_the_request_dies(self, death: str) -> None:
        http = Http1(EchoService(), shared_body_bytes=5000)
        http.send(post("/", b"x" * 20_000)[:-5])
        {
            "eof": http.end,
            "reset": lambda: http.transport.lose(ConnectionResetError()),
            "late": lambda: http.pass_time(11),
            "close": http.connection.close,
        }[death]()
        assert [lease.holds for lease in http.memory.leases] == [0]


class TestFailures:
    @pytest.fixture(autouse=True)
    def _log(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog
        caplog.set_level(logging.ERROR)

    def errors(self) -> int:
        return len(self.caplog.records)

    def test_a_handler_that_raises_is_answered_for_and_logged_once(self) -> None:
        http = Http1(EchoService())
        http.send(post("/fail", b"x"), post("/", b"alive"))
        bad, good = http.answers()
        assert (bad.status, bad.headers["content-type"]) == (500, "application/json")
        assert b"error" in bad.body
        assert b"bug" not in bad.body
        assert good.body == b"alive"
        assert self.errors() == 1

    def test_also_for_bodies_in_pieces(self) -> None:
        for raw in (post("/fail", b"x" * 100_000), chunked("/fail", b"x")):
            http = Http1(EchoService())
            http.send(raw, post("/", b"alive"))
            assert [answer.status for answer in http.answers()] == [500, 200]

    def test_in_the_middle_of_an_answer_it_breaks_off(self) -> None:
        def begin(exchange: Exchange, body: Buffer) -> None:
            exchange.start(200, TEXT)
            exchange.write(b"half")
            raise ZeroDivisionError

        http = Http1(service(WholeEndpoint(begin)))
        http.send(get("/"))
        assert http.transport.aborted
        assert not http.raw().endswith(b"0\r\n\r\n")
        assert self.errors() == 1

    def test_after_the_answer_it_is_only_logged(self) -> None:
        def answer(exchange: Exchange, body: Buffer) -> None:
            exchange.respond(200, TEXT)
            raise ZeroDivisionError

        http = Http1(service(WholeEndpoint(answer)))
        http.send(get("/"), get("/"))
        assert [answer.status for answer in http.answers()] == [200, 200]
        assert self.errors() == 2

    def test_open_and_receivers_that_raise(self) -> None:
        def fail(exchange: Exchange, *_: object) -> None:
            raise ZeroDivisionError

        class Piecewise(StreamEndpoint):
            def open(self, exchange: Exchange):  # type: ignore[no-untyped-def]
                receiver = super().open(exchange)
                receiver.on_piece = fail
                return receiver

        for endpoint in (StreamEndpoint(opening=fail), StreamEndpoint(at_end=fail), Piecewise()):
            for raw in (post("/", b"abc"), chunked("/", b"a", b"b"), post("/", b"abc")[:-1]):
                http = Http1(service(endpoint))
                http.send(raw)
                if raw.endswith(b"ab") and endpoint.at_end is fail:
                    continue  # its end has not come
                assert http.answer().status == 500

    def test_a_service_that_raises(self) -> None:
        class Broken(RoutingService):
            def route(self, head):  # type: ignore[no-untyped-def]
                raise ZeroDivisionError

        http = Http1(Broken(WholeEndpoint()))
        http.send(get("/"))
        assert http.answer().status == 500
        assert http.is_over
        assert self.errors() == 1

    def test_callbacks_that_raise_are_contained(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError

        endpoint = WholeEndpoint()
        http = Http1(service(endpoint), write_buffer_bytes=1 << 14)
        http.send(get("/"))
        exchange = endpoint.calls[0][0]
        exchange.on_gone = fail
        exchange.on_writable = fail
        http.transport.taking = False
        exchange.start(200, TEXT)
        exchange.write(b"x" * 100_000)
        assert not exchange.is_writable
        http.transport.take()
        assert http.transport.aborted
        assert http.lost == 1

    def test_a_refusal_that_raises(self) -> None:
        class Broken(WholeEndpoint):
            def refuse(self, exchange: Exchange, error: object) -> None:
                raise ZeroDivisionError

        http = Http1(service(Broken()), max_body_bytes=1)
        http.send(post("/", b"abc"))
        assert http.answer().status == 500
        assert http.is_over


class TestGone:
    def test_while_it_is_answered(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint))
        http.send(get("/"))
        http.transport.lose(ConnectionResetError())
        assert endpoint.gone == 1
        exchange = endpoint.calls[0][0]
        assert not exchange.is_open
        written: list[int] = []
        exchange.respond(200, TEXT, b"late", on_written=lambda: written.append(1))
        exchange.start(200, TEXT)
        exchange.write(b"x")
        exchange.finish()
        exchange.abort()
        assert written == [1]
        assert http.raw() == b""
        assert endpoint.gone == 1

    def test_in_the_middle_of_a_streamed_body(self) -> None:
        for end in ("eof", "reset"):
            endpoint = StreamEndpoint()
            http = Http1(service(endpoint))
            http.send(post("/", b"abcdef")[:-1])
            http.end() if end == "eof" else http.transport.lose()
            assert endpoint.gone == 1
            assert not endpoint.receivers[0].ended

    def test_in_the_middle_of_a_streamed_answer(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint))
        http.send(get("/"))
        endpoint.calls[0][0].start(200, TEXT)
        http.transport.lose()
        assert endpoint.gone == 1

    def test_not_after_the_answer(self) -> None:
        endpoint = WholeEndpoint(echo)
        http = Http1(service(endpoint))
        http.send(get("/"))
        http.transport.lose()
        assert endpoint.gone == 0
        assert http.lost == 1

    def test_a_half_closed_client_gets_its_answers(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint))
        http.send(post("/", b"one") + post("/", b"two"))
        http.end()
        assert not http.transport.closed
        for exchange, body, _ in endpoint.calls:
            exchange.respond(200, TEXT, body)
        assert [answer.body for answer in http.answers()] == [b"one", b"two"]
        assert http.transport.closed
        assert endpoint.gone == 0

    def test_a_half_closed_client_with_half_a_request_behind(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint))
        http.send(get("/") + b"GET /")
        http.end()
        endpoint.calls[0][0].respond(200, TEXT)
        assert len(http.answers()) == 1
        assert http.transport.closed

    def test_tls_knows_no_half_closed_state(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint), extra={"sslcontext": object()})
        http.send(get("/"))
        http.end()
        assert endpoint.gone == 1


class TestReadingFlow:
    def test_an_endpoint_holds_its_body_back(self) -> None:
        endpoint = StreamEndpoint(lambda exchange, body: exchange.respond(200, TEXT))
        http = Http1(service(endpoint))
        raw = post("/", b"x" * 1000)
        http.send(raw[:-900])
        exchange = endpoint.receivers[0].exchange
        exchange.pause_reading()
        assert not http.transport.reading
        exchange.resume_reading()
        assert http.transport.reading
        exchange.pause_reading()
        http.send(raw[-900:])  # was under way already
        assert endpoint.receivers[0].ended
        assert http.transport.reading
        exchange.pause_reading()  # nothing of this request is left to hold
        assert http.transport.reading


class TestDrain:
    def test_an_idle_connection_closes_at_once(self) -> None:
        http = Http1(EchoService())
        http.send(get("/"))
        http.connection.drain()
        assert http.transport.closed

    def test_a_request_in_flight_finishes(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint))
        http.send(get("/"))
        http.connection.drain()
        assert not http.transport.closed
        endpoint.calls[0][0].respond(200, TEXT, b"done")
        answer = http.answer()
        assert (answer.body, answer.headers["connection"]) == (b"done", "close")
        assert http.transport.closed

    def test_a_request_on_its_way_finishes(self) -> None:
        for cut in (5, -2):
            http = Http1(EchoService())
            raw = post("/", b"abc")
            http.send(raw[:cut])
            http.connection.drain()
            http.send(raw[cut:])
            assert http.answer().headers["connection"] == "close"
            assert http.transport.closed

    def test_a_stream_under_way_finishes(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint))
        http.send(get("/"))
        exchange = endpoint.calls[0][0]
        exchange.start(200, TEXT)
        http.connection.drain()
        exchange.write(b"more")
        exchange.finish()
        assert http.answer().body == b"more"
        assert http.transport.closed

    def test_close_ends_everything(self) -> None:
        endpoint = WholeEndpoint()
        http = Http1(service(endpoint))
        http.send(get("/"))
        http.connection.close()
        assert http.transport.aborted
        assert endpoint.gone == 1
        assert http.connection.phase is Phase.CLOSED


class TestFuzz:
    PARTS = st.sampled_from([
        b"GET / HTTP/1.1\r\n",
        b"POST /stream HTTP/1.1\r\n",
        b"Host: x\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 70000\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\x00",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"hello",
        b"x" * 70_000,
        b": ",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ])

    @settings(max_examples=400, deadline=None)
    @given(st.lists(st.one_of(PARTS, st.binary(max_size=20)), max_size=12), st.booleans(), st.booleans())
    def test_nothing_a_client_does_raises(self, parts: list[bytes], joined: bool, eof: bool) -> None:
        http = Http1(EchoService(), max_header_bytes=2048)
        http.send(*([b"".join(parts)] if joined else parts))
        if eof:
            http.end()
        http.pass_time(400, step=3)
        if not http.transport.closed:
            assert http.connection.phase is Phase.ANSWER  # `/late` and its like; nothing else may stay
        http.transport.lose()
        assert http.connection.phase is Phase.CLOSED
        assert all(lease.holds in {0, 1} for lease in http.memory.leases)

    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def test_mutated_requests(self, data: st.DataObject) -> None:
        raw = bytearray(post("/", b"abcde") + chunked("/stream", b"abc", b"defg") + get("/"))
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        http = Http1(EchoService())
        http.send(bytes(raw))
        http.end()
        for answer in parse_answers(http.raw()):
            assert answer.status in {100, 200, 400, 405, 408, 413, 417, 431, 501}


def test_timeouts_are_the_endpoints_to_phrase() -> None:
    endpoint = WholeEndpoint()
    http = Http1(service(endpoint))
    http.send(post("/", b"abc")[:-1])
    http.pass_time(11)
    assert isinstance(endpoint.refusals[0], RequestTimeout)
    assert http.answer().status == 408
