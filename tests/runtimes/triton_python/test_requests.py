from __future__ import annotations

import numpy as np
import pytest

from gateway.runtimes.triton_python.requests import (
    InferenceRequest,
    PreferredMemory,
    get_input_tensor_by_name,
)
from gateway.runtimes.triton_python.responses import TritonModelException
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


def test_what_is_not_there_yet_is_named() -> None:
    with pytest.raises(TritonModelException, match=r"set_release_flags\) is not supported"):
        InferenceRequest().set_release_flags()
    for sequence in (InferenceRequest(correlation_id=7), InferenceRequest(flags=1)):
        with pytest.raises(TritonModelException, match="models with sequences are not supported"):
            sequence.exec()


def test_a_call_outside_of_execute_is_the_files_own_mistake() -> None:
    request = InferenceRequest(model_name="m", inputs=[X])
    for method in (request.exec, lambda: request.exec(decoupled=True)):
        with pytest.raises(TritonModelException, match="only while a request is executed"):
            method()


def test_tensors_are_found_by_name() -> None:
    assert get_input_tensor_by_name(InferenceRequest(inputs=[X]), "X") is X
    assert get_input_tensor_by_name(InferenceRequest(inputs=[X]), "Y") is None


def test_a_response_sender_is_for_decoupled_models() -> None:
    with pytest.raises(TritonModelException, match="for models whose configuration is decoupled"):
        InferenceRequest().get_response_sender()
