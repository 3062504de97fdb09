from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.placement import Place
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.answers import Answers
from gateway.runtimes.contract import BadInput, LoadError, ModelFailed
from gateway.runtimes.event_loop import WorkerLoop
from gateway.runtimes.triton_python.adapter import TritonModel, arguments, complete
from gateway.runtimes.triton_python.model_config import ModelConfig
from gateway.runtimes.triton_python.requests import InferenceRequest
from gateway.runtimes.triton_python.responses import InferenceResponse, TritonError
from gateway.runtimes.triton_python.tensors import Tensor
from tests.fakes.responses import KeptResponses

SPEC = ModelSpec(
    "m",
    3,
    "python",
    "python",
    (TensorSpec("X", DType.FP32, (2,)),),
    (TensorSpec("Y", DType.FP32, (2,)),),
    8,
)


class Executes:
    """A TritonPythonModel that answers with what it is made with."""

    def __init__(self, answer: Callable[[list[InferenceRequest]], Any]) -> None:
        self.execute = answer
        self.is_finalized = False

    def finalize(self) -> None:
        self.is_finalized = True


def run(answer: Callable[[list[InferenceRequest]], Any]) -> Any:
    x = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    x.flags.writeable = False
    loop = WorkerLoop()
    try:
        return TritonModel(Executes(answer), SPEC, loop.settle).run({"X": x}, ["Y"])
    finally:
        loop.close()


def echo(requests: list[InferenceRequest]) -> list[InferenceResponse]:
    """Changes its input in place, as files for Triton may."""
    responses = []
    for request in requests:
        assert (request.model_name(), request.model_version()) == ("m", 3)
        assert request.requested_output_names() == {"Y"}
        array = request.inputs()[0].as_numpy()
        array += 1
        responses.append(InferenceResponse([Tensor("Y", array)]))
    return responses


def test_a_batch_is_one_request_with_all_rows() -> None:
    assert run(echo)["Y"].tolist() == [[2, 3], [4, 5], [6, 7]]


def test_execute_may_be_a_coroutine() -> None:
    async def later(requests: list[InferenceRequest]) -> list[InferenceResponse]:
        return echo(requests)

    assert run(later)["Y"].tolist()[0] == [2, 3]


@pytest.mark.parametrize(
    ("code", "kind"), [(TritonError.INVALID_ARG, BadInput), (TritonError.UNAVAILABLE, ModelFailed)]
)
def test_an_error_in_the_response_is_told_as_it_is(code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^no more$"):
        run(lambda requests: [InferenceResponse(error=TritonError("no more", code))])


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ([], "it returned 0"),
        ([InferenceResponse()] * 2, "it returned 2"),
        (None, "it returned NoneType"),
        ([None], "execute returned NoneType, not an InferenceResponse"),
    ],
)
def test_responses_must_match_requests(answer: Any, problem: str) -> None:
    with pytest.raises(ModelFailed, match=problem):
        run(lambda requests: answer)


def test_the_end_is_told() -> None:
    model = Executes(echo)
    TritonModel(model, SPEC, WorkerLoop().settle).close()
    assert model.is_finalized
    TritonModel(object(), SPEC, WorkerLoop().settle).close()


def test_what_initialize_is_told() -> None:
    told = arguments(SPEC, {"a": "b"}, Path("/models/m/3"), "model.py")
    assert json.loads(told.pop("model_config"))["parameters"] == {"a": {"string_value": "b"}}
    assert told == {
        "model_instance_kind": "CPU",
        "model_instance_name": "m_0",
        "model_instance_device_id": "0",
        "model_repository": "/models/m",
        "model_version": "3",
        "model_name": "m",
    }


def test_an_instance_on_a_gpu_is_told_which() -> None:
    told = arguments(SPEC, {}, Path("/models/m/3"), "model.py", Place("gpu", 2))
    assert (told["model_instance_kind"], told["model_instance_device_id"]) == ("GPU", "2")
    (group,) = json.loads(told["model_config"])["instance_group"]
    assert (group["kind"], group["gpus"]) == ("KIND_GPU", [2])


def test_auto_complete_is_asked_where_there_is_one() -> None:
    class Grows:
        @staticmethod
        def auto_complete_config(config: ModelConfig) -> ModelConfig:
            config.add_output({"name": "Z", "data_type": "TYPE_BOOL", "dims": [1]})
            return config

    class Forgets:
        @staticmethod
        def auto_complete_config(config: ModelConfig) -> None:
            return None

    grown = complete(Grows, SPEC, {}, "model.py", max_batch_known=True)
    assert grown == msgspec.structs.replace(SPEC, outputs=(*SPEC.outputs, TensorSpec("Z", DType.BOOL, (1,))))
    assert complete(object, SPEC, {}, "model.py", max_batch_known=True) is SPEC
    with pytest.raises(LoadError, match="returned NoneType, not the configuration"):
        complete(Forgets, SPEC, {}, "model.py", max_batch_known=True)


def stream(answer: Callable[[list[InferenceRequest]], Any]) -> KeptResponses:
    kept, loop = KeptResponses(), WorkerLoop()
    x = np.ones((1, 2), np.float32)
    try:
        TritonModel(Executes(answer), SPEC, loop.settle).stream({"X": x}, ["Y"], Answers(SPEC.outputs, kept))
    finally:
        loop.close()
    return kept


def test_a_decoupled_model_answers_by_the_sender() -> None:
    async def execute(requests: list[InferenceRequest]) -> None:
        sender = requests[0].get_response_sender()
        assert not requests[0].is_cancelled()
        sender.send(InferenceResponse([Tensor("Y", requests[0].inputs()[0].as_numpy())]))
        sender.send(flags=1)

    assert [results[0].tolist() for results, _ in stream(execute).sent] == [[[1, 1]]]


def test_a_decoupled_model_returns_nothing_and_takes_its_sender() -> None:
    with pytest.raises(ModelFailed, match="must return None"):
        stream(echo)
    with pytest.raises(ModelFailed, match="dropped its response sender"):
        stream(lambda requests: None)
