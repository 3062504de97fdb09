from __future__ import annotations

from pathlib import Path

import pytest

from gateway.runtimes.contract import LoadError
from gateway.runtimes.python_source import check_requirements, import_file, required
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


@pytest.mark.parametrize(
    ("line", "project"),
    [
        ("numpy", "numpy"),
        ("numpy>=2.1  # arrays", "numpy"),
        ("  Typing_Extensions[all] == 4", "Typing_Extensions"),
        ("thing @ https://example.com/thing.whl", "thing"),
    ],
)
def test_a_requirement_names_a_project(line: str, project: str) -> None:
    assert required([line]) == [project]


@pytest.mark.parametrize("line", ["", "# numpy", "-r other.txt", "--pre", 'x; python_version < "3"'])
def test_lines_that_name_none(line: str) -> None:
    assert required([line]) == []


def test_missing_packages_are_named(tmp_path: Path) -> None:
    check_requirements(tmp_path)
    write(tmp_path, "numpy\nno-such-package-1\nno_such_package_2>=3\n", "requirements.txt")
    with pytest.raises(LoadError) as caught:
        check_requirements(tmp_path)
    assert str(caught.value) == (
        "requirements.txt: not installed in the gateway's environment: no-such-package-1, no_such_package_2"
    )


def test_requirements_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"\xff")
    with pytest.raises(LoadError, match=r"requirements.txt cannot be read: UnicodeDecodeError"):
        check_requirements(tmp_path)
