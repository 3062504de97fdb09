from __future__ import annotations

import pytest

from gateway.core.dtypes import DType
from gateway.core.messages import InferRequest, InferResponse, RequestedOutput
from gateway.core.model import ModelKey
from gateway.core.records import RequestRecord
from gateway.core.tensor import Tensor
from gateway.core.value import Value

X = Tensor("x", DType.FP32, (1,), bytes(4))
Y = RequestedOutput("y")
KEY = ModelKey("n", 2)
MADE: list[tuple[Value, dict[str, object]]] = [
    (X, {"name": "x", "dtype": DType.FP32, "shape": (1,), "data": bytes(4)}),
    (RequestedOutput("y", {"p": 1}), {"name": "y", "parameters": {"p": 1}}),
    (
        InferRequest("m", "stable", (X,), "a", (Y,), {"p": 1}, 2.0, "grpc", None, 3, 4.0, (KEY,)),
        {
            "model": "m", "version": "stable", "inputs": (X,), "id": "a", "outputs": (Y,),
            "parameters": {"p": 1}, "deadline": 2.0, "protocol": "grpc", "lease": None, "priority": 3,
            "timeout_at": 4.0, "chain": (KEY,),
        },
    ),
    (
        InferResponse("m", 1, (X,), "a", {"p": 1}),
        {"model": "m", "version": 1, "outputs": (X,), "id": "a", "parameters": {"p": 1}, "lease": None},
    ),
    (
        RequestRecord("m", 1, "rest", None, 0.5, 0.25, 0.125, 1, 2, True, "anna", "shop"),
        {
            "model": "m", "version": 1, "protocol": "rest", "reason": None, "duration_s": 0.5,
            "queue_s": 0.25, "compute_s": 0.125, "rows": 1, "batch_rows": 2, "is_cold": True,
            "principal": "anna", "tenant": "shop",
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("value", "fields"), MADE, ids=lambda item: type(item).__name__)
def test_a_value_is_its_fields(value: Value, fields: dict[str, object]) -> None:
    assert value.values() == tuple(fields.values())
    assert {name: getattr(value, name) for name in fields} == fields
    assert value == type(value)(**fields)
    assert repr(value).startswith(type(value).__name__ + "(")


def test_values_of_other_kinds_or_fields_differ() -> None:
    assert RequestedOutput("y") != RequestedOutput("z")
    assert Value() != X
    assert X != "x"
    assert len({X, Tensor("x", DType.FP32, (1,), bytes(4)), Tensor("x", DType.FP32, (2,), bytes(8))}) == 2
