from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from gateway.core.dtypes import NUMPY, DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import ABSENT, Array, BadInput, LoadError
from gateway.runtimes.onnx import OnnxModel, OnnxRuntime
from gateway.runtimes.onnx_signature import ELEMENT_TYPES
from tests.fakes import onnx_files

SPEC = ModelSpec("m", 1, "", "onnxruntime", (), ())


class Memory:
    """OutputMemory that keeps what it gave out; with `is_full` it gives nothing."""

    def __init__(self, *, is_full: bool = False) -> None:
        self.given: list[Array] = []
        self._is_full = is_full

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array | None:
        if self._is_full:
            return None
        self.given.append(np.empty(shape, dtype))
        return self.given[-1]


def load(path: Path, spec: ModelSpec = SPEC, known: bool = False, **options: str) -> OnnxModel:
    return OnnxRuntime().load(path, spec, options, max_batch_known=known, default_max_batch_size=64)


def node(kind: str, inputs: str, outputs: str = "Y", **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def test_a_network_is_run(tmp_path: Path) -> None:
    model = load(onnx_files.mlp(tmp_path))
    assert model.spec.max_batch_size == 64
    assert [(one.name, one.dtype, one.shape) for one in model.spec.inputs] == [("input", DType.FP32, (30,))]
    x = np.random.default_rng(1).random((7, 30), "f4")
    x.flags.writeable = False
    (found,) = model.infer([x], (0,), 7, Memory())
    (expected,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"input": x})
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    model.close()


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype not in {DType.BYTES, DType.UINT16}])
@pytest.mark.parametrize("columns", [3, 100_000])
def test_every_datatype_comes_through_bit_for_bit(tmp_path: Path, dtype: DType, columns: int) -> None:
    model = load(onnx_files.identity(tmp_path, ELEMENT_TYPES[dtype]))
    assert model.spec.inputs[0].dtype is dtype
    raw = np.random.default_rng(2).integers(0, 2, 2 * columns).astype(NUMPY[dtype]).reshape(2, columns)
    memory = Memory()
    (found,) = model.infer([raw], (0,), 2, memory)
    np.testing.assert_array_equal(found, raw)
    assert found.dtype == NUMPY[dtype]
    is_large = raw.nbytes > 64 << 10
    assert [one is found for one in memory.given] == [True] * is_large
    (again,) = model.infer([raw], (0,), 2, Memory(is_full=True))
    np.testing.assert_array_equal(again, raw)


def test_strings(tmp_path: Path) -> None:
    model = load(onnx_files.identity(tmp_path, TensorProto.STRING))
    x = np.array([[b"a", "\u00fcber".encode()], [b"", b"x" * 70_000]], object)
    (found,) = model.infer([x], (0,), 2, Memory())
    assert [[one.encode() for one in row] for row in found.tolist()] == x.tolist()
    with pytest.raises(BadInput, match="input 'X' has an element that is not UTF-8"):
        model.infer([np.array([[b"\xff"]], object)], (0,), 1, Memory())


def test_outputs_are_chosen_and_ordered(tmp_path: Path) -> None:
    ends = [("A", TensorProto.INT32, ["n", 2]), ("B", TensorProto.INT32, ["n", 2])]
    nodes = [node("Add", "A B", "SUM"), node("Sub", "A B", "DIFFERENCE")]
    outs = [("SUM", TensorProto.INT32, ["n", 2]), ("DIFFERENCE", TensorProto.INT32, ["n", 2])]
    model = load(onnx_files.save(tmp_path, nodes, ends, outs))
    a, b = np.full((1, 2), 5, "i4"), np.full((1, 2), 3, "i4")
    assert [one.tolist() for one in model.infer([a, b], (1, 0), 1, Memory())] == [[[2, 2]], [[8, 8]]]
    assert [one.tolist() for one in model.infer([a, b], [1], 1, Memory())] == [[[2, 2]]]


def test_a_file_whose_symbols_lie_still_runs(tmp_path: Path) -> None:
    info = ("X", TensorProto.FLOAT, ["n", "d"]), ("Y", TensorProto.FLOAT, ["n", "d"])
    model = load(onnx_files.save(tmp_path, [node("Concat", "X X", axis=1)], [info[0]], [info[1]]))
    x = np.ones((2, 40_000), "f4")
    for expected_tries in (1, 0):
        memory = Memory()
        (found,) = model.infer([x], (0,), 2, memory)
        assert found.shape == (2, 80_000)
        assert len(memory.given) == expected_tries


