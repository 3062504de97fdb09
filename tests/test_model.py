from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.model import Array, Context, Model
from gateway.runtimes.calls import Desk
from gateway.runtimes.python_gateway import DeskGateway


class Doubler(Model):
    def infer(self, inputs: dict[str, Array]) -> dict[str, Array]:
        return {"Y": inputs["X"] * 2}


def test_only_infer_must_be_written() -> None:
    model = Doubler()
    assert model.load(Context(Path("m/1"), "m", 1, {}, (), (), 0, DeskGateway(Desk()))) is None
    assert model.infer({"X": np.array([2])})["Y"].tolist() == [4]
    assert model.unload() is None


def test_a_model_without_infer_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="infer"):
        type("Empty", (Model,), {})()
