"""The V2 protocol as a client speaks it: cases to bytes and messages, answers back to arrays."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from gateway.generated import open_inference_pb2 as pb
from tests.soak.oracle import DATATYPES, Case

NUMPY = {name: np.dtype(numpy_name) for numpy_name, name in DATATYPES.items()}
INFER = "/inference.GRPCInferenceService/ModelInfer"
HEADER_LENGTH = "Inference-Header-Content-Length"


def path_of(case: Case) -> str:
    """The target of a REST inference."""
    return f"/v2/models/{case.model}/infer"


def json_body(case: Case) -> bytes:
    """All tensors as JSON."""
    inputs = [{**_told(name, array), "data": array.ravel().tolist()} for name, array in case.inputs.items()]
    return json.dumps({"inputs": inputs}).encode()


def binary_body(case: Case) -> tuple[bytes, int]:
    """All tensors as raw bytes, asked back as such too; the body, and the size of its JSON."""
    inputs = [
        {**_told(name, array), "parameters": {"binary_data_size": array.nbytes}}
        for name, array in case.inputs.items()
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return head + b"".join(array.tobytes() for array in case.inputs.values()), len(head)


def _told(name: str, array: np.ndarray) -> dict[str, Any]:
    return {"name": name, "datatype": DATATYPES[array.dtype.name], "shape": array.shape}


def request_bytes(case: Case, *, binary: bool) -> bytes:
    """A whole HTTP/1.1 request."""
    body, json_size = binary_body(case) if binary else (json_body(case), 0)
    length = f"{HEADER_LENGTH}: {json_size}\r\n" if binary else ""
    head = f"POST {path_of(case)} HTTP/1.1\r\nHost: a\r\n{length}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def arrays_of(body: bytes, json_size: str | None) -> Mapping[str, np.ndarray]:
    """The outputs of a REST answer; `json_size` is its header's value, None without binary data."""
    size = len(body) if json_size is None else int(json_size)
    told, at, found = json.loads(body[:size]), size, {}
    for output in told["outputs"]:
        dtype = NUMPY[output["datatype"]]
        binary = output.get("parameters", {}).get("binary_data_size")
        if binary is None:
            flat = np.array(output["data"], dtype)
        else:
            flat = np.frombuffer(body[at : at + binary], dtype)
            at += binary
        found[output["name"]] = flat.reshape(output["shape"])
    return found


def message(case: Case) -> pb.ModelInferRequest:
    """A gRPC request with raw contents."""
    raw = [array.tobytes() for array in case.inputs.values()]
    request = pb.ModelInferRequest(model_name=case.model, raw_input_contents=raw)
    for name, array in case.inputs.items():
        request.inputs.add(name=name, datatype=DATATYPES[array.dtype.name], shape=array.shape)
    return request


def arrays_of_message(answer: pb.ModelInferResponse) -> Mapping[str, np.ndarray]:
    """The outputs of a gRPC answer."""
    return {
        output.name: np.frombuffer(raw, NUMPY[output.datatype]).reshape(output.shape)
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


class RestClient:
    """One keep-alive connection that never retries: a request either succeeds or says what failed."""

    def __init__(self, url: str, timeout_s: float = 60.0) -> None:
        where = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=timeout_s)

    def fault(self, case: Case, *, binary: bool = False) -> str:
        """Sends `case`; what went wrong, "" if the answer was right."""
        try:
            status, body, json_size = self._ask(case, binary=binary)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return f"{case.model}: {error!r}"
        if status != 200:
            return f"{case.model}: {status} {body[:200]!r}"
        return case.fault(arrays_of(body, json_size))

    def _ask(self, case: Case, *, binary: bool) -> tuple[int, bytes, str | None]:
        body, json_size = binary_body(case) if binary else (json_body(case), 0)
        headers: dict[str, Any] = {HEADER_LENGTH: str(json_size)} if binary else {}
        self._connection.request("POST", path_of(case), body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read(), answer.getheader(HEADER_LENGTH)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()
