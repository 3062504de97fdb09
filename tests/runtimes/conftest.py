"""What loading a model written in Python changes in its process, put back: a worker would end instead."""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Must be used by tests that load a model.py in their own process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    known = dict(sys.modules)
    yield
    for name in sys.modules.keys() - known.keys():
        if name.partition(".")[0] != "gateway":
            del sys.modules[name]
    sys.modules.update(known)
