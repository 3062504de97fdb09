"""Which modules are compiled, and that the tree itself stays plain Python."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "compile.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compile_hot_path", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_pattern_names_modules_and_none_has_classes_that_msgspec_makes() -> None:
    modules = script().hot_modules(ROOT)
    assert "gateway/wire/http1/connection.py" in modules
    assert "gateway/scheduling/queue.py" in modules
    for module in modules:
        assert not re.search(r"^class \w+\(msgspec\.Struct", (ROOT / module).read_text(), re.MULTILINE), (
            module
        )


def test_a_pattern_without_a_match_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no module matches"):
        script().hot_modules(tmp_path)


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "no C compiler" in script().why_not()


def test_without_a_compiler_nothing_is_made(tmp_path: Path) -> None:
    made = tmp_path / "made"
    command = [sys.executable, str(SCRIPT)]
    bare = {"PATH": str(tmp_path)}
    done = subprocess.run([*command, str(made)], capture_output=True, text=True, env=bare, check=False)
    assert done.returncode == 3
    assert "plain Python" in done.stderr
    assert not made.exists()
    asked = subprocess.run([*command, "--missing"], capture_output=True, text=True, env=bare, check=False)
    assert "no C compiler" in asked.stdout


def test_the_tree_holds_no_binaries() -> None:
    """A compiled module beside its source would be run instead of it, however old."""
    loaded = Path(importlib.util.find_spec("gateway").origin).parent  # type: ignore[union-attr,arg-type]
    if loaded.is_relative_to(ROOT / "build"):
        pytest.skip("this run is about the compiled copy")
    assert not list((ROOT / "gateway").rglob("*.so"))
