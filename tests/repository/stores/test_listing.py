"""A listing as models; names that are not what they seem."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.repository.stores.listing import clash_of, fault_of, lost_share, models_of
from gateway.repository.stores.objects import StoredObject


def stored(*paths: str) -> list[StoredObject]:
    return [StoredObject(path, 1, "t") for path in paths]


def test_what_lies_where() -> None:
    found = models_of(
        stored(
            "m/config.pbtxt",
            "m/1/model.onnx",
            "m/1/a/b.bin",
            "m/2/model.onnx",
            "m/labels.txt",
            "README",
            "n/1/x",
        )
    )
    assert sorted(found) == ["m", "n"]
    assert sorted(found["m"].beside) == ["config.pbtxt", "labels.txt"]
    assert {number: sorted(files) for number, files in found["m"].versions.items()} == {
        1: ["a/b.bin", "model.onnx"],
        2: ["model.onnx"],
    }
    assert found["n"].beside == {}


def test_folders_beside_versions_belong_to_the_model() -> None:
    found = models_of(stored("m/1/model.onnx", "m/warmup/x", "m/007/model.onnx", "m/0/model.onnx"))
    assert sorted(found["m"].beside) == ["warmup/x"]
    assert sorted(found["m"].versions) == [1]


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../x", "a//x", "./x", "a/.", "x" * 201, "/".join("abcdefghi"), "a\nb", "a\\b", "a\x00b"],
)
def test_names_that_are_refused(path: str) -> None:
    assert fault_of(path)
    found = models_of(stored("m/1/model.onnx", f"m/1/{path}", "m/2/model.onnx"))
    assert sorted(found["m"].faults) == [1]


def test_models_by_impossible_names_are_left_out() -> None:
    assert models_of(stored("../etc/1/x", ".hidden/1/x", "a b/1/x", "/1/x")) == {}


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (["A/x", "a/X"], "upper and lower case"),
        (["a", "a/b"], "a file and a folder"),
        (["a", "b/c"], ""),
    ],
)
def test_two_in_one_place(paths: list[str], reason: str) -> None:
    assert reason in clash_of(paths)
    assert bool(clash_of(paths)) == bool(reason)


@given(st.lists(st.text(min_size=1, max_size=40), max_size=20))
def test_whatever_is_listed_stays_inside(paths: list[str]) -> None:
    for name, model in models_of(stored(*paths, *(f"m/1/{path}" for path in paths))).items():
        assert "/" not in name
        for number, files in model.versions.items():
            if number not in model.faults:
                assert not any(part in {"", ".", ".."} for path in files for part in path.split("/"))


def test_shares() -> None:
    assert lost_share([], ["a"]) == 0.0
    assert lost_share(["a", "b"], ["b", "c"]) == 0.5
