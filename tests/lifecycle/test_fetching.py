"""Downloads: once however many ask, kept while somebody needs them, told why where they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from gateway.lifecycle.fetching import Fetcher
from gateway.lifecycle.offers import Offer
from gateway.repository.catalogue import Catalogue, StoredFile
from gateway.repository.settings import StoreSettings
from gateway.repository.sources import Sources
from gateway.repository.stores.cache import Cache
from tests.fakes.stored_objects import FakeObjects
from tests.fakes.waiting import until
from tests.fakes.worlds import offer

_NOTHING = Catalogue()


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.objects = FakeObjects({"m/1/model.onnx": b"weights" * 100, "m/1/more": b"more"})
        settings = StoreSettings(name="s", url="memory:///")
        sources = Sources([], [settings], tmp_path, lambda: 1.0, lambda _: self.objects)
        sources.look_for("m", sources.look({}), None)
        self.cache = Cache(tmp_path / "cache", 1 << 30)
        self.fetcher = Fetcher(sources, self.cache)
        self.told: list[tuple[str, str]] = []

    def offer(self, **digests: str) -> Offer:
        files = tuple(
            StoredFile(name, one.path, one.size_bytes, one.tag, digests.get(name, ""))
            for one in self.objects.list()
            for name in (one.path.removeprefix("m/1/"),)
        )
        return msgspec.structs.replace(offer(), source="s", path="", files=files, mark="mark")

    def fetch(self, offered: Offer) -> Callable[[], None]:
        return self.fetcher.fetch(offered, lambda path, reason: self.told.append((path, reason)))


def run(tmp_path: Path, scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        # The scenario may ask before the cache is open, as a first look at the repository may.
        task = asyncio.ensure_future(bench.fetcher.run())
        await scenario(bench)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_a_thousand_who_ask_are_one_download(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        for _ in range(1000):
            bench.fetch(bench.offer())
        assert bench.told == []
        await until(lambda: len(bench.told) == 1000)
        (told,) = set(bench.told)
        assert told[1] == ""
        assert (Path(told[0]) / "model.onnx").read_bytes() == b"weights" * 100
        assert sorted(bench.objects.downloads) == ["m/1/model.onnx", "m/1/more"]

    run(tmp_path, scenario)


def test_what_is_here_is_not_downloaded_again(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        for number in (1, 2):
            bench.fetch(bench.offer())
            await until(lambda number=number: len(bench.told) == number)
            bench.fetcher.release(bench.told[-1][0])
        assert len(bench.objects.downloads) == 2

    run(tmp_path, scenario)


@pytest.mark.parametrize("fault", ["truncated", "digest", "changed", "gone"])
def test_failures_are_told_and_leave_nothing(tmp_path: Path, fault: str) -> None:
    async def scenario(bench: Bench) -> None:
        offered = bench.offer(**({"more": "ab" * 32} if fault == "digest" else {}))
        match fault:
            case "truncated":
                bench.objects.truncated.add("m/1/more")
            case "changed":
                bench.objects.files["m/1/more"] = b"else"
            case "gone":
                bench.objects.fault = "store 's' cannot be read: GenericError"
        bench.fetch(offered)
        await until(lambda: bench.told)
        ((path, reason),) = bench.told
        assert path == ""
        assert reason
        assert "\n" not in reason
        assert list((tmp_path / "cache" / "versions").iterdir()) == []

    run(tmp_path, scenario)


def test_nobody_is_told_of_what_was_stopped(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        stop = bench.fetch(bench.offer())
        stop()
        stop()
        bench.fetch(bench.offer())
        await until(lambda: bench.told)
        await asyncio.sleep(0.05)
        assert len(bench.told) == 1

    run(tmp_path, scenario)
