"""What a model says of the environment and the modules it comes from."""

from __future__ import annotations

import pytest

from gateway.core.environment import (
    FOLDER_OPTION,
    MODEL_DIRECTORY,
    PARAMETER,
    PRELOAD,
    Base,
    base_of,
    decode_base,
    fault_of_path,
    parse_modules,
)


def test_models_of_the_same_words_have_the_same_base() -> None:
    told = {PRELOAD: "torch, numpy.linalg", PARAMETER: "env", FOLDER_OPTION: "/e", "other": "x"}
    base = base_of(told, "/models/a")
    assert base == base_of({**told, "other": "y"}, "/models/b")
    assert decode_base(base) == Base(("torch", "numpy.linalg"), {PARAMETER: "env", FOLDER_OPTION: "/e"}, "")
    assert base != base_of({**told, PARAMETER: "other"}, "/models/a")


def test_an_environment_in_the_models_own_folder_is_its_own() -> None:
    told = {PRELOAD: "torch", PARAMETER: f"{MODEL_DIRECTORY}/env"}
    assert base_of(told, "/models/a") != base_of(told, "/models/b")
    assert decode_base(base_of({PRELOAD: "torch", FOLDER_OPTION: "/e"}, "/m")).options == {}


def test_who_preloads_nothing_has_the_common_one() -> None:
    assert base_of({PARAMETER: "env"}, "/models/a") == ""


@pytest.mark.parametrize(
    "told", ["", "a,", "a b", "a-b", "1a", "a..b", "os;x", ",".join("a" * 17), "a" * 200]
)
def test_modules_that_are_none(told: str) -> None:
    with pytest.raises(ValueError, match=r"must be names|at most"):
        parse_modules(told)


@pytest.mark.parametrize(("told", "is_sound"), [("env", True), ("e.tar.gz", False), ("/", False)])
def test_paths(told: str, is_sound: bool) -> None:
    assert (fault_of_path(told) == "") == is_sound
