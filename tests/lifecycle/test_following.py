"""A real folder, looked at by and by; workers and fronts are fakes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.core.errors import InvalidInput, ModelUnavailable, Overloaded
from gateway.lifecycle.following import Following
from gateway.lifecycle.offers import RUNTIMES
from gateway.repository.catalogue import Override
from gateway.repository.settings import RepositorySettings
from tests.fakes.waiting import until
from tests.fakes.worlds import World

Scenario = Callable[[World, Following], Awaitable[None]]


def put(root: Path, name: str, version: int = 1, content: bytes = b"x") -> None:
    (root / name / str(version)).mkdir(parents=True, exist_ok=True)
    (root / name / str(version) / "model.onnx").write_bytes(content)


def run(root: Path, scenario: Scenario, poll_s: float = 0.02) -> None:
    """`scenario` beside a repository that is followed."""

    async def main() -> None:
        world = World()
        following = Following(RepositorySettings(paths=(root,), poll_s=poll_s), RUNTIMES, world.lifecycle)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(following.follow())
            await scenario(world, following)
            task.cancel()

    asyncio.run(main())


def test_what_comes_and_goes_is_offered_once_two_looks_agree(tmp_path: Path) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b")
    put(tmp_path, "c")

    async def scenario(world: World, following: Following) -> None:
        await until(lambda: sorted(world.fronts.world) == ["a", "b", "c"])
        put(tmp_path, "d")
        (tmp_path / "a" / "1" / "model.onnx").unlink()
        (tmp_path / "a" / "1").rmdir()
        (tmp_path / "a").rmdir()
        await until(lambda: sorted(world.fronts.world) == ["b", "c", "d"])

    run(tmp_path, scenario)


def test_with_no_polling_one_look_is_all(tmp_path: Path) -> None:
    async def main() -> None:
        world = World()
        put(tmp_path, "a")
        following = Following(RepositorySettings(paths=(tmp_path,), poll_s=0.0), RUNTIMES, world.lifecycle)
        with pytest.raises(Overloaded):
            await following.look_at("a", None)
        await following.follow()
        assert sorted(world.fronts.world) == ["a"]
        put(tmp_path, "b")
        assert (await following.look_at("b", None)).name == "b", "who asks for it has it looked at"

    asyncio.run(main())


def test_what_was_adopted_is_not_taken_back_by_the_next_look(tmp_path: Path) -> None:
    put(tmp_path, "a")

    async def scenario(world: World, following: Following) -> None:
        await until(lambda: world.fronts.world)
        put(tmp_path, "new")
        given = Override(b"max_batch_size: 5")
        entry = await following.look_at("new", given)
        following.adopt("new", entry, given)
        world.lifecycle.take("new", following.offered(entry))
        looks = len(world.fronts.published)
        put(tmp_path, "later")
        await until(lambda: "later" in world.fronts.world)
        assert len(world.fronts.published) == looks + 1, "nothing was published of what was adopted"
        offer = world.lifecycle._models["new"][1].offered
        assert offer.spec.max_batch_size == 5
        following.adopt("new", None, None)
        assert following.overrides == {}

    run(tmp_path, scenario)


def test_what_cannot_be_had_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path / "r", "a")
    put(tmp_path / "r", "empty", content=b"")

    async def scenario(world: World, following: Following) -> None:
        await until(lambda: world.fronts.world)
        for name in ("nobody", "r"):
            with pytest.raises(InvalidInput, match="failed to poll from model repository"):
                await following.look_at(name, None)
        entry = await following.look_at("empty", None)
        with pytest.raises(InvalidInput, match="load failed for model 'empty': no version can be loaded"):
            following.offered(entry)
        (tmp_path / "r").rename(tmp_path / "away")
        with caplog.at_level(logging.ERROR):
            await until(lambda: "what is known goes on being served" in caplog.text)
        with pytest.raises(ModelUnavailable, match="failed to poll from model repository: repository 'r'"):
            await following.look_at("a", None)
        assert sorted(world.fronts.world) == ["a", "empty"]
        assert caplog.text.count("what is known goes on being served") == 1

    run(tmp_path / "r", scenario)
