from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from gateway.core.environment import FOLDER_OPTION, PARAMETER
from gateway.runtimes.contract import LoadError
from gateway.runtimes.environment import Conflict, enter, find_conflicts, installed_in, is_native, locate
from tests.fakes.environments import OURS, install, make_environment

pytestmark = pytest.mark.usefixtures("interpreter")


def options(told: str, folder: Path | None = None) -> dict[str, str]:
    return {PARAMETER: told} | ({FOLDER_OPTION: str(folder)} if folder else {})


def refused(told: str, model: Path, folder: Path | None = None) -> str:
    with pytest.raises(LoadError) as caught:
        enter(options(told, folder), model)
    assert "\n" not in str(caught.value)
    assert str(model.parent) not in str(caught.value)
    return str(caught.value)


def test_a_model_that_names_none_stays_where_it_is(tmp_path: Path) -> None:
    before = list(sys.path)
    assert enter({}, tmp_path) is None
    assert sys.path == before


def test_its_packages_are_found_first_but_for_the_standard_library(tmp_path: Path) -> None:
    packages = make_environment(tmp_path / "environments" / "blue")
    install(packages, "only-there-1", "3.0", "WHERE = 'there'")
    install(packages, "rich", "99.0", "WHERE = 'there'")
    install(packages, "json", "1.0", "WHERE = 'there'")
    (packages / "more.pth").write_text(f"{tmp_path}\n")
    entered = enter(options("blue", tmp_path / "environments"), tmp_path / "m")
    assert entered == ("blue", packages)
    assert importlib.import_module("only_there_1").WHERE == "there"
    assert "rich" not in sys.modules
    assert importlib.import_module("rich").WHERE == "there"
    assert importlib.metadata.version("rich") == "99.0"
    assert hasattr(importlib.import_module("json"), "dumps")
    assert str(tmp_path) in sys.path
    assert importlib.import_module("numpy") is np


def test_another_version_of_an_extension_that_is_imported_is_refused(tmp_path: Path) -> None:
    packages = make_environment(tmp_path / "m" / "env")
    install(packages, "numpy", "1.26.4", "")
    reason = refused("$$TRITON_MODEL_DIRECTORY/env", tmp_path / "m")
    assert reason == (
        "environment 'env' has another version of what every worker has imported: "
        f"numpy 1.26.4 (there is {np.__version__})"
    )


def test_the_same_version_is_no_trouble_and_ours_stays(tmp_path: Path) -> None:
    install(make_environment(tmp_path / "m" / "env"), "numpy", np.__version__, "")
    assert enter(options("$$TRITON_MODEL_DIRECTORY/env"), tmp_path / "m") is not None
    assert importlib.import_module("numpy") is np


def test_python_that_is_imported_is_imported_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = importlib.import_module("typing_extensions")
    monkeypatch.setitem(sys.modules, "typing_extensions", ours)
    packages = make_environment(tmp_path / "m" / "env")
    install(packages, "typing_extensions", "0.1", "WHERE = 'there'")
    enter(options("$$TRITON_MODEL_DIRECTORY/env"), tmp_path / "m")
    assert importlib.import_module("typing_extensions").WHERE == "there"


def test_an_environment_is_a_folder_with_packages_for_this_release(tmp_path: Path) -> None:
    make_environment(tmp_path / "environments" / "old", "python3.8")
    (tmp_path / "environments" / "empty").mkdir()
    folder = tmp_path / "environments"
    assert refused("old", tmp_path, folder) == (
        f"environment 'old' is for python3.8, the gateway runs {OURS}"
    )
    assert refused("empty", tmp_path, folder) == (
        f"'empty' is no environment: it has no lib/{OURS}/site-packages"
    )
    assert refused("absent", tmp_path, folder) == f"{PARAMETER}: there is no environment 'absent'"


@pytest.mark.parametrize(
    "told",
    ["../outside", ".", "$$TRITON_MODEL_DIRECTORY/../outside", "link", "/", "$$TRITON_MODEL_DIRECTORY/."],
)
def test_it_lies_in_one_of_two_folders(tmp_path: Path, told: str) -> None:
    make_environment(tmp_path / "outside")
    make_environment(tmp_path / "environments" / "inside")
    (tmp_path / "environments" / "link").symlink_to(tmp_path / "outside")
    model = tmp_path / "m"
    model.mkdir()
    assert "it is not within the folder of environments" in refused(told, model, tmp_path / "environments")


def test_a_whole_path_within_the_folder_will_do(tmp_path: Path) -> None:
    make_environment(tmp_path / "environments" / "blue")
    wanted = tmp_path / "environments" / "blue"
    assert locate(str(wanted), tmp_path / "m", str(tmp_path / "environments")) == wanted


def test_without_a_folder_of_environments_only_the_models_own_can_be_named(tmp_path: Path) -> None:
    assert "there is no folder of environments ([repository] environments)" in refused("blue", tmp_path)


def test_what_is_installed_is_known_by_its_names(tmp_path: Path) -> None:
    packages = make_environment(tmp_path)
    install(packages, "a-b", "1", "", module="ab")
    install(packages, "c", "2", "")
    (packages / "c-2.dist-info" / "top_level.txt").write_text("c\n_c\n")
    (packages / "~umpy-1.dist-info").mkdir()
    assert installed_in(packages) == {"ab": ("a-b", "1"), "c": ("c", "2"), "_c": ("c", "2")}


def test_conflicts() -> None:
    theirs = {"numpy": ("numpy", "1"), "pluggy": ("pluggy", "1"), "own": ("own", "1")}
    ours = importlib.metadata.version("numpy")
    assert find_conflicts(theirs, {"numpy", "own", "sys"}) == [Conflict("numpy", "1", ours, "numpy")]
    assert find_conflicts({"numpy": ("numpy", ours)}, {"numpy"}) == []
    assert is_native("numpy", sys.modules)
    assert not is_native("json", sys.modules)