def test_a_value_out_of_range_is_the_callers_fault(tmp_path: Path) -> None:
    table = np.arange(10, dtype="f4")
    model = load(
        onnx_files.save(
            tmp_path,
            [node("Gather", "T X")],
            [("X", TensorProto.INT64, ["n", 1])],
            [("Y", TensorProto.FLOAT, ["n", 1])],
            [("T", table)],
        )
    )
    assert model.infer([np.array([[4]])], (0,), 1, Memory())[0].tolist() == [[4.0]]
    with pytest.raises(BadInput) as caught:
        model.infer([np.array([[99]])], (0,), 1, Memory())
    assert "\n" not in str(caught.value)
    assert "/onnxruntime" not in str(caught.value)


def test_a_model_that_cannot_batch(tmp_path: Path) -> None:
    onnx_files.identity(tmp_path, dims=(1, "d"))
    assert load(tmp_path).spec.max_batch_size == 0
    with pytest.raises(LoadError, match="does not support batching while non-zero max_batch_size"):
        load(tmp_path, ModelSpec("m", 1, "", "", (), (), 4), known=True)


@pytest.mark.parametrize("raw", [b"", b"garbage", b"\0" * 1000])
def test_a_broken_file_is_one_line_without_a_path(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(raw)
    with pytest.raises(LoadError) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_the_file_may_have_another_name_but_no_other_place(tmp_path: Path) -> None:
    onnx_files.identity(tmp_path / "1")
    (tmp_path / "1" / "model.onnx").rename(tmp_path / "1" / "other.onnx")
    assert load(tmp_path / "1", default_model_filename="other.onnx").spec.inputs
    (tmp_path / "2").mkdir()
    for name in ("model.onnx", "../1/other.onnx", ""):
        with pytest.raises(LoadError, match="no file"):
            load(tmp_path / "2", default_model_filename=name)


# ---- optional inputs ------------------------------------------------------------------------------

SCALED = msgspec.structs.replace(
    SPEC,
    inputs=(TensorSpec("X", DType.FP32, (-1,)), TensorSpec("SCALE", DType.FP32, (1,), is_optional=True)),
    max_batch_size=8,
)


@pytest.mark.parametrize("make", [onnx_files.scaled, onnx_files.scaled_by_option])
def test_an_input_with_a_default_may_be_left_out(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    model = load(make(tmp_path), SCALED, known=True)
    x = np.ones((2, 3), "f4")
    for scale, expected in ((ABSENT, 2), (np.array([[3], [4]], "f4"), [[3], [4]])):
        (found,) = model.infer([x, scale], (0,), 2, Memory())
        np.testing.assert_array_equal(found, x * expected)


def test_an_input_of_an_optional_type_is_found_to_be_optional(tmp_path: Path) -> None:
    assert load(onnx_files.scaled_by_option(tmp_path)).spec.inputs == SCALED.inputs


def test_a_default_is_an_input_only_where_the_configuration_names_it(tmp_path: Path) -> None:
    assert load(onnx_files.scaled(tmp_path)).spec.inputs == SCALED.inputs[:1]
    needed = (SCALED.inputs[0], TensorSpec("SCALE", DType.FP32, (1,)))
    given = msgspec.structs.replace(SCALED, inputs=needed)
    assert load(tmp_path, given, known=True).spec.inputs == needed


def test_an_optional_input_needs_a_default(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="'SCALE' is configured as optional, the model has no default for it"):
        load(onnx_files.scaled(tmp_path, has_default=False), SCALED, known=True)


def test_optional_inputs_of_types_that_need_a_binding_or_a_decoding(tmp_path: Path) -> None:
    """BF16 by its bits through a binding, BYTES as texts: neither sees what is absent."""
    for element, dtype, value in (
        (TensorProto.BFLOAT16, DType.BF16, np.array([[0x3F80]], np.uint16)),
        (TensorProto.STRING, DType.BYTES, np.array([[b"one"]], object)),
    ):
        folder = tmp_path / dtype.name
        default = helper.make_tensor("B", element, [1, 1], [b""] if dtype is DType.BYTES else [0.0])
        graph = helper.make_graph(
            [node("Identity", "A", "Y"), node("Identity", "B", "Z")],
            "two",
            [helper.make_tensor_value_info(name, element, ["n", 1]) for name in "AB"],
            [helper.make_tensor_value_info(name, element, ["n", 1]) for name in "YZ"],
            [default],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        folder.mkdir()
        onnx.save(made, folder / "model.onnx")
        inputs = tuple(TensorSpec(name, dtype, (1,), is_optional=name == "B") for name in "AB")
        model = load(folder, msgspec.structs.replace(SPEC, inputs=inputs, max_batch_size=4), known=True)
        (found,) = model.infer([value, ABSENT], (0,), 1, Memory())
        expected = [[element.decode() for element in row] for row in value] if dtype is DType.BYTES else value
        np.testing.assert_array_equal(found, expected)
