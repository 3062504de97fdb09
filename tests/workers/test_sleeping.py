"""What a worker answers when its model is to leave its GPU, and to come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import Warmup, WarmupInput
from gateway.runtimes.contract import OutOfMemory
from gateway.workers.loading import Ready
from gateway.workers.messages import Asleep, Loaded, LoadFailed, Sleep, Wake
from gateway.workers.sleeping import fall_asleep, wake_up
from tests.fakes.forked_worker import ForkedWorker
from tests.fakes.lab_runtime import INPUTS, OUTPUTS, LabModel

SPEC = ModelSpec("m", 1, "", "lab", INPUTS, OUTPUTS, 4)


class Sleepy(LabModel):
    """Fails where it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(SPEC, {})
        self.error = error
        self.kept: Any = None

    def sleep(self) -> None:
        if self.error:
            raise self.error
        self.kept = np.ones(64 << 20, np.uint8)

    def wake(self) -> None:
        if self.error:
            raise self.error


def ready(error: Exception | None = None) -> Ready:
    model = Sleepy(error)
    return Ready(model, {}, "on GPU 0", model)


def clock() -> float:
    return 1.0


def test_it_tells_what_it_holds() -> None:
    told = fall_asleep(ready())
    assert told.error == ""
    assert told.held_bytes is not None
    assert 60 << 20 < told.held_bytes < 80 << 20


def test_it_wakes_as_what_it_was_and_through_its_warm_up() -> None:
    opened: list[int] = []
    sample = Warmup("w", 1, 1, (WarmupInput("X", DType.FP32, (3,), "zero"),))
    told = wake_up(ready(), (sample,), clock, lambda: opened.append(1))
    assert told == Loaded(SPEC, {"wake": 0.0, "warm_up": 0.0}, "on GPU 0", None, can_sleep=True)
    assert opened == [1]


@pytest.mark.parametrize(
    ("error", "text", "is_out_of_memory"),
    [
        (OSError("/models/m/1/model.onnx is gone"), "model.onnx is gone", False),
        (OutOfMemory("too little"), "too little", True),
        (RuntimeError("CUDA failure 2: out of memory"), "CUDA failure 2: out of memory", True),
    ],
)
def test_what_goes_wrong_is_told(error: Exception, text: str, is_out_of_memory: bool) -> None:
    assert fall_asleep(ready(error)) == Asleep(error=text)
    assert wake_up(ready(error), (), clock, lambda: None) == LoadFailed(text, is_out_of_memory)


PYTHON = ModelSpec("m", 1, "", "python", INPUTS, (TensorSpec("Y", DType.FP32, (-1,)),), 4)
FILE = """
import os
from gateway.model import Model

class Sleepy(Model):
    def load(self, context):
        self.on_device = True

    def infer(self, inputs):
        assert self.on_device
        return {"Y": inputs["X"] * 2}

    async def sleep(self):
        self.on_device = False

    def wake(self):
        if os.path.exists(os.path.join(os.path.dirname(__file__), "lost")):
            raise RuntimeError("the device is lost")
        self.on_device = True
"""


def test_a_model_in_python_says_how_in_a_real_worker(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(FILE)
    with ForkedWorker() as worker:
        loaded = worker.load(tmp_path, PYTHON, "gateway.runtimes.python:PythonRuntime")
        assert isinstance(loaded, Loaded), loaded
        assert loaded.can_sleep
        worker.tell(Sleep())
        asleep = worker.hear()
        assert isinstance(asleep, Asleep)
        assert asleep.error == ""
        worker.tell(Wake())
        assert isinstance(worker.hear(), Loaded)
        worker.tell(Sleep())
        assert isinstance(worker.hear(), Asleep)
        (tmp_path / "lost").touch()
        worker.tell(Wake())
        assert worker.hear() == LoadFailed("the device is lost")
