import pytest

from gateway.core.messages import NO_PARAMETERS, InferRequest, InferResponse
from gateway.core.records import RequestRecord


def test_values_cannot_be_changed() -> None:
    request = InferRequest("m", 0, ())
    with pytest.raises(AttributeError):
        request.model = "n"  # type: ignore[misc]
    with pytest.raises(TypeError):
        request.parameters["x"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        InferResponse("m", 1, ()).version = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        RequestRecord("m", 1, "rest", None, 0.0).model = ""  # type: ignore[misc]


def test_the_shared_default_is_the_one_empty_mapping() -> None:
    assert InferRequest("m", 0, ()).parameters is NO_PARAMETERS
    assert not NO_PARAMETERS
