"""What somebody finds who has nothing but the tree: two commands, locked dependencies, a short README."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").rglob("*.lock"))
# The licence's own address is part of its text; a hash has no scheme.
ADDRESS = re.compile(
    r"https?://|git\+|--index-url|--extra-index-url|--find-links|--trusted-host", re.IGNORECASE
)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_has_its_hash_and_no_lock_names_a_registry(lock: Path) -> None:
    text = lock.read_text()
    assert not ADDRESS.search(text)
    entries = [
        entry
        for entry in re.split(r"(?<!\\)\n", text)
        if entry.strip() and not entry.lstrip().startswith("#")
    ]
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[^]]*\])?==", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_the_readme_is_short_and_names_both_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 150
    for needed in ("make serve", "make test", "curl ", "tritonclient", "zygote", "Where to look"):
        assert needed in text


def test_what_a_change_must_pass_is_make_test() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()
    makefile = (ROOT / "Makefile").read_text()
    (needs,) = re.findall(r"^test:(.*)$", makefile, re.MULTILINE)
    assert {"lint", "types", "contracts"} <= set(needs.split())
    (at_once,) = re.findall(r"--jobs=2 .*--keep-going (.*)$", makefile, re.MULTILINE)
    assert at_once.split() == ["unit", "gateways", "unit-compiled"]
    # What the one leaves out the other takes.
    assert "$(PYTEST) $(addprefix --ignore=,$(GATEWAYS))" in makefile
    assert "$(PYTEST) $(GATEWAYS)" in makefile


def test_the_project_says_its_licence_extras_and_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
    assert {"gpu", "tensorrt", "torch", "dev"} <= set(project["optional-dependencies"])
    assert project["scripts"] == {"gateway": "gateway.cli.app:main"}
    assert project["requires-python"] == ">=3.11"
