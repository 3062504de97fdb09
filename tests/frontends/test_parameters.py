from __future__ import annotations

from math import inf, nan

import pytest

from gateway.core.errors import InvalidInput, Unsupported
from gateway.frontends.parameters import MAX_CLASSES, MAX_TIMEOUT_US, read_output_parameters, read_parameters


def test_custom_parameters_are_handed_on():
    custom = {"a": True, "b": 1, "c": 1.5, "d": "x"}
    assert read_parameters(custom.items()) == (custom, inf, False, 0)


@pytest.mark.parametrize(
    ("given", "timeout_s", "binary"),
    [
        ({"timeout": 2_500_000}, 2.5, False),
        ({"timeout": 0}, inf, False),
        ({"binary_data_output": True}, inf, True),
        ({"sequence_id": 0, "sequence_start": False, "sequence_end": False}, inf, False),
        ({"sequence_id": ""}, inf, False),
    ],
)
def test_reserved_parameters_never_reach_the_model(given, timeout_s, binary):
    assert read_parameters(given.items()) == ({}, timeout_s, binary, 0)


@pytest.mark.parametrize("identity", [1, 2**64 - 1, "é" * 64])
def test_a_sequence_is_the_queues(identity):
    given = {"sequence_id": identity, "sequence_start": True, "sequence_end": True}
    assert read_parameters(given.items()) == (given, inf, False, 0)
    assert read_parameters([("sequence_id", identity), ("sequence_end", False)]).custom == {
        "sequence_id": identity
    }


@pytest.mark.parametrize("priority", [0, 1, 7, 2**64 - 1])
def test_a_priority_is_the_queues(priority):
    assert read_parameters([("priority", priority)]) == ({}, inf, False, priority)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"triton_final_response": True}, InvalidInput),
        ({"headers": "x"}, InvalidInput),
        ({"timeout": -1}, InvalidInput),
        ({"priority": -1}, InvalidInput),
        ({"priority": 2**64}, InvalidInput),
        ({"priority": 1.0}, InvalidInput),
        ({"priority": "high"}, InvalidInput),
        ({"priority": True}, InvalidInput),
        ({"timeout": 1.5}, InvalidInput),
        ({"timeout": True}, InvalidInput),
        ({"timeout": MAX_TIMEOUT_US + 1}, InvalidInput),
        ({"binary_data_output": 1}, InvalidInput),
        ({"x": None}, InvalidInput),
        ({"x": [1]}, InvalidInput),
        ({"x": {}}, InvalidInput),
        ({"x": nan}, InvalidInput),
        ({"x": "\ud800"}, InvalidInput),
        ({"\ud800": 1}, InvalidInput),
        ({"x": inf}, InvalidInput),
        ({"sequence_id": [5]}, InvalidInput),
        ({"sequence_id": 1.0}, InvalidInput),
        ({"sequence_id": True}, InvalidInput),
        ({"sequence_id": -1}, InvalidInput),
        ({"sequence_id": 2**64}, InvalidInput),
        ({"sequence_id": "é" * 65}, InvalidInput),
        ({"sequence_id": "\ud800"}, InvalidInput),
        ({"sequence_start": 1}, InvalidInput),
        ({"sequence_end": "true"}, InvalidInput),
    ],
)
def test_what_cannot_be_honoured_is_refused(given, error):
    with pytest.raises(error):
        read_parameters(given.items())


def test_what_is_reserved_is_told_as_clients_know_it():
    with pytest.raises(InvalidInput) as error:
        read_parameters([("triton_enable_empty_final_response", True)])
    assert error.value.text == (
        "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified."
    )


def test_one_key_can_be_skipped():
    assert read_parameters([("triton_x", 1)], ignored="triton_x").custom == {}


def test_output_parameters():
    assert read_output_parameters("y", [("binary_data", True)]) == {"binary_data": True}
    assert read_output_parameters("y", [("classification", 3)]) == {"classification": 3}
    with pytest.raises(Unsupported, match="'y'"):
        read_output_parameters("y", [("shared_memory_region", "a")])


@pytest.mark.parametrize("count", [0, -1, MAX_CLASSES + 1, True, 1.0, "3"])
def test_a_class_count_is_a_positive_integer(count):
    with pytest.raises(InvalidInput, match="'classification' must be"):
        read_output_parameters("y", [("classification", count)])


def test_content_types_are_looked_at_and_handed_on():
    for given in ({"content_type": "pd"}, {"content_type": "image/png"}):
        assert read_parameters(given.items()).custom == given
    assert read_output_parameters("y", [("content_type", "str")]) == {"content_type": "str"}
    with pytest.raises(InvalidInput, match="parameter 'content_type' is 'base64', that of a request"):
        read_parameters([("content_type", "base64")])
    with pytest.raises(InvalidInput, match="output 'y': content_type is 'pd', that of a tensor"):
        read_output_parameters("y", [("content_type", "pd")])
