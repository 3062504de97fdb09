"""Requests to the models of model_repo with the answers they must get, computed with numpy alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

MODELS = Path("model_repo")
DATATYPES: Mapping[str, str] = {"float32": "FP32", "int32": "INT32"}
MODELS_CALLED = ("fraud", "simple", "identity")
# float32 sums of 64 products, in whatever order an engine adds them: some 64 x 2^-24 of their size.
_TOLERANCE = 1e-5


class Case(NamedTuple):
    """One request: its input tensors by name, and its outputs as they must come."""

    model: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]

    def fault(self, answer: Mapping[str, np.ndarray]) -> str:
        """What is wrong with an answer; "" for a right one."""
        if set(answer) != set(self.outputs):
            return f"{self.model}: outputs {sorted(answer)}"
        for name, expected in self.outputs.items():
            got = answer[name]
            if got.shape != expected.shape or got.dtype != expected.dtype:
                return f"{self.model}.{name}: {got.dtype}{got.shape}, not {expected.dtype}{expected.shape}"
            exact = self.model != "fraud"
            if not (np.array_equal if exact else _is_close)(got, expected):
                return f"{self.model}.{name}: wrong values"
        return ""


class Oracle:
    """Makes requests from a seed and knows their answers. One thread's own."""

    def __init__(self, seed: int) -> None:
        self._numbers = np.random.default_rng(seed)
        self._dice = random.Random(seed)
        model = onnx.load(MODELS / "fraud" / "1" / "model.onnx")
        self._weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}

    def any(self, *, largest: int = 2000) -> Case:
        """A request to one of the models; identity gets up to `largest` values."""
        match self._dice.choice(MODELS_CALLED):
            case "fraud":
                return self.fraud(self._dice.choice((1, 1, 1, 2, 7, 64)))
            case "simple":
                return self.simple(self._dice.randint(1, 8))
            case _:
                return self.identity(self._dice.randint(1, largest))

    def fraud(self, rows: int) -> Case:
        """An MLP of ReLU layers under a sigmoid."""
        features = self._numbers.standard_normal((rows, 30), np.float32)
        last = features
        for layer in count():
            last = last @ self._weights[f"w{layer}"] + self._weights[f"b{layer}"]
            if f"w{layer + 1}" not in self._weights:
                break
            last = np.maximum(last, 0)
        score = (1 / (1 + np.exp(-last))).astype(np.float32)
        return Case("fraud", {"features": features}, {"score": score})

    def simple(self, rows: int) -> Case:
        """A sum and a difference."""
        a, b = (self._numbers.integers(-(2**20), 2**20, (rows, 16), np.int32) for _ in "ab")
        return Case("simple", {"INPUT0": a, "INPUT1": b}, {"OUTPUT0": a + b, "OUTPUT1": a - b})

    def identity(self, size: int) -> Case:
        """The same values back, `size` of them."""
        array = self._numbers.standard_normal((1, size), np.float32)
        return Case("identity", {"INPUT0": array}, {"OUTPUT0": array})


def _is_close(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE))
