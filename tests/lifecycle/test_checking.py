"""Files that are looked at before anything is loaded: fetched or local, good, bad, and asked for in vain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway.lifecycle.checking import Checking
from gateway.lifecycle.files import Files, LocalOnly
from tests.fakes.worlds import FakeFetching, FakeTime, offer

STORED = msgspec.structs.replace(offer(), source="s3")


class Bench:
    """One version, whose check says what the test says, when it says."""

    def __init__(self, *, is_required: bool = True, stored: bool = False) -> None:
        self.store = FakeFetching()
        self.steps: list[tuple[Callable[[], str], Callable[[str], None]]] = []
        self.checked: list[Path] = []
        self.fault = ""
        inner = self.store if stored else LocalOnly()
        checking = Checking(inner, self._look, self._aside, is_required=is_required)
        self.files = Files(checking, FakeTime().clock)
        self.told: list[str] = []
        self.offer = STORED if stored else offer()

    def get(self) -> None:
        self.files.get(self.offer, self.told.append)

    def check(self) -> None:
        step, then = self.steps.pop()
        then(step())

    def _look(self, folder: Path) -> str:
        self.checked.append(folder)
        return self.fault

    def _aside(self, step: Callable[[], str], then: Callable[[str], None]) -> None:
        self.steps.append((step, then))


def test_a_local_version_is_checked_once_for_all_its_loads() -> None:
    bench = Bench()
    bench.get()
    assert bench.files.is_under_way
    bench.check()
    assert (bench.told, bench.files.path, bench.checked) == ([""], "/models/m/1", [Path("/models/m/1")])
    bench.files.release()
    bench.get()
    assert (bench.told, bench.steps) == (["", ""], [])
    bench.offer = offer(fingerprint="b")
    bench.get()
    assert bench.steps, "other files"


def test_what_is_refused_is_not_loaded_and_looked_at_again_the_next_time() -> None:
    bench = Bench()
    bench.fault = "Hash mismatch"
    bench.get()
    bench.check()
    assert bench.told == ["its signature is not accepted: Hash mismatch"]
    bench.fault = ""
    bench.get()
    bench.check()
    assert bench.told[-1] == ""


def test_a_warning_lets_it_pass(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(is_required=False)
    bench.fault = "there is no signature"
    for _ in range(3):
        bench.get()
        if bench.steps:
            bench.check()
        bench.files.release()
    assert (bench.told, caplog.text.count("there is no signature")) == ([""] * 3, 1)


def test_files_of_a_store_are_checked_when_they_are_here_and_released_once() -> None:
    bench = Bench(stored=True)
    bench.get()
    assert not bench.steps
    bench.store.done("/cache/1")
    assert not bench.told
    bench.check()
    assert (bench.told, bench.files.path) == ([""], "/cache/1")
    bench.files.release()
    assert bench.store.released == ["/cache/1"]
    bench.get()
    bench.store.done("/cache/1")
    assert bench.told == ["", ""], "they are known"


@pytest.mark.parametrize("fault", ["", "bad"])
def test_nobody_waits_any_more(fault: str) -> None:
    bench = Bench(stored=True)
    bench.fault = fault
    bench.get()
    bench.store.done("/cache/1")
    bench.files.cancel()
    bench.check()
    assert (bench.told, bench.store.released) == ([], ["/cache/1"])


def test_bad_files_of_a_store_are_given_back_and_what_cannot_be_fetched_is_not_checked() -> None:
    bench = Bench(stored=True)
    bench.fault = "bad"
    bench.get()
    bench.store.done("/cache/1")
    bench.check()
    bench.files.release()
    assert bench.store.released == ["/cache/1"]
    bench.get()
    bench.store.done("", "no such bucket")
    assert (bench.told[-1], bench.steps) == ("no such bucket", [])
