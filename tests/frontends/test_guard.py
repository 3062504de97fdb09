"""Nobody reaches an endpoint whom no plugin knows; who is known is remembered as long as may be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.caller import ANYBODY, Credentials, Grant, Operation, Principal
from gateway.core.errors import PluginFailed, TooLarge, Unauthenticated
from gateway.frontends.guard import Guard, guard_of
from gateway.hooks import hookimpl
from gateway.hooks.tasks import Tasks
from gateway.pipeline.rights import Rights
from gateway.wire.exchange import Endpoint, Head, Peer, Service
from tests.fakes.inference import FakeExchange, FakeLease
from tests.fakes.loop import FakeClock
from tests.fakes.plugins import hooks
from tests.fakes.services import RoutingService, StreamEndpoint, WholeEndpoint, echo

ADMIN = (Grant(frozenset({Operation.ADMIN})),)


class Keys:
    """Knows `x-key: good`, refuses `x-key: forged`, declines all else."""

    def __init__(self, recheck_s: float = 5.0) -> None:
        self.clock = FakeClock()
        self.recheck_s = recheck_s
        self.asked = 0
        self.refuses = False

    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal | None:
        self.asked += 1
        if self.refuses:
            raise Unauthenticated("revoked")
        match credentials.header("x-key"):
            case "good" | "admin" as key:
                grants = ADMIN if key == "admin" else ()
                return Principal("anna", grants=grants, recheck_at=self.clock() + self.recheck_s)
            case "forged":
                raise Unauthenticated("forged")
        return None


class KeysLater(Keys):
    @hookimpl
    async def authenticate(self, credentials: Credentials) -> Principal | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().authenticate(credentials)


class Subjects(Keys):
    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal | None:
        self.asked += 1
        subject = credentials.tls_subject
        return None if subject is None else Principal(subject, recheck_at=float("inf"))


class World:
    def __init__(self, *plugins: Any, endpoint: WholeEndpoint | None = None) -> None:
        self.endpoint = endpoint or WholeEndpoint(echo)
        self.loop = asyncio.new_event_loop()
        self.tasks = Tasks(self.loop)
        self.made = hooks(*plugins)
        clock = plugins[0].clock if isinstance(plugins[0], Keys) else FakeClock()
        authenticate = self.made.get("authenticate")
        rights = None if authenticate is None else Rights(self.made.get("authorize"))
        make = guard_of(self.made, rights, clock, self.tasks)
        assert make is not None
        self.guard = make(RoutingService(self.endpoint))

    def head(self, key: str = "", path: bytes = b"/v2/models/m/infer", **how: Any) -> Head:
        headers = ((b"x-key", key.encode()),) if key else ()
        return Head(b"POST", path, headers, http_version="1.1", **how)

    def ask(self, endpoint: Endpoint, head: Head, subject: str | None = None, **how: Any) -> FakeExchange:
        async def run() -> FakeExchange:
            exchange = FakeExchange(head)
            exchange.peer = Peer(("127.0.0.1", 1), subject)
            if endpoint.whole:
                endpoint.handle(exchange, b"body", how.get("lease"))
            else:
                receiver = endpoint.open(exchange)
                receiver.on_data(b"one ")
                receiver.on_data(b"two")
                receiver.on_end()
            for _ in range(10):
                await asyncio.sleep(0)
            return exchange

        return self.loop.run_until_complete(run())

    def once(self, key: str = "", path: bytes = b"/v2/models/m/infer", **how: Any) -> FakeExchange:
        head = self.head(key, path)
        return self.ask(self.guard.route(head), head, **how)

    def close(self) -> None:
        self.loop.run_until_complete(self.tasks.aclose())
        self.loop.close()


@pytest.fixture
def make() -> Any:
    worlds: list[World] = []

    def made(*plugins: Any, **how: Any) -> World:
        worlds.append(World(*plugins, **how))
        return worlds[-1]

    yield made
    for world in worlds:
        world.close()


@pytest.mark.parametrize("kind", [Keys, KeysLater])
@pytest.mark.parametrize(
    ("key", "path", "is_let_in"),
    [
        ("good", b"/v2/models/m/infer", True),
        ("forged", b"/v2/models/m/infer", False),
        ("", b"/v2/models/m/infer", False),
        ("good", b"/v2/unheard/of", True),
        ("", b"/v2/unheard/of", False),
        ("", b"/v2/health/live", True),
        ("forged", b"/v2/health/live", True),
        ("good", b"/v2/logging", False),
        ("admin", b"/v2/logging", True),
        ("", b"/inference.GRPCInferenceService/ModelInfer", False),
        ("", b"/grpc.health.v1.Health/Check", True),
        ("good", b"/inference.GRPCInferenceService/LogSettings", False),
    ],
)
def test_who_is_let_in(make: Any, kind: type[Keys], key: str, path: bytes, is_let_in: bool) -> None:
    world = make(kind())
    lease = FakeLease()
    exchange = world.once(key, path, lease=lease)
    assert len(world.endpoint.calls) == is_let_in
    assert len(world.endpoint.refusals) == (not is_let_in)
    if is_let_in:
        (inner, body, _) = world.endpoint.calls[0]
        principal = inner.caller.principal
        assert body == b"body"
        assert (principal is None) is (key not in ("good", "admin"))
    else:
        assert exchange.status == 500  # the endpoint's own form of it
        assert lease.holds == 0


def test_who_is_known_is_asked_again_when_it_is_time(make: Any) -> None:
    keys = Keys(recheck_s=5.0)
    world = make(keys)
    head = world.head("good")
    endpoint = world.guard.route(head)
    for _ in range(3):
        world.ask(endpoint, head)
    assert keys.asked == 1
    keys.clock.now += 5.0
    world.ask(endpoint, head)
    assert keys.asked == 2
    assert len(world.endpoint.calls) == 4


def test_a_head_that_connections_share_means_whoever_has_the_certificate(make: Any) -> None:
    world = make(Subjects())
    head = world.head()
    endpoint = world.guard.route(head)
    for subject in ("anna", "bob", "anna"):
        world.ask(endpoint, head, subject)
    world.ask(endpoint, head, None)
    assert [one[0].caller.principal.id for one in world.endpoint.calls] == ["anna", "bob", "anna"]
    assert len(world.endpoint.refusals) == 1


@pytest.mark.parametrize(
    ("plugin", "key", "scheme", "limit"),
    [
        (Keys(), "good", b"http", 1 << 30),
        (Keys(), "", b"http", 64 << 10),
        (Keys(), "forged", b"http", 64 << 10),
        (KeysLater(), "", b"http", 1 << 30),
        (Subjects(), "", b"https", 1 << 30),
    ],
)
def test_strangers_may_send_little(make: Any, plugin: Keys, key: str, scheme: bytes, limit: int) -> None:
    world = make(plugin)
    assert world.guard.route(world.head(key, scheme=scheme)).max_body_bytes == limit


@pytest.mark.parametrize(
    ("key", "told"), [("", Unauthenticated), ("forged", Unauthenticated), ("good", TooLarge)]
)
def test_a_stranger_whose_body_is_too_large_is_told_that_it_is_a_stranger(
    make: Any, key: str, told: type[Exception]
) -> None:
    world = make(Keys())
    head = world.head(key)
    world.guard.route(head).refuse(FakeExchange(head), TooLarge("the body is over the limit"))
    assert [type(one) for one in world.endpoint.refusals] == [told]


@pytest.mark.parametrize("kind", [Keys, KeysLater])
@pytest.mark.parametrize("key", ["good", "forged"])
def test_a_stream_begins_when_it_is_known_whose_it_is(make: Any, kind: type[Keys], key: str) -> None:
    stream = StreamEndpoint(echo)
    world = make(kind(), endpoint=stream)
    exchange = world.once(key)
    if key == "good":
        assert (exchange.status, exchange.body) == (200, b"one two")
        assert stream.receivers[0].exchange.caller.principal.id == "anna"
        assert exchange.is_reading
    else:
        assert (exchange.status, stream.receivers) == (500, [])


def test_one_who_has_gone_meanwhile_is_not_handled(make: Any) -> None:
    world = make(KeysLater())
    head = world.head("good")
    endpoint, exchange, lease = world.guard.route(head), FakeExchange(head), FakeLease()

    async def run() -> None:
        endpoint.handle(exchange, b"body", lease)
        exchange.abort()
        for _ in range(10):
            await asyncio.sleep(0)

    world.loop.run_until_complete(run())
    assert world.endpoint.calls == []
    assert lease.holds == 0


class Fails:
    @hookimpl
    def authenticate(self) -> Principal:
        raise KeyError


def test_a_plugin_that_fails_lets_nobody_in(make: Any) -> None:
    world = make(Fails())
    world.once("good")
    assert [type(one) for one in world.endpoint.refusals] == [PluginFailed]


class Adds:
    def __init__(self, *pairs: Any) -> None:
        self.pairs = pairs

    @hookimpl
    def answer_headers(self, headers: Any) -> Any:
        return headers + self.pairs


class AddsLater:
    @hookimpl
    async def answer_headers(self, headers: Any) -> Any:
        return ((b"x-late", b"1"),)


def test_answers_get_headers_but_none_that_could_break_them(make: Any) -> None:
    bad = [
        *((b"content-length", b"1"), (b"X-Upper", b"1"), (b"x a", b"1"), (b"x-b", b"1\r\nx: y"), (b"", b"")),
        *((b"grpc-status", b"0"), "text", (b"one",), (b"x-d", "text")),
        (b"x-e", b"1" * 1025),
    ]
    world = make(AddsLater(), Adds((b"x-a", b"1"), *bad, (b"x-c", b"3")))
    exchange = world.once()
    assert exchange.headers == {b"content-type": b"text/plain", b"x-a": b"1", b"x-c": b"3"}
    assert world.endpoint.calls[0][0].caller.principal is None


class Transforms:
    @hookimpl
    def transform_request(self) -> None: ...


def test_without_a_plugin_that_cares_there_is_no_guard() -> None:
    loop = asyncio.new_event_loop()
    tasks = Tasks(loop)
    assert guard_of(hooks(), None, FakeClock(), tasks) is None
    make = guard_of(hooks(Transforms()), None, FakeClock(), tasks)
    assert make is not None
    service: Service = make(RoutingService(WholeEndpoint(echo)))
    assert isinstance(service, Guard)
    head = Head(b"POST", b"/v2/models/m/infer", ((b"a", b"1"),), http_version="1.1")
    exchange = FakeExchange(head)
    service.route(head).handle(exchange, b"x", None)
    assert exchange.caller.header("a") == "1"
    assert exchange.caller != ANYBODY
    loop.close()


@pytest.mark.parametrize("kind", [Keys, KeysLater])
@pytest.mark.parametrize("is_revoked", [True, False])
def test_a_stream_ends_whose_caller_is_let_in_no_more(make: Any, kind: type[Keys], is_revoked: bool) -> None:
    keys, stream = kind(recheck_s=5.0), StreamEndpoint(echo)
    world = make(keys, endpoint=stream)
    head = world.head("good")
    exchange = FakeExchange(head)

    async def run() -> None:
        receiver = world.guard.route(head).open(exchange)
        for seconds in (0.0, 4.0, 2.0, 0.5):
            keys.clock.now += seconds
            if seconds == 2.0 and is_revoked:
                keys.refuses = True
            receiver.on_data(b"x")
            for _ in range(10):
                await asyncio.sleep(0)

    world.loop.run_until_complete(run())
    assert exchange.has_ended is is_revoked
    assert stream.gone == is_revoked
    assert keys.asked == 2 if not is_revoked else keys.asked >= 2
    assert exchange.caller.principal is not None
