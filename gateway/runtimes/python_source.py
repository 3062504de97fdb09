"""Imports a model.py so that it finds what lies beside it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from gateway.runtimes.contract import LoadError


def import_file(folder: Path, file: str, version: int) -> ModuleType:
    """Runs `file` as the module "<version>.<file's stem>"; whatever it raises comes through.

    So both ways to a module beside it work: `import other` and `from .other import name`. Must be
    called in a process of the model's own: it changes what that process can import.
    """
    # A __pycache__ in the version's folder would look like a new version of the model.
    sys.dont_write_bytecode = True
    package = ModuleType(str(version))
    package.__path__ = [str(folder)]
    for name in [name for name in sys.modules if name.partition(".")[0] == package.__name__]:
        del sys.modules[name]
    sys.modules[package.__name__] = package
    for entry in (str(folder), str(folder.parent)):
        if entry not in sys.path:
            sys.path.append(entry)
    name = f"{package.__name__}.{Path(file).stem.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, folder / file)
    if spec is None or spec.loader is None:
        raise LoadError(f"'{file}' is not the name of a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
