from __future__ import annotations

import pytest

from gateway.core.dtypes import DType
from gateway.core.tensor_spec import TensorSpec
from gateway.generated import model_config_pb2 as pb
from gateway.repository.refusal import ConfigRefused
from gateway.repository.tensors import read_label_files, read_tensors


def tensor(dims: list[int], reshape: list[int] | None = None) -> pb.ModelInput:
    message = pb.ModelInput(name="x", data_type=pb.TYPE_FP32, dims=dims)
    if reshape is not None:
        message.reshape.SetInParent()
        message.reshape.shape.extend(reshape)
    return message


@pytest.mark.parametrize(
    ("dims", "reshape", "expected"),
    [
        ([4], None, None),
        ([4], [4], None),
        ([1], [], ()),
        ([4], [2, 2], (2, 2)),
        ([1, 1], [], ()),
        ([-1], [-1, 1], (-1, 1)),
        ([2, -1, 3], [1, 2, -1, 3, 1], (1, 2, -1, 3, 1)),
        ([-1, 4, -1], [-1, 2, 2, -1], (-1, 2, 2, -1)),
    ],
)
def test_a_reshape_keeps_every_element(
    dims: list[int], reshape: list[int] | None, expected: tuple[int, ...] | None
) -> None:
    assert read_tensors("input", [tensor(dims, reshape)], 8) == (
        TensorSpec("x", DType.FP32, tuple(dims), expected),
    )


@pytest.mark.parametrize(
    ("dims", "reshape"),
    [([4], [2]), ([4], []), ([-1], [4]), ([4], [-1]), ([-1], []), ([2, -1, 3], [3, -1, 2]), ([-1], [-1, -1])],
)
def test_another_reshape_is_refused(dims: list[int], reshape: list[int]) -> None:
    with pytest.raises(ConfigRefused, match=r"^config.pbtxt: input\[0\].reshape: \["):
        read_tensors("input", [tensor(dims, reshape)], 8)


def test_a_reshape_with_impossible_dimensions_is_refused() -> None:
    with pytest.raises(ConfigRefused, match=r"input\[0\].reshape.shape: each must be -1 or at least 1"):
        read_tensors("input", [tensor([4], [4, 0])], 8)


def test_label_files_by_output() -> None:
    outputs = [pb.ModelOutput(name="a", label_filename="l.txt"), pb.ModelOutput(name="b")]
    assert read_label_files(outputs) == {"a": "l.txt"}
    with pytest.raises(ConfigRefused, match=r"output\[0\].label_filename: must be a plain file name"):
        read_label_files([pb.ModelOutput(name="a", label_filename="/etc/passwd")])


def test_an_input_may_be_optional() -> None:
    message = tensor([4])
    message.optional = True
    assert [one.is_optional for one in read_tensors("input", [message], 8)] == [True]
