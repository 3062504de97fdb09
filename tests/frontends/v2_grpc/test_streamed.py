"""Messages of streamed answers against protobuf's own reading of them."""

from __future__ import annotations

import pytest

from gateway.core.dtypes import DType
from gateway.core.messages import InferResponse
from gateway.core.tensor import Buffer, Tensor
from gateway.frontends.v2_grpc.framing import FrameReader
from gateway.frontends.v2_grpc.streamed import Repeated, streamed
from gateway.generated import open_inference_pb2 as pb


def answer(*outputs: tuple[str, Buffer], identity: str = "", **parameters: int) -> InferResponse:
    tensors = tuple([Tensor(name, DType.UINT8, (len(data),), data) for name, data in outputs])
    return InferResponse("m", 1, tensors, identity, parameters)


def told(parts: tuple[Buffer, ...]) -> pb.ModelStreamInferResponse:
    (message,) = FrameReader("", 1 << 30, 1).feed(b"".join(parts))
    return pb.ModelStreamInferResponse.FromString(message)


def test_a_large_answer_is_not_joined() -> None:
    parts = streamed(answer(("Y", bytes(1 << 20)), identity="7"), is_last=True)
    assert len(parts) > 1
    one = told(parts).infer_response
    assert (one.id, len(one.raw_output_contents[0])) == ("7", 1 << 20)
    assert one.parameters["triton_final_response"].bool_param


BIG = bytes(100_000)
ANSWERS = [
    *[answer(("Y", bytes([value])), identity="7") for value in range(3)],
    answer(("Y", b"12"), identity="7"),
    answer(("X", b"12"), identity="7"),
    answer(("X", b"1"), ("Y", bytes(200)), ("Z", b""), identity="7"),
    answer(("X", b"2"), ("Y", b"\1" * 200), ("Z", b""), identity="7"),
    answer(("X", b"3"), identity="7", count=3),
    answer(("X", b"4"), identity="7"),
    answer(("X", memoryview(b"5")), identity="7"),
    answer(identity="7"),
    answer(identity="7"),
    answer(("X", b"6"), ("Y", b"7"), identity="7"),
    answer(("Y", BIG), identity="7"),
    answer(("Y", BIG), identity="7"),
    answer(("X", b"8"), ("Y", b"9"), identity="7"),
]


@pytest.mark.parametrize("answers", [ANSWERS, ANSWERS[::-1], [one for one in ANSWERS for _ in range(2)]])
def test_what_is_kept_of_the_last_answer_is_never_seen(answers: list[InferResponse]) -> None:
    repeated = Repeated()
    for one in answers:
        assert b"".join(repeated.message(one)) == b"".join(streamed(one, is_last=False))
        told(repeated.message(one))
