from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.bench.environments import Missing, environment


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements").mkdir()
    return tmp_path


def test_without_a_lock_there_is_no_environment(project: Path) -> None:
    with pytest.raises(Missing, match=r"bench-x\.lock"):
        environment("x", "bench-x")


def test_an_environment_made_of_this_lock_is_taken_as_it_is(project: Path) -> None:
    (project / "requirements" / "x.lock").write_text("# nothing\n")
    venv = project / ".venvs" / "x"
    venv.mkdir(parents=True)
    (venv / ".locked").write_text(hashlib.sha256(b"# nothing\n").hexdigest())
    assert environment("x", "x") == venv
    assert [path.name for path in venv.iterdir()] == [".locked"]


def test_one_of_another_lock_is_made_anew(project: Path) -> None:
    # A requirement that no index is asked for, because its file is not there: pip fails, and says so.
    (project / "requirements" / "x.lock").write_text("./absent.whl --hash=sha256:" + "0" * 64 + "\n")
    venv = project / ".venvs" / "x"
    venv.mkdir(parents=True)
    (venv / "old").touch()
    with pytest.raises(Missing, match="absent"):
        environment("x", "x")
    assert not (venv / "old").exists()
    assert not (venv / ".locked").exists()
