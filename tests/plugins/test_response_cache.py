"""Equal questions are answered from memory; questions that differ in anything are not equal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gateway.core.caller import ANYBODY, Caller, Credentials, Grant, Operation, Principal
from gateway.core.dtypes import DType
from gateway.core.messages import InferRequest, InferResponse, RequestedOutput
from gateway.core.tensor import Tensor
from gateway.hooks import hookimpl
from gateway.testing import Bench, Function, ManualClock, start
from gateway_plugins.response_cache import ResponseCache, ResponseCacheSettings, key_of


def cache(clock: ManualClock | None = None, **settings: Any) -> ResponseCache:
    told = ResponseCacheSettings.model_validate({"models": ["m*", "echo"], **settings})
    return ResponseCache(told, start(clock=clock))


def tensor(values: list[float], name: str = "x") -> Tensor:
    data = np.array(values, "<f4")
    return Tensor(name, DType.FP32, data.shape, data.tobytes())


def question(**changed: Any) -> InferRequest:
    told = {"model": "m", "version": 0, "inputs": (tensor([1.0]),), **changed}
    return InferRequest(**told)


ANNA, BOB = Caller(Principal("anna", "shop")), Caller(Principal("bob", "bank"))


@pytest.mark.parametrize(
    ("other", "version", "caller"),
    [
        (question(model="m2"), 1, ANNA),
        (question(inputs=(tensor([2.0]),)), 1, ANNA),
        (question(inputs=(tensor([1.0], "y"),)), 1, ANNA),
        (question(inputs=(tensor([1.0]), tensor([1.0], "y"))), 1, ANNA),
        (question(parameters={"a": 1}), 1, ANNA),
        (question(outputs=(RequestedOutput("y"),)), 1, ANNA),
        (question(outputs=(RequestedOutput("y", {"classification": 3}),)), 1, ANNA),
        (question(), 2, ANNA),
        (question(), 1, BOB),
        (question(), 1, ANYBODY),
    ],
)
def test_what_an_answer_could_depend_on_tells_questions_apart(
    other: InferRequest, version: int, caller: Caller
) -> None:
    assert key_of(question(), 1, ANNA) == key_of(question(id="another"), 1, Caller(Principal("carl", "shop")))
    assert key_of(other, version, caller) != key_of(question(), 1, ANNA)


def test_true_and_one_are_two() -> None:
    keys = {key_of(question(parameters={"a": one}), 1, ANNA) for one in (True, 1, 1.0, "1")}
    assert len(keys) == 4


def asked(plugin: ResponseCache, request: InferRequest) -> tuple[Any, Callable[[], None]]:
    release = plugin.admit(request, ANNA)
    assert release is not None
    return plugin.answer(request, 1, ANNA), release


def answer_of(plugin: ResponseCache, request: InferRequest, values: list[float]) -> None:
    """The model answers."""
    plugin.transform_response(InferResponse("m", 1, (tensor(values),), request.id), request, ANNA)


def test_an_answer_is_remembered_under_each_ones_id_until_its_time_is_over() -> None:
    clock = ManualClock()

    async def run() -> None:
        plugin = cache(clock, ttl_s=10)
        first = question(id="a")
        found, release = asked(plugin, first)
        assert found is None
        answer_of(plugin, first, [5.0])
        release()
        second = question(id="b")
        found, release = asked(plugin, second)
        assert (found.id, found.outputs) == ("b", (tensor([5.0]),))
        release()
        clock.advance(10)
        found, release = asked(plugin, question())
        assert found is None
        release()
        assert (plugin.hits, plugin.misses, plugin._asking, plugin._leading) == (1, 2, {}, {})

    asyncio.run(run())


def test_questions_that_come_at_once_wait_for_one_answer() -> None:
    async def run() -> None:
        plugin = cache()
        first = question()
        found, release = asked(plugin, first)
        assert found is None
        waiting = [asked(plugin, question(id=f"{number}")) for number in range(5)]
        tasks = [asyncio.ensure_future(one[0]) for one in waiting]
        await asyncio.sleep(0)
        answer_of(plugin, first, [5.0])
        release()
        answers = await asyncio.gather(*tasks)
        assert [one.id for one in answers] == ["0", "1", "2", "3", "4"]
        for _, over in waiting:
            over()
        assert (plugin.misses, plugin.shared, plugin._asking) == (1, 5, {})

    asyncio.run(run())


def test_where_the_first_fails_the_others_go_themselves() -> None:
    async def run() -> None:
        plugin = cache()
        _, release = asked(plugin, question())
        waiting, _ = asked(plugin, question())
        task = asyncio.ensure_future(waiting)
        await asyncio.sleep(0)
        release()
        assert await task is None
        assert asked(plugin, question())[0] is None

    asyncio.run(run())


def test_nobody_waits_beyond_the_deadline() -> None:
    async def run() -> None:
        clock = ManualClock()
        plugin = cache(clock)
        first = question()
        _, release = asked(plugin, first)
        waiting, _ = asked(plugin, question(deadline=clock() + 0.01))
        assert await waiting is None
        release()

    asyncio.run(run())


def test_memory_is_bounded_and_the_least_used_goes_first() -> None:
    async def run() -> None:
        plugin = cache(max_bytes=3 * (1024 + 4), max_answer_bytes=8)
        for number in (1.0, 2.0, 3.0, 1.0, 4.0):
            request = question(inputs=(tensor([number]),))
            found, release = asked(plugin, request)
            if found is None:
                answer_of(plugin, request, [number])
            release()
        hits = []
        for number in (1.0, 2.0, 3.0, 4.0):
            found, release = asked(plugin, question(inputs=(tensor([number]),)))
            hits.append(found is not None)
            release()
        assert hits == [True, False, True, True]
        long = question(inputs=(tensor([9.0]),))
        _, release = asked(plugin, long)
        answer_of(plugin, long, [0.0] * 3)
        release()
        assert len(plugin._kept) == 3

    asyncio.run(run())


def test_what_is_not_meant_is_left_alone() -> None:
    plugin = cache()
    assert plugin.admit(question(model="other"), ANNA) is None
    assert plugin.admit(question(parameters={"sequence_id": 5}), ANNA) is None
    assert plugin.answer(question(), 1, ANNA) is None


class Tenants:
    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal:
        tenant = credentials.header("x-tenant") or "none"
        return Principal("p", tenant, (Grant(frozenset({Operation.INFER})),))


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_in_a_gateway(protocol: str) -> None:
    runs: list[int] = []

    def count(inputs: Any) -> Any:
        runs.append(len(inputs["x"]))
        return {"x": inputs["x"] + len(runs)}

    async def run() -> list[float]:
        async with Bench(Tenants(), cache(), models={"echo": Function(count)}) as bench:
            asked = [("a", 1.0), ("a", 1.0), ("b", 1.0), ("a", 2.0), ("a", 1.0)]
            answers = [
                await bench.infer("echo", {"x": [[value]]}, protocol=protocol, headers={"x-tenant": tenant})
                for tenant, value in asked
            ]
            together = await asyncio.gather(
                *(bench.infer("echo", {"x": [[7.0]]}, protocol=protocol, id=str(n)) for n in range(4))
            )
            assert [one.id for one in together] == ["0", "1", "2", "3"]
            assert not bench.failures
            assert len(bench.records) == 9
            return [float(one.outputs["x"][0, 0]) for one in answers]

    assert asyncio.run(run()) == [2.0, 2.0, 3.0, 5.0, 2.0]
    assert sum(runs) == 4


def test_what_was_known_is_on_the_page() -> None:
    async def run() -> dict[str, float]:
        async with Bench(cache()) as bench:
            for value in (1.0, 1.0, 2.0):
                await bench.infer("echo", {"x": [[value]]})
            told = bench.measures()
            return {f"{name}{labels[0][1] if labels else ''}": one for (_, name, labels), one in told.items()}

    told = asyncio.run(run())
    assert (told["lookupshit"], told["lookupsmiss"], told["lookupsshared"]) == (1, 2, 0)
    assert told["answers"] == 2
    assert told["bytes"] > 0
