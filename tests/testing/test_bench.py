"""The bench that plugin authors get, with plugins such as they write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from gateway.core.caller import Credentials, Grant, Operation, Principal
from gateway.core.errors import QuotaExceeded
from gateway.core.messages import InferRequest
from gateway.core.records import RequestRecord
from gateway.hooks import hookimpl
from gateway.hooks.values import Target
from gateway.testing import Answer, Bench, ManualClock, start
from gateway.testing.clock import EPOCH_S
from gateway.testing.exchange import grpc_code
from gateway.testing.models import Function

PROTOCOLS = pytest.mark.parametrize("protocol", ["rest", "grpc"])


def run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(work())


class Knows:
    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal | None:
        name = credentials.header("x-name") or credentials.tls_subject
        return None if name is None else Principal(name, grants=(Grant(frozenset({Operation.INFER})),))


class Once:
    def __init__(self) -> None:
        self.heard: list[RequestRecord] = []
        self.life: list[str] = []
        self.came = 0

    @hookimpl
    async def on_start(self) -> None:
        self.life.append("started")

    @hookimpl
    def on_stop(self) -> None:
        self.life.append("stopped")

    @hookimpl
    def admit(self) -> None:
        self.came += 1
        if self.came > 1:
            raise QuotaExceeded("once is enough", retry_after_s=7)

    @hookimpl
    async def on_request(self, record: RequestRecord) -> None:
        await asyncio.sleep(0)
        self.heard.append(record)


@PROTOCOLS
def test_a_model_answers(protocol: str) -> None:
    async def work() -> Answer:
        async with Bench() as bench:
            return await bench.infer("echo", {"x": [[1.0, 2.0]]}, protocol=protocol, id="a")

    answer = run(work)
    assert answer.is_ok
    assert answer.id == "a"
    np.testing.assert_array_equal(answer.outputs["x"], np.array([[1.0, 2.0]], "f4"))


@PROTOCOLS
def test_who_calls_and_how_it_ends(protocol: str) -> None:
    once, codes = Once(), []

    async def work() -> list[RequestRecord]:
        async with Bench(Knows(), once) as bench:
            for how in ({}, {"headers": {"X-Name": "anna"}}, {"tls_subject": "bob"}):
                answer = await bench.infer("echo", {"x": [[1.0]]}, protocol=protocol, **how)  # type: ignore[arg-type]
                codes.append(answer.code)
            return bench.records

    records = run(work)
    expected = ["UNAUTHENTICATED", "OK", "QUOTA_EXCEEDED"]
    assert codes == (
        expected if protocol == "rest" else [one if one == "OK" else grpc_code(one) for one in expected]
    )
    assert [one.principal for one in records] == ["", "anna", "bob"]
    assert once.heard == records
    assert once.life == ["started", "stopped"]


def test_versions_parameters_and_functions() -> None:
    seen: list[InferRequest] = []

    class Routes:
        @hookimpl
        def route(self, request: InferRequest) -> Target:
            seen.append(request)
            return Target("sum", 2)

    def add(inputs: Any) -> Any:
        return {"s": inputs["a"].sum(axis=1, keepdims=True)}

    total = Function(add, {"a": ("INT64", (-1,))}, {"s": ("INT64", (1,))})

    async def work() -> Answer:
        async with Bench(Routes(), models={"sum": {1: total, 2: total}}) as bench:
            array = np.array([[1, 2, 3]], np.int64)
            return await bench.infer("any", {"a": array}, version=1, parameters={"p": 2, "q": True})

    answer = run(work)
    assert answer.outputs["s"].tolist() == [[6]]
    assert (seen[0].model, seen[0].version, dict(seen[0].parameters)) == ("any", 1, {"p": 2, "q": True})


def test_what_a_plugin_does_wrong_is_counted() -> None:
    class Fails:
        @hookimpl
        def route(self) -> Target:
            raise KeyError

    async def work() -> Any:
        async with Bench(Fails()) as bench:
            assert (await bench.infer("echo", {"x": [[1.0]]})).is_ok
            return bench.failures

    assert run(work) == {("Fails", "route", "raised"): 1}


@PROTOCOLS
def test_an_error_has_its_text_and_headers(protocol: str) -> None:
    async def work() -> Answer:
        async with Bench() as bench:
            return await bench.infer("nobody", {"x": [[1.0]]}, protocol=protocol)

    answer = run(work)
    assert not answer.is_ok
    assert "nobody" in answer.text
    assert answer.headers["content-type"].startswith("application/")


def test_the_clock_stands_until_it_is_moved() -> None:
    clock = ManualClock(5.0)
    made = start("controller", clock)
    clock.advance(2.5)
    assert (made.process, made.clock(), made.wall()) == ("controller", 7.5, EPOCH_S)
