"""Plugins that are asked before files are loaded: sync and async, fetched or local, asked for in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.errors import Forbidden
from gateway.hooks import hookimpl
from gateway.hooks.contract import Process
from gateway.lifecycle.approval import Approving, Unloading
from gateway.lifecycle.checking import Checking
from gateway.lifecycle.files import Files, LocalOnly
from tests.fakes.plugins import Failures, hooks
from tests.fakes.worlds import FakeFetching, FakeTime, offer

STORED = msgspec.structs.replace(offer(), source="s3")


class Policy:
    fault = ""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, Path]] = []

    @hookimpl
    def approve_load(self, model: str, version: int, folder: Path) -> Any:
        self.asked.append((model, version, folder))
        if self.fault == "raises":
            raise KeyError
        if self.fault:
            raise Forbidden(self.fault)

    @hookimpl
    def approve_unload(self, model: str) -> Any:
        if self.fault:
            raise Forbidden(self.fault)


class PolicyLater(Policy):
    @hookimpl
    async def approve_load(self, model: str, version: int, folder: Path) -> Any:
        await asyncio.sleep(0)
        return super().approve_load(model, version, folder)

    @hookimpl
    async def approve_unload(self, model: str) -> Any:
        await asyncio.sleep(0)
        return super().approve_unload(model)


class Bench:
    """One version; what is begun runs when the test says so."""

    def __init__(self, policy: Policy, *, stored: bool = False, checked: bool = False) -> None:
        self.store = FakeFetching()
        self.work: list[Coroutine[Any, Any, None]] = []
        self.failures = Failures()
        hook = hooks(policy, process=Process.CONTROLLER, failures=self.failures).get("approve_load")
        assert hook is not None
        inner: Any = self.store if stored else LocalOnly()
        if checked:
            inner = Checking(inner, lambda path: "", lambda step, then: then(step()), is_required=True)
        self.files = Files(Approving(inner, hook, self.work.append), FakeTime().clock)
        self.offer = STORED if stored else offer()
        self.told: list[str] = []

    def get(self) -> None:
        self.files.get(self.offer, self.told.append)

    def run(self) -> None:
        asyncio.run(self.work.pop())


KINDS = (Policy, PolicyLater)


@pytest.mark.parametrize("kind", KINDS)
def test_a_local_version_is_asked_for_at_each_load(kind: type[Policy]) -> None:
    policy = kind()
    bench = Bench(policy)
    for _ in range(2):
        bench.get()
        assert bench.files.is_under_way
        bench.run()
        bench.get()  # another instance of it
        bench.files.release()
    assert bench.told == [""] * 4
    assert policy.asked == [("m", 1, Path("/models/m/1"))] * 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "told"), [("no pickles", "no pickles"), ("raises", "plugin")])
def test_what_is_not_approved_is_not_loaded(kind: type[Policy], fault: str, told: str) -> None:
    policy = kind()
    policy.fault = fault
    bench = Bench(policy)
    bench.get()
    bench.run()
    assert len(bench.told) == 1
    assert told in bench.told[0]
    assert bench.told[0].startswith("its load is not approved: ")
    assert bool(bench.failures) == (fault == "raises")


def test_files_of_a_store_are_asked_about_when_they_are_here_and_released_once() -> None:
    policy = Policy()
    bench = Bench(policy, stored=True, checked=True)
    bench.get()
    assert bench.work == []
    bench.store.done()
    bench.run()
    assert policy.asked == [("m", 1, Path("/cache/1"))]
    bench.files.release()
    bench.files.release()
    assert bench.store.released == ["/cache/1"]


def test_files_that_are_not_approved_are_given_back_and_what_cannot_be_fetched_is_not_asked_about() -> None:
    policy = Policy()
    policy.fault = "no"
    bench = Bench(policy, stored=True)
    bench.get()
    bench.store.done("", "gone")
    assert (bench.told, bench.work) == (["gone"], [])
    bench.get()
    bench.store.done()
    bench.run()
    assert bench.store.released == ["/cache/1"]


def test_nobody_waits_any_more() -> None:
    bench = Bench(Policy(), stored=True)
    bench.get()
    bench.store.done()
    bench.files.cancel()
    bench.run()
    assert (bench.told, bench.store.released) == ([], ["/cache/1"])


@pytest.mark.parametrize("kind", KINDS)
def test_unloads(kind: type[Policy]) -> None:
    policy = kind()
    unloading = Unloading(hooks(policy, process=Process.CONTROLLER).get("approve_unload"))
    asyncio.run(unloading.approve("m"))
    policy.fault = "it is kept"
    with pytest.raises(Forbidden, match="it is kept"):
        asyncio.run(unloading.approve("m"))
    asyncio.run(Unloading(None).approve("m"))
