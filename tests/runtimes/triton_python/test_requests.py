from __future__ import annotations

import numpy as np
import pytest

from gateway.runtimes.triton_python.requests import (
    InferenceRequest,
    InferenceResponse,
    PreferredMemory,
    TritonError,
    TritonModelException,
    get_input_tensor_by_name,
    get_output_tensor_by_name,
)
from gateway.runtimes.triton_python.tensors import Tensor

X = Tensor("X", np.zeros(1))


def test_a_request_tells_what_it_was_made_of() -> None:
    memory = PreferredMemory(PreferredMemory.TRITONSERVER_MEMORY_CPU)
    request = InferenceRequest(
        "id", 7, [X], ["Y"], "m", 3, flags=1, timeout=5, preferred_memory=memory, trace="t"
    )
    assert (request.request_id(), request.correlation_id()) == ("id", 7)
    assert (request.inputs(), request.requested_output_names()) == ([X], {"Y"})
    assert (request.model_name(), request.model_version()) == ("m", 3)
    assert (request.flags(), request.timeout(), request.trace()) == (1, 5, "t")
    assert request.preferred_memory() is memory
    request.set_flags(2)
    assert request.flags() == 2


def test_an_empty_request() -> None:
    request = InferenceRequest()
    assert (request.priority(), request.parameters(), request.is_cancelled()) == (0, "{}", False)
    assert request.preferred_memory().preferred_memory_type == 0
    with pytest.raises(TypeError, match="no argument 'colour'"):
        InferenceRequest(colour=1)


@pytest.mark.parametrize("method", ["exec", "async_exec", "set_release_flags"])
def test_what_is_not_there_yet_is_named(method: str) -> None:
    with pytest.raises(TritonModelException, match=rf"{method}\) (is|are) not supported"):
        getattr(InferenceRequest(), method)()


def test_tensors_are_found_by_name() -> None:
    assert get_input_tensor_by_name(InferenceRequest(inputs=[X]), "X") is X
    assert get_input_tensor_by_name(InferenceRequest(inputs=[X]), "Y") is None
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


def test_a_response_sender_is_for_decoupled_models() -> None:
    with pytest.raises(TritonModelException, match="for models whose configuration is decoupled"):
        InferenceRequest().get_response_sender()
