import contextlib

import pytest

from gateway.core.dtypes import DType
from gateway.core.messages import NO_PARAMETERS, InferRequest, InferResponse, RequestedOutput
from gateway.core.records import RequestRecord
from gateway.core.tensor import Tensor


def test_values_cannot_be_changed() -> None:
    """mypy holds the fields, each is Final: it would tell of an ignored error that is none."""
    request = InferRequest("m", 0, ())
    with pytest.raises(TypeError):
        request.parameters["x"] = 1  # type: ignore[index]
    with contextlib.suppress(AttributeError):  # the compiled ones refuse themselves
        request.model = "n"  # type: ignore[misc]
    with contextlib.suppress(AttributeError):
        InferResponse("m", 1, ()).version = 2  # type: ignore[misc]
    with contextlib.suppress(AttributeError):
        RequestRecord("m", 1, "rest", None, 0.0).model = ""  # type: ignore[misc]


def test_equal_fields_make_equal_values() -> None:
    tensor = Tensor("x", DType.FP32, (1,), bytes(4))
    request = InferRequest(
        "m", 1, (tensor,), "a", (RequestedOutput("y"),), {"p": 1}, 2.0, "grpc", None, 3, 4.0
    )
    assert request.under("b") != request
    assert request.under("b").under("a") == request
    assert request != tensor
    assert hash(tensor) == hash(Tensor("x", DType.FP32, (1,), bytes(4)))
    assert repr(tensor).startswith("Tensor('x', ")
    response = InferResponse("m", 1, (tensor,), "a", {"p": 1})
    assert response.with_outputs(()).with_outputs((tensor,)) == response
    assert response.with_outputs(()) != response


def test_the_shared_default_is_the_one_empty_mapping() -> None:
    assert InferRequest("m", 0, ()).parameters is NO_PARAMETERS
    assert not NO_PARAMETERS
