"""Tests that need a real GPU; each says so where there is none."""

from __future__ import annotations

import pytest

from gateway.runtimes.gpus import visible_here


@pytest.fixture(autouse=True)
def _a_gpu() -> None:
    if not visible_here():
        pytest.skip("no GPU is visible")
