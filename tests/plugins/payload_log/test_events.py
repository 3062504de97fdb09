"""What of a request and its answer becomes an event, and what does not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gateway.core.caller import ANYBODY, Caller, Principal
from gateway.core.dtypes import DType
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.tensor import Tensor, serialise_bytes_elements
from gateway_plugins.payload_log.events import event
from gateway_plugins.payload_log.settings import PayloadLogSettings

ANNA = Caller(Principal("anna", "shop"), ((b"authorization", b"Bearer canary"),))


def told(sent: tuple[Tensor, ...] = (), caller: Caller = ANNA, **settings: Any) -> dict[str, Any]:
    chosen = PayloadLogSettings.model_validate({"file": "/tmp/x", **settings})
    request = InferRequest("fraud", 0, sent, "r1", parameters={"user": "canary", "n": 1})
    response = InferResponse("fraud", 3, (floats([1.5]),))
    made = event(chosen, "id-1", 1_700_000_000.25, request, response, caller)
    return json.loads(json.dumps(made, allow_nan=False))  # type: ignore[no-any-return]


def floats(values: list[float], name: str = "x") -> Tensor:
    data = np.array(values, "<f4")
    return Tensor(name, DType.FP32, data.shape, data.tobytes())


def test_the_whole_event() -> None:
    made = told((floats([0.5, 2.0]),))
    assert {name: value for name, value in made.items() if name != "data"} == {
        "specversion": "1.0",
        "id": "id-1",
        "source": "/models/fraud/versions/3",
        "type": "org.model-gateway.inference",
        "time": "2023-11-14T22:13:20.250+00:00",
        "datacontenttype": "application/json",
    }
    assert made["data"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [2], "data": [0.5, 2.0]}]
    assert made["data"]["outputs"][0]["data"] == [1.5]
    assert (made["data"]["principal"], made["data"]["tenant"]) == ("anna", "shop")
    assert told(caller=ANYBODY)["data"]["principal"] == ""


def test_what_is_redacted_is_named_and_no_more() -> None:
    made = told((floats([0.5], "user_age"), floats([0.25], "amount")), redact=["user*"])
    assert [one["data"] for one in made["data"]["inputs"]] == ["[redacted]", [0.25]]
    assert made["data"]["parameters"] == {"user": "[redacted]", "n": 1}
    assert "canary" not in json.dumps(made)


def test_headers_are_never_told() -> None:
    assert "Bearer" not in json.dumps(told())


@pytest.mark.parametrize(
    ("settings", "absent"), [({"inputs": False}, "inputs"), ({"outputs": False}, "outputs")]
)
def test_a_side_that_is_not_wanted(settings: dict[str, bool], absent: str) -> None:
    assert absent not in told((floats([1.0]),), **settings)["data"]


def test_long_tensors_are_told_by_their_shape() -> None:
    (made,) = told((floats([0.0] * 5),), max_elements=4)["data"]["inputs"]
    assert made == {"name": "x", "datatype": "FP32", "shape": [5]}


@pytest.mark.parametrize(
    ("tensor", "data"),
    [
        (floats([float("nan"), float("inf"), 1.0]), ["nan", "inf", 1.0]),
        (
            Tensor("b", DType.BYTES, (2,), b"".join([serialise_bytes_elements([b"text", b"\xff\x00"])])),
            ["text", "ff00"],
        ),
        (Tensor("t", DType.BOOL, (2,), b"\x01\x00"), [True, False]),
        (Tensor("i", DType.INT64, (1,), (1 << 62).to_bytes(8, "little")), [1 << 62]),
    ],
)
def test_kinds_of_elements(tensor: Tensor, data: list[Any]) -> None:
    assert told((tensor,))["data"]["inputs"][0]["data"] == data
