from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.runtimes.contract import EngineBroken, LoadError
from gateway.runtimes.cuda import Buffer, Cuda, CudaFailed, open_cuda, packaged
from tests.fakes.cuda import FakeCudart


def test_memory_goes_there_and_comes_back_by_the_wait() -> None:
    library = FakeCudart()
    cuda = Cuda(library, 0)
    data, back = np.arange(4.0), np.zeros(4)
    buffer = Buffer(cuda)
    address = buffer.reserve(data.nbytes)
    cuda.copy_to_device(address, data.ctypes.data, data.nbytes)
    cuda.copy_to_host(back.ctypes.data, address, data.nbytes)
    assert back.tolist() == [0, 0, 0, 0]
    cuda.wait()
    assert back.tolist() == data.tolist()
    buffer.release()
    cuda.close()
    assert (library.memory, library.streams) == ({}, set())


def test_a_buffer_grows_only() -> None:
    library = FakeCudart()
    buffer = Buffer(Cuda(library, 0))
    first = buffer.reserve(0)
    assert first != 0
    large = buffer.reserve(100)
    assert buffer.reserve(50) == large
    assert [len(one) for one in library.memory.values()] == [100]
    buffer.release()
    buffer.release()


def test_errors_are_told_and_some_are_the_end() -> None:
    library = FakeCudart(room_bytes=10)
    cuda = Cuda(library, 0)
    with pytest.raises(CudaFailed, match=r"^cudaMalloc: CUDA failure 2: out of memory$"):
        cuda.allocate(100)
    assert library.is_error_told  # or the next one to look takes it for its own
    library.fails["cudaStreamSynchronize"] = 719
    with pytest.raises(EngineBroken, match=r"^cudaStreamSynchronize: CUDA failure 719: unknown$"):
        cuda.wait()


def test_the_library_is_looked_for_by_its_names() -> None:
    asked = []

    def load(name: str) -> Any:
        asked.append(name)
        if name != "libcudart.so.12":
            raise OSError(name)
        return FakeCudart()

    assert open_cuda(0, load).stream
    assert asked == ["libcudart.so.13", "libcudart.so.12"]
    with pytest.raises(LoadError, match="GPU 1 cannot be used: cudaSetDevice: CUDA failure 101"):
        open_cuda(1, load)


def test_a_library_that_the_driver_is_too_old_for_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("site.getsitepackages", list)
    newer, older = FakeCudart(), FakeCudart()
    libraries = {"libcudart.so.13": newer, "libcudart.so.12": older}

    def load(name: str) -> Any:
        if name not in libraries:
            raise OSError(name)
        return libraries[name]

    newer.fails["cudaStreamCreate"] = 35
    assert open_cuda(0, load).stream in older.streams
    newer.fails["cudaStreamCreate"], older.fails["cudaStreamCreate"] = 35, 100
    with pytest.raises(
        LoadError, match=r"^GPU 0 cannot be used: cudaStreamCreate: CUDA failure 100: unknown$"
    ):
        open_cuda(0, load)


def test_without_the_library_that_is_said() -> None:
    def load(name: str) -> Any:
        raise OSError(name)

    with pytest.raises(LoadError, match=r"CUDA's runtime library is not installed \(libcudart.so.12\)"):
        open_cuda(0, load)


def test_packages_have_it_too(tmp_path: Path) -> None:
    for folder, name in (
        ("cuda_runtime", "libcudart.so.12"),
        ("cu13", "libcudart.so.13"),
        ("cublas", "other.so"),
    ):
        (tmp_path / "nvidia" / folder / "lib").mkdir(parents=True)
        (tmp_path / "nvidia" / folder / "lib" / name).touch()
    assert [path.name for path in packaged([str(tmp_path)])] == ["libcudart.so.13", "libcudart.so.12"]
