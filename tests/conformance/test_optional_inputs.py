"""What is said of an input that may be left out, and that only requests with the same inputs meet."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conformance.models import SCALED
from tests.fakes.gateway_process import Gateway


@pytest.mark.parametrize("model", SCALED)
def test_it_is_told_as_optional_everywhere(gateways: Mapping[str, Gateway], model: str) -> None:
    running = gateways["native"]
    status, told, _ = running.ask(f"/v2/models/{model}", timeout_s=30)
    assert (status, [one["name"] for one in told["inputs"]]) == (200, ["X", "SCALE"])
    config = running.ask(f"/v2/models/{model}/config")[1]
    assert [(one["name"], one["optional"]) for one in config["input"]] == [("X", False), ("SCALE", True)]
    schemas = running.ask(f"/v2/models/{model}/docs")[1]["components"]["schemas"]
    assert schemas["Request"]["properties"]["inputs"]["minItems"] == 1
    assert schemas["Generate"]["required"] == ["X"]


@pytest.mark.parametrize("model", SCALED)
def test_generate_takes_a_document_without_it(gateways: Mapping[str, Gateway], model: str) -> None:
    for document, expected in (({"X": 4}, 8), ({"X": 4, "SCALE": 5}, 20)):
        status, told, _ = gateways["native"].ask(f"/v2/models/{model}/generate", document, 30)
        assert (status, told["Y"]) == (200, expected)
    status, told, _ = gateways["native"].ask(f"/v2/models/{model}/generate", {"SCALE": 5})
    assert (status, told["code"]) == (400, "INVALID_INPUT")
    assert "input 'X' is missing" in told["error"]


def test_only_requests_with_the_same_inputs_share_a_batch(gateways: Mapping[str, Gateway]) -> None:
    running = gateways["native"]

    def ask(index: int) -> tuple[int, Any, list[float]]:
        inputs = [{"name": "X", "datatype": "FP32", "shape": [1, 1], "data": [index]}]
        if index % 2:
            inputs.append({"name": "SCALE", "datatype": "FP32", "shape": [1, 1], "data": [index]})
        status, told, _ = running.infer("scaled_for_triton", {"inputs": inputs}, 30)
        return status, told, [float(index * (index if index % 2 else 2))]

    with ThreadPoolExecutor(16) as pool:
        for status, told, expected in pool.map(ask, range(64)):
            assert status == 200, told
            assert told["outputs"][0]["data"] == expected
