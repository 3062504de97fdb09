"""CUDA's runtime library on a real GPU: memory, copies, one stream."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import pytest

from gateway.runtimes.contract import LoadError
from gateway.runtimes.cuda import Buffer, Cuda, CudaFailed, open_cuda


@pytest.fixture
def cuda() -> Generator[Cuda]:
    try:
        opened = open_cuda(0)
    except LoadError as error:
        pytest.skip(str(error))
    yield opened
    opened.close()


def test_what_is_copied_there_comes_back(cuda: Cuda) -> None:
    buffer = Buffer(cuda)
    for size in (1, 1 << 10, 1 << 24, 5):
        sent = np.random.default_rng(size).integers(0, 256, size, np.uint8)
        back = np.zeros_like(sent)
        address = buffer.reserve(size)
        cuda.copy_to_device(address, sent.ctypes.data, size)
        cuda.copy_to_host(back.ctypes.data, address, size)
        cuda.wait()
        np.testing.assert_array_equal(back, sent)
    buffer.release()


def test_memory_that_is_not_there_is_a_failure_that_can_be_lived_with(cuda: Cuda) -> None:
    with pytest.raises(CudaFailed, match="cudaMalloc: CUDA failure 2: out of memory"):
        Buffer(cuda).reserve(1 << 50)
    buffer = Buffer(cuda)
    assert buffer.reserve(1 << 20)
    buffer.release()


def test_a_device_that_is_not_there_is_no_device() -> None:
    with pytest.raises(LoadError, match="CUDA"):
        open_cuda(99)
