from __future__ import annotations

from pathlib import Path

import pytest

from gateway.runtimes.contract import LoadError
from gateway.runtimes.python_source import import_file
from tests.fakes.python_files import write

pytestmark = pytest.mark.usefixtures("interpreter")


def test_both_ways_to_a_module_beside_it_work(tmp_path: Path) -> None:
    write(tmp_path / "1", "FACTOR = 3", "beside_it.py")
    write(tmp_path / "1", "import beside_it\nfrom .beside_it import FACTOR\nSAME = beside_it.FACTOR")
    module = import_file(tmp_path / "1", "model.py", 1)
    assert (module.FACTOR, module.SAME, module.__name__) == (3, 3, "1.model")


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "1", "X = 1", "beside_that.py")
    write(tmp_path / "1", "import beside_that")
    import_file(tmp_path / "1", "model.py", 1)
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["beside_that.py", "model.py"]


def test_a_dataclass_finds_its_module(tmp_path: Path) -> None:
    text = """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Settings:
            size: int = 1
    """
    assert import_file(write(tmp_path / "2", text), "model.py", 2).Settings().size == 1


def test_a_file_that_is_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"'model.txt' is not the name of a Python file"):
        import_file(write(tmp_path, "X = 1", "model.txt"), "model.txt", 1)
