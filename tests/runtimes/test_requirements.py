from __future__ import annotations

from pathlib import Path

import pytest

from gateway.runtimes.contract import LoadError
from gateway.runtimes.requirements import check_requirements, read, unsatisfied
from tests.fakes.python_files import write

HERE = "the gateway's environment"


@pytest.mark.parametrize(
    ("line", "name", "versions"),
    [
        ("numpy", "numpy", ""),
        ("numpy>=2.1  # arrays", "numpy", ">=2.1"),
        ("  Typing_Extensions[all] == 4", "Typing_Extensions", "==4"),
        ("thing @ https://example.com/thing.whl#sha256=00", "thing", ""),
        ('x; python_version > "3"', "x", ""),
        ("a==1 --hash=sha256:00", "a", "==1"),
    ],
)
def test_a_line_names_a_requirement(line: str, name: str, versions: str) -> None:
    assert [(one.name, str(one.specifier)) for one in read([line])] == [(name, versions)]


@pytest.mark.parametrize(
    "line",
    [
        *("", "# numpy", "-r other.txt", "--pre", 'x; python_version < "3"', "./local"),
        *("git+https://example.com/x", "../x.whl", "file:///x.whl"),
    ],
)
def test_lines_that_name_none(line: str) -> None:
    assert read([line]) == []


def test_a_line_may_go_on() -> None:
    assert [str(one) for one in read(["a \\", "  ==1 \\", " --hash=sha256:00", "b", "c\\"])] == [
        "a==1",
        "b",
        "c",
    ]


def test_a_line_that_is_none_is_refused_by_its_number() -> None:
    with pytest.raises(LoadError, match=r"^requirements.txt: line 2 is not a requirement$"):
        read(["a", "b = 1"])


@pytest.mark.parametrize(
    ("line", "there", "missing"),
    [
        ("a", "1.0", []),
        ("a>=1,<2", "1.5", []),
        ("a>=1", "2.0rc1", []),
        ("a>=2", "1.0", ["a>=2 (there is 1.0)"]),
        ("a>=2", None, ["a>=2"]),
        ("a", None, ["a"]),
    ],
)
def test_versions_are_compared(line: str, there: str | None, missing: list[str]) -> None:
    assert unsatisfied(read([line]), lambda _: there) == missing


def test_missing_packages_are_named(tmp_path: Path) -> None:
    check_requirements(tmp_path, HERE)
    write(tmp_path, "numpy\nno-such-package-1\nno_such_package_2>=3\nnumpy<1\n", "requirements.txt")
    with pytest.raises(LoadError) as caught:
        check_requirements(tmp_path, HERE)
    told = str(caught.value)
    assert told.startswith(
        "requirements.txt: not installed in the gateway's environment: no-such-package-1, "
        "no_such_package_2>=3, numpy<1 (there is "
    )


def test_requirements_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"\xff")
    with pytest.raises(LoadError, match=r"requirements.txt cannot be read: UnicodeDecodeError"):
        check_requirements(tmp_path, HERE)
