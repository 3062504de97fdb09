"""The house's rules that no linter knows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "gateway"
TESTS = ROOT / "tests"

# Modules that no test in the mirrored folder names, each with the reason.
WITHOUT_OWN_TEST = {
    "__main__.py": "two lines, run by tests/cli",
    "finding.py": "a part of the controller's composition",
    "front.py": "composition root, run by tests/processes and tests/interop",
    "workers/forkserver.py": "run by tests/workers/test_supervisor.py with real processes",
    "scheduling/contract.py": "Protocols",
    "core/clock.py": "names of the standard library's clocks",
    "core/admin.py": "two values without rules",
    "core/events.py": "a value without rules, and the kinds that tests/lifecycle/test_journal.py compares",
}


def sources() -> list[Path]:
    return [
        path.relative_to(SOURCES)
        for path in sorted(SOURCES.rglob("*.py"))
        if path.name not in {"__init__.py", "settings.py"} and "generated" not in path.parts
    ]


def is_named_by_a_test_beside(source: Path) -> bool:
    """Its own test file, or one in the mirrored folder that imports it."""
    folder = TESTS / source.parent
    if (folder / f"test_{source.name}").exists():
        return True
    module = ".".join(("gateway", *source.with_suffix("").parts))
    package, _, name = module.rpartition(".")
    named = (f"from {module} import", f"import {module}", f"from {package} import {name}")
    return any(words in test.read_text() for test in folder.glob("test_*.py") for words in named)


def test_every_module_is_tested_in_the_mirrored_folder() -> None:
    missing = [str(source) for source in sources() if not is_named_by_a_test_beside(source)]
    assert sorted(missing) == sorted(WITHOUT_OWN_TEST)


HEAVY = {"onnxruntime", "torch", "tensorrt", "onnx"}


def imported_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["gateway.front", "gateway.controller", "gateway.cli.app"])
def test_only_workers_import_engines(module: str) -> None:
    assert imported_by(module) & HEAVY == set()


@pytest.mark.parametrize("module", ["gateway.front", "gateway.controller", "gateway.cli.app"])
def test_grpcio_and_aiohttp_are_for_those_who_ask_for_them(module: str) -> None:
    assert imported_by(module) & {"grpc", "aiohttp"} == set()


@pytest.mark.parametrize(
    "module", ["gateway.workers.zygote", "gateway.workers.child", "gateway.runtimes.onnx"]
)
def test_a_worker_imports_no_server(module: str) -> None:
    assert (
        imported_by(module)
        & {"starlette", "uvloop", "httptools", "grpc", "aiohttp", "google", "typer", "pydantic"}
        == set()
    )


@pytest.mark.parametrize("path", sources(), ids=str)
def test_modules_stay_one_idea(path: Path) -> None:
    text = (SOURCES / path).read_text()
    assert text.count("\n") <= 400, "over 400 lines is two ideas"
    assert ast.get_docstring(ast.parse(text)), "a module says what it is for"


def test_nothing_unpickles_or_evaluates() -> None:
    forbidden = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
    for path in sources():
        for node in ast.walk(ast.parse((SOURCES / path).read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, path
            assert not forbidden & {name.partition(".")[0] for name in names}, path
