from __future__ import annotations

import numpy as np
import pytest

from gateway.runtimes.triton_python.responses import (
    InferenceResponse,
    TritonError,
    TritonModelException,
    get_output_tensor_by_name,
)
from gateway.runtimes.triton_python.tensors import Tensor

X = Tensor("X", np.zeros(1))


def test_tensors_are_found_by_name() -> None:
    assert get_output_tensor_by_name(InferenceResponse([X]), "X") is X
    assert get_output_tensor_by_name(InferenceResponse([X]), "Y") is None


def test_a_response_has_no_parameters_yet() -> None:
    for empty in (None, "", "{}", {}):
        assert not InferenceResponse([X], parameters=empty).has_error()
    with pytest.raises(TritonModelException, match="parameters of responses are not supported yet"):
        InferenceResponse([X], parameters={"a": 1})


def test_a_response_may_be_an_error() -> None:
    assert not InferenceResponse([X]).has_error()
    error = TritonError("no", TritonError.NOT_FOUND)
    response = InferenceResponse(error=error)
    assert response.has_error()
    assert (response.error(), response.output_tensors()) == (error, [])
    assert (error.message(), error.code(), str(error)) == ("no", TritonError.NOT_FOUND, "no")
    assert TritonError("x").code() == TritonError.INTERNAL
    assert get_output_tensor_by_name(response, "X") is None
    with pytest.raises(TypeError, match="must be a TritonError, not str"):
        InferenceResponse(error="no")
