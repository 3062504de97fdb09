from math import inf

import numpy as np

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor import iterate_bytes_elements, serialise_bytes_elements
from gateway.core.tensor_spec import TensorSpec
from gateway.scheduling.pending import Pending
from gateway.scheduling.signature import make_plan
from gateway.scheduling.splitting import split, whole
from tests.fakes.specs import CountedLease, doubling_spec, row_request


def members(spec: ModelSpec, *rows: int) -> list[Pending]:
    made = []
    for count in rows:
        pending = Pending(row_request(0.0, rows=count), lambda _: None, lambda *_: None, 0.0, inf)
        pending.plan = make_plan(spec, pending.request)
        made.append(pending)
    return made


def test_rows_go_back_to_whom_they_belong() -> None:
    spec = doubling_spec()
    data = np.arange(12, dtype="<f4")
    responses = split(spec, members(spec, 1, 3, 2), [((6, 2), data.tobytes())], None)
    assert [response.outputs[0].shape for response in responses] == [(1, 2), (3, 2), (2, 2)]
    joined = b"".join(bytes(response.outputs[0].data) for response in responses)
    assert joined == data.tobytes()


def test_strings_are_cut_between_elements() -> None:
    spec = ModelSpec(
        "double", 1, "f", "f", (TensorSpec("x", DType.FP32, (2,)),), (TensorSpec("t", DType.BYTES, (2,)),),
        max_batch_size=8,
    )  # fmt: skip
    words = [b"", b"a", b"bb", b"\xff", b"ccc", b"d"]
    data = serialise_bytes_elements(words)
    responses = split(spec, members(spec, 2, 1), [((3, 2), data)], None)
    assert [list(map(bytes, iterate_bytes_elements("t", r.outputs[0].data))) for r in responses] == [
        words[:4],
        words[4:],
    ]


def test_every_answer_holds_the_shared_memory() -> None:
    spec = doubling_spec()
    lease = CountedLease()
    responses = split(spec, members(spec, 1, 1), [((2, 2), bytes(16))], lease)
    lease.release()
    assert lease.holds == 2
    for response in responses:
        assert response.lease is lease
        response.lease.release()
    assert lease.holds == 0


def test_an_answer_alone_takes_the_batch_as_it_is() -> None:
    spec = doubling_spec()
    lease = CountedLease()
    response = whole(spec, members(spec, 2)[0], [((2, 2), b"0" * 16)], lease)
    assert response.outputs[0].name == "y"
    assert (response.version, response.lease) == (1, lease)
