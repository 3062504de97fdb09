"""Files of versions: here at once, or fetched, kept while needed, and released once."""

from __future__ import annotations

import msgspec
import pytest

from gateway.lifecycle.files import Files, LocalOnly
from tests.fakes.worlds import FakeFetching, FakeTime, offer

STORED = msgspec.structs.replace(offer(), source="s3")


def test_a_local_folder_is_there_at_once() -> None:
    told: list[str] = []
    files = Files(LocalOnly(), FakeTime().clock)
    files.get(offer(), told.append)
    assert (told, files.path, files.is_under_way) == ([""], "/models/m/1", False)
    files.release()


def test_what_was_fetched_is_fetched_once_while_it_is_needed() -> None:
    fetching, time, told = FakeFetching(), FakeTime(), list[str]()
    files = Files(fetching, time.clock)
    files.get(STORED, told.append)
    assert files.is_under_way
    time.advance(3.0)
    fetching.done("/cache/1")
    assert (told, files.path, files.fetch_s) == ([""], "/cache/1", 3.0)
    files.get(STORED, told.append)
    assert (len(fetching.asked), files.fetch_s) == (1, 0.0)
    files.release()
    files.release()
    assert fetching.released == ["/cache/1"]
    files.get(STORED, told.append)
    assert len(fetching.asked) == 2


def test_other_files_take_the_place_of_the_old_ones() -> None:
    fetching, told = FakeFetching(), list[str]()
    files = Files(fetching, FakeTime().clock)
    files.get(STORED, told.append)
    fetching.done("/cache/1")
    files.get(msgspec.structs.replace(STORED, fingerprint="b"), told.append)
    assert fetching.released == ["/cache/1"]
    fetching.done("/cache/2")
    assert files.path == "/cache/2"


def test_a_fetch_that_fails_or_is_stopped() -> None:
    fetching, told = FakeFetching(), list[str]()
    files = Files(fetching, FakeTime().clock)
    files.get(STORED, told.append)
    fetching.done("", "no answer")
    assert told == ["no answer"]
    files.get(STORED, told.append)
    files.cancel()
    files.cancel()
    assert (fetching.open, files.is_under_way) == ([], False)
    files.release()
    assert fetching.released == []


def test_without_a_store_nothing_is_fetched() -> None:
    with pytest.raises(AssertionError, match="m/1 is in no folder"):
        LocalOnly().fetch(STORED, lambda path, reason: None)
    with pytest.raises(AssertionError):
        LocalOnly().release("/x")
