from __future__ import annotations

import numpy as np
import pytest

from gateway.core.dtypes import NUMPY, DType
from gateway.workers.call_arrays import array_of, piece_of
from gateway.workers.call_frames import Piece
from gateway.workers.frames import ProtocolViolation, Region


def back(piece: Piece) -> np.ndarray:
    region = Region(1, piece.dtype, piece.shape, 0, 0, len(piece.data))
    return array_of(region, memoryview(piece.data))


@pytest.mark.parametrize("dtype", [dtype for dtype in NUMPY if dtype is not DType.BF16])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3)])
def test_arrays_come_back(dtype: DType, shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape))
    array = np.arange(count).reshape(shape).astype(NUMPY[dtype])
    piece = piece_of("X", array)
    assert (piece.dtype, piece.shape, len(piece.data)) == (dtype, shape, array.nbytes)
    found = back(piece)
    assert (found.dtype, found.shape, found.tolist()) == (array.dtype, shape, array.tolist())
    assert found.flags.writeable


def test_other_layouts_are_put_in_order() -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3)
    assert back(piece_of("X", array)).tolist() == array.tolist()
    assert back(piece_of("X", array.T)).tolist() == array.T.tolist()
    assert back(piece_of("X", array[:, ::2])).tolist() == array[:, ::2].tolist()


def test_a_plain_array_is_not_copied() -> None:
    array = np.arange(4, dtype=np.float32)
    piece = piece_of("X", array)
    array[0] = 7
    assert bytes(piece.data) == array.tobytes()


@pytest.mark.parametrize(
    "array", [np.array([["a", b"\xff", ""]], object), np.array(["a", "bc"]), np.array([b"a", b""])]
)
def test_texts_come_back_as_bytes(array: np.ndarray) -> None:
    found = back(piece_of("X", array))
    assert found.shape == array.shape
    assert found.ravel().tolist() == [
        one.encode() if isinstance(one, str) else one for one in array.ravel().tolist()
    ]


@pytest.mark.parametrize(
    ("name", "array", "text"),
    [
        ("X", [1.0], "must be a numpy array by name, not list"),
        (1, np.zeros(1), "input '1' must be"),
        ("X", np.zeros(1, complex), "an array of complex128, which no datatype stands for"),
        ("X", np.zeros(1, "M8[s]"), "no datatype stands for"),
        ("X", np.array([1], object), "neither bytes nor str"),
    ],
)
def test_what_is_no_tensor_is_named(name: str, array: np.ndarray, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        piece_of(name, array)


def test_malformed_texts_are_the_fronts_fault() -> None:
    with pytest.raises(ProtocolViolation):
        array_of(Region(1, DType.BYTES, (1,), 0, 0, 4), memoryview(b"\5\0\0\0"))
