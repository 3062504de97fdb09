"""A decoupled model that answers each value of its input, but for those that mean something else."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import (
    Array,
    BadInput,
    EngineBroken,
    ModelFailed,
    OutputMemory,
    Responses,
    StreamEnded,
)


class StreamingLab:
    """Implements contract.LoadedModel and StreamingModel: X, FP32 [-1], to Y, FP32 [-1], in batches of 1."""

    RAISE, LIE, LAST, LARGE, FINISH_WITH_ERROR, BLAME, FAIL = -1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0
    BREAK = -8.0

    def __init__(self) -> None:
        x, y = TensorSpec("X", DType.FP32, (-1,)), TensorSpec("Y", DType.FP32, (-1,))
        self.spec = ModelSpec("lab", 1, "", "", (x,), (y,), 1, decoupled=True)
        self.was_ended = False

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        raise AssertionError("a decoupled model was asked for one answer")

    def stream(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, responses: Responses
    ) -> None:
        try:
            for value in inputs[0].ravel().tolist():
                self._act(value, responses)
        except StreamEnded:
            self.was_ended = responses.is_cancelled()
            raise

    def _act(self, value: float, responses: Responses) -> None:
        answer = np.array([[value]], np.float32)
        match value:
            case self.RAISE:
                raise ValueError("no more")
            case self.BREAK:
                raise EngineBroken("no device")
            case self.LIE:
                responses.send([answer.astype(np.float64)])
            case self.LAST:
                responses.send([answer], is_last=True)
            case self.LARGE:
                responses.send([np.ones((1, 1 << 20), np.float32)])
            case self.BLAME:
                responses.fail(BadInput("not that"))
            case self.FAIL:
                responses.fail(ModelFailed("not now"))
            case self.FINISH_WITH_ERROR:
                error = ModelFailed("said by another thread")
                threading.Thread(target=responses.finish, args=(error,)).start()
                responses.wait_until_finished()
            case _:
                responses.send([answer])

    def close(self) -> None:
        """Nothing to free."""
