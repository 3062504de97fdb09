"""Bodies as MLServer's own codecs write them, and answers as those read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fakes.gateway_process import Gateway

TABLE = {
    "parameters": {"content_type": "pd"},
    "inputs": [
        {"name": "X", "shape": [3, 1], "datatype": "FP32", "data": [0.0, 1.0, 2.0]},
        {"name": "SCALE", "shape": [3, 1], "datatype": "FP32", "data": [2.0, 2.0, 2.0]},
    ],
}


def one(content_type: str, datatype: str, data: list[Any], *, whole: bool = True) -> dict[str, Any]:
    """A request of one input, which says what it is; with `whole` the request does too."""
    said = {"content_type": content_type}
    tensor = {"name": "X", "shape": [len(data), 1], "datatype": datatype, "parameters": said, "data": data}
    return {"inputs": [tensor]} | ({"parameters": said} if whole else {})


@pytest.mark.parametrize(
    ("model", "body", "answer_type", "output_type", "data"),
    [
        ("scaled", TABLE, "pd", None, [0.0, 2.0, 4.0]),
        ("echo_fp32", one("np", "FP32", [1.0, 2.0]), "np", "np", [1.0, 2.0]),
        ("echo_bytes", one("str", "BYTES", ["a", "ü"]), "str", "str", ["a", "ü"]),
        (
            "echo_bytes",
            one("datetime", "BYTES", ["2024-02-29T12:00:00.5"], whole=False),
            None,
            None,
            ["2024-02-29T12:00:00.5"],
        ),
    ],
)
def test_what_its_clients_send_is_answered_in_its_words(
    gateways: Mapping[str, Gateway],
    model: str,
    body: dict[str, Any],
    answer_type: str | None,
    output_type: str | None,
    data: list[Any],
) -> None:
    status, told, _ = gateways["native"].infer(model, body, 30)
    assert status == 200, told
    (output,) = told["outputs"]
    assert told.get("parameters", {}).get("content_type") == answer_type
    assert output.get("parameters", {}).get("content_type") == output_type
    assert output["data"] == data


def test_generate_keeps_to_it_too(gateways: Mapping[str, Gateway]) -> None:
    status, told, _ = gateways["native"].ask(
        "/v2/models/echo_fp32/generate", {"X": 1, "content_type": "str"}, 30
    )
    assert (status, told["error"]) == (400, "input 'X': content_type 'str' is for BYTES, not for FP32")
