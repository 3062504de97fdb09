"""ONNX Runtime as its package looks to a session being opened, with providers that tests choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class FakeSession:
    """Has the providers that the engine could load."""

    def __init__(self, providers: Sequence[str]) -> None:
        self._providers = list(providers)

    def get_providers(self) -> list[str]:
        return self._providers


class FakeEngine:
    """`loadable` are the providers it has libraries for; `failing` those whose session it cannot make.

    Invariant: `opened` holds the providers of every session asked for; `is_preloaded` that the libraries
    were asked for before the first one on a GPU.
    """

    def __init__(self, loadable: Sequence[str], failing: Sequence[str] = ()) -> None:
        self.__file__ = "/srv/site-packages/onnxruntime/__init__.py"
        self._loadable = loadable
        self._failing = failing
        self.opened: list[list[str]] = []
        self.is_preloaded = False

    def preload_dlls(self) -> None:
        print("what a package prints is no answer of the gateway")
        self.is_preloaded = True

    def InferenceSession(
        self, path: str, options: Any, providers: Sequence[tuple[str, dict[str, str]]], enable_fallback: int
    ) -> FakeSession:
        assert enable_fallback == 0
        names = [name for name, _ in providers]
        self.opened.append(names)
        for name in names:
            if name in self._failing:
                raise RuntimeError(f"{path}: {name}: CUDA failure 35: the driver is too old")
        return FakeSession([name for name in names if name in self._loadable])
