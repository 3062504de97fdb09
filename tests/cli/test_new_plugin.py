from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from gateway.cli.new_plugin import NotMade, make_package


def test_the_package_is_whole(tmp_path: Path) -> None:
    root = make_package("night_rates", tmp_path)
    assert root == tmp_path / "night_rates"
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["gateway.plugins"] == {"night_rates": "night_rates:NightRates"}
    for source in (root / "night_rates.py", root / "tests" / "test_night_rates.py"):
        ast.parse(source.read_text())
        assert "@" not in source.read_text().replace("@hookimpl", "").replace("@pytest", "")


@pytest.mark.parametrize("name", ["", "Night", "1st", "a-b", "../x", "class", "x" * 50, "a b"])
def test_what_cannot_be_a_module_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotMade, match="cannot be the name"):
        make_package(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    make_package("night_rates", tmp_path)
    with pytest.raises(NotMade, match="is there already"):
        make_package("night_rates", tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotMade, match="Not a directory"):
        make_package("night_rates", tmp_path / "file")
