import msgspec
import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput
from gateway.core.messages import InferRequest, RequestedOutput
from gateway.core.model import ModelKey, ModelSpec
from gateway.core.tensor import Tensor
from gateway.core.tensor_spec import TensorSpec
from gateway.scheduling.signature import Signatures, make_plan

SPEC = ModelSpec(
    "pair",
    1,
    "fake",
    "fake",
    (TensorSpec("A", DType.INT32, (2,)), TensorSpec("B", DType.FP32, (-1, 3))),
    (TensorSpec("SUM", DType.INT32, (2,)), TensorSpec("DIFF", DType.INT32, (2,))),
    max_batch_size=4,
)


def tensor(name: str, dtype: DType, *shape: int) -> Tensor:
    return Tensor(name, dtype, shape, bytes(int(np.prod(shape)) * 4))


A = tensor("A", DType.INT32, 2, 2)
B = tensor("B", DType.FP32, 2, 5, 3)


def request(*inputs: Tensor, outputs: tuple[str, ...] = ()) -> InferRequest:
    return InferRequest("pair", 1, inputs, outputs=tuple(map(RequestedOutput, outputs)))


def test_order_outputs_and_rows_are_worked_out() -> None:
    plan = make_plan(SPEC, request(B, A, outputs=("DIFF",)))
    assert plan.rows == 2
    assert plan.order == (1, 0)
    assert plan.signature.outputs == (1,)


def test_requests_of_equal_shapes_and_outputs_may_join_whatever_their_order_and_rows() -> None:
    one = make_plan(SPEC, request(tensor("A", DType.INT32, 1, 2), tensor("B", DType.FP32, 1, 5, 3)))
    assert make_plan(SPEC, request(B, A)).compat == one.compat
    assert make_plan(SPEC, request(A, tensor("B", DType.FP32, 2, 6, 3))).compat != one.compat
    assert make_plan(SPEC, request(A, B, outputs=("SUM",))).compat != one.compat


def test_requests_with_other_parameters_do_not_join() -> None:
    """Of names, values and types, for the model sees one set of them with its batch."""
    signatures = Signatures(SPEC)

    def compat(**parameters: str | int | float | bool) -> object:
        return signatures.plan(InferRequest("pair", 1, (A, B), parameters=parameters)).compat

    assert compat(x=1, y="b") == compat(y="b", x=1)
    assert len({compat(), compat(x=1), compat(x=2), compat(x=1.0), compat(x=True), compat(x="1")}) == 6
    assert len(signatures._plans) == 1, "whatever a caller makes up is not remembered"


def test_requests_for_whom_others_wait_join_those_alone() -> None:
    """Else a call that a batch makes would be refused to one member for the sake of another."""
    signatures = Signatures(SPEC)
    compats = [
        signatures.plan(InferRequest("pair", 1, (A, B), chain=chain)).compat
        for chain in ((), (ModelKey("x", 1),), (ModelKey("y", 1),), (ModelKey("x", 1),))
    ]
    assert len(set(compats)) == 3
    assert compats[1] == compats[3]


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ((A,), (), "'B' is missing"),
        ((A, A, B), (), "given twice"),
        ((A, B, tensor("C", DType.INT32, 2, 2)), (), "unexpected inference input 'C'"),
        ((tensor("A", DType.FP32, 2, 2), B), (), "datatype FP32, the model expects INT32"),
        ((tensor("A", DType.INT32, 2, 3), B), (), r"expected \[-1, 2\], got \[2, 3\]"),
        ((tensor("A", DType.INT32, 2, 2, 1), B), (), "unexpected shape for input 'A'"),
        ((tensor("A", DType.INT32, 3, 2), B), (), "differ in their batch dimension"),
        ((tensor("A", DType.INT32, 5, 2), tensor("B", DType.FP32, 5, 1, 3)), (), "must be 1 to 4"),
        ((tensor("A", DType.INT32, 0, 2), tensor("B", DType.FP32, 0, 1, 3)), (), "must be 1 to 4"),
        ((Tensor("A", DType.INT32, (), b"1234"), B), (), "has no batch dimension"),
        ((A, B), ("NOPE",), "unexpected inference output 'NOPE'"),
        ((A, B), ("SUM", "SUM"), "requested twice"),
    ],
)
def test_what_does_not_fit_is_named(inputs: tuple[Tensor, ...], outputs: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        make_plan(SPEC, request(*inputs, outputs=outputs))


MAYBE = ModelSpec(
    "maybe",
    1,
    "fake",
    "fake",
    (TensorSpec("A", DType.INT32, (2,), is_optional=True), TensorSpec("B", DType.FP32, (-1, 3))),
    SPEC.outputs,
    max_batch_size=4,
)


def test_an_optional_input_may_be_left_out_and_only_those_who_do_share_a_batch() -> None:
    signatures = Signatures(MAYBE)
    whole, without = signatures.plan(request(A, B)), signatures.plan(request(B))
    assert (whole.order, whole.signature.places) == ((0, 1), ())
    assert (without.order, without.signature.places, without.rows) == ((0,), (1,), 2)
    assert without.compat not in {whole.compat, make_plan(SPEC, request(A, B)).compat}
    with pytest.raises(InvalidInput, match=r"expected between 1 and 2 inputs but got 1 .*'B' is missing"):
        signatures.plan(request(A))


def test_rows_cannot_be_told_where_every_input_is_left_out() -> None:
    alone = msgspec.structs.replace(MAYBE, inputs=MAYBE.inputs[:1])
    with pytest.raises(InvalidInput, match="needs an input"):
        make_plan(alone, request())
    plan = make_plan(msgspec.structs.replace(alone, max_batch_size=0), request())
    assert (plan.rows, plan.order, plan.signature.inputs) == (1, (), ())


def test_a_known_signature_gives_the_same_plan_and_the_memory_is_bounded() -> None:
    signatures = Signatures(SPEC)
    first = signatures.plan(request(A, B))
    assert signatures.plan(request(A, B)) is first
    for width in range(1, 2000):
        signatures.plan(request(A, tensor("B", DType.FP32, 2, width, 3)))
    assert len(signatures._plans) <= 1024
    assert signatures.plan(request(A, B)) == first
