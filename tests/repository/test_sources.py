"""Local folders and stores together."""

from __future__ import annotations

from pathlib import Path

from gateway.repository.catalogue import Catalogue
from gateway.repository.settings import StoreSettings
from gateway.repository.sources import Sources
from tests.fakes import onnx_files
from tests.fakes.loop import FakeClock
from tests.fakes.stored_objects import FakeObjects


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.clock = FakeClock()
        self.stores = {"one": FakeObjects(), "two": FakeObjects()}
        onnx_files.mlp(tmp_path / "local" / "here" / "1")
        for name, objects in self.stores.items():
            objects.add_folder(f"in-{name}/1", onnx_files.mlp(tmp_path / "made" / name))
        settings = [StoreSettings(name=name, url="memory:///", poll_s=30.0) for name in self.stores]
        self.sources = Sources(
            [tmp_path / "local"], settings, tmp_path / "cache", self.clock, lambda one: self.stores[one.name]
        )

    def look(self) -> list[str]:
        return sorted(self.sources.look({}).entries)


def test_all_of_them_are_one_repository(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.look() == ["here", "in-one", "in-two"]
    found = bench.sources.look_for("in-two", Catalogue(), None)
    assert found is not None
    assert found.versions[0].source == "two"
    assert bench.sources.look_for("nowhere", Catalogue(), None) is None
    assert bench.sources.objects("two") is bench.stores["two"]


def test_a_store_is_looked_at_in_its_own_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.look()
    bench.stores["one"].files["new/1/model.onnx"] = b"x"
    assert "new" not in bench.look()
    bench.clock.now += 30.0
    assert "new" in bench.look()


def test_one_that_does_not_answer_takes_nothing_away_and_the_others_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.look()
    bench.stores["one"].fault = "store 'one' cannot be listed: GenericError"
    bench.stores["two"].files["new/1/model.onnx"] = b"x"
    bench.clock.now += 30.0
    assert bench.look() == ["here", "in-one", "in-two", "new"]


def test_one_that_never_answered_is_asked_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.stores["one"].fault = "store 'one' cannot be listed: GenericError"
    assert bench.look() == ["here", "in-two"]
    bench.stores["one"].fault = ""
    bench.clock.now += 30.0
    assert bench.look() == ["here", "in-one", "in-two"]


def test_a_name_that_stands_in_two_places_is_served_from_neither(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.stores["one"].files["here/1/model.onnx"] = b"x"
    entry = bench.sources.look({}).entries["here"]
    assert entry.broken == "stands in 2 repositories"
