"""Models loaded before anybody asks; the clock and the file are the test's."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from gateway.lifecycle.prefetch import Prefetch, due, most_recent, read_uses, write_uses
from gateway.lifecycle.settings import PrefetchSettings
from tests.fakes.waiting import until

MIDNIGHT = 1_800_000_000 - 1_800_000_000 % 86_400.0


def test_those_used_last_come_first() -> None:
    uses = {"a": 1.0, "b": 3.0, "c": 2.0, "gone": 9.0}
    assert most_recent(uses, ["a", "b", "c", "new"], 2) == ["b", "c"]
    assert most_recent(uses, [], 2) == []


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (8 * 3600 - 1, 8 * 3600, ["a", "b"]),
        (8 * 3600, 8 * 3600 + 1, []),
        (7 * 3600, 20 * 3600, ["a", "b", "c"]),
        (-7200.0, 60.0, ["late"]),
        (-3600 * 24, 0.0, ["a", "b", "c", "late"]),
    ],
)
def test_times_of_day(before: float, now: float, expected: list[str]) -> None:
    schedule = {"08:00": ("a", "b"), "19:30": ("c", "a"), "23:30": ("late",)}
    assert sorted(due(schedule, MIDNIGHT + before, MIDNIGHT + now)) == expected


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "uses.json"
    assert read_uses(file) == {}
    write_uses(file, {"a": 1.5, "b": 2.5})
    assert read_uses(file) == {"a": 1.5, "b": 2.5}
    assert [one.name for one in tmp_path.iterdir()] == ["uses.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"a": "b"}', "{" * 100])
def test_a_file_that_makes_no_sense_is_told_and_forgotten(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "uses.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert read_uses(tmp_path / "uses.json") == {}
    assert "what was used last is not known" in caplog.text


class Bench:
    def __init__(self, **settings: object) -> None:
        self.now = MIDNIGHT + 7 * 3600.0
        self.there: list[str] = []
        self.used: list[str] = []
        self.loaded: list[str] = []
        told = PrefetchSettings.model_validate(settings)
        self.prefetch = Prefetch(
            told, lambda: self.there, lambda: self.used, self.loaded.append, lambda: self.now
        )


def test_at_the_time_of_day_what_is_there_is_loaded_once() -> None:
    bench = Bench(daily={"08:00": ["a", "gone"]})
    bench.there = ["a"]
    bench.prefetch.look()
    bench.now += 3600.0
    bench.prefetch.look()
    bench.prefetch.look()
    assert bench.loaded == ["a"]


def test_after_a_restart_what_was_used_last_is_loaded_when_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "uses.json"
    file.write_text(json.dumps({"a": 1.0, "b": 2.0, "c": 3.0}))
    bench = Bench(file=str(file), at_start=2)

    async def scenario() -> None:
        task = asyncio.ensure_future(bench.prefetch.run())
        await asyncio.sleep(0.05)
        assert bench.loaded == []
        bench.there, bench.used = ["a", "b", "c"], ["a"]
        bench.now += 20.0
        await until(lambda: bench.loaded == ["c", "b"])
        await until(lambda: read_uses(file)["a"] > 3.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    assert bench.loaded == ["c", "b"]


def test_nothing_to_do_ends_at_once() -> None:
    asyncio.run(Bench().prefetch.run())


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'25:00' is no time of day"):
        PrefetchSettings.model_validate({"daily": {"25:00": ["a"]}})
