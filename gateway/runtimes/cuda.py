"""The little of CUDA's runtime library that running a plan takes: memory, copies, one stream.

By ctypes on the library that comes with the engine: no further package, and nothing of it is loaded in a
process that does not ask for it.
"""

from __future__ import annotations

import ctypes
import site
from collections.abc import Callable, Iterable
from ctypes import byref, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import Any

from gateway.runtimes.contract import EngineBroken, LoadError
from gateway.runtimes.gpus import STICKY

_NAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")
_TO_DEVICE, _TO_HOST = 1, 2


class CudaFailed(Exception):
    """A call failed, and the next one may not: memory ran out, for one."""


class Cuda:
    """One device and one stream on it; `library` is CUDA's runtime. Close it after all `Buffer`s."""

    def __init__(self, library: Any, device: int) -> None:
        self._library = library
        self._call("cudaSetDevice", c_int(device))
        stream = c_void_p()
        self._call("cudaStreamCreate", byref(stream))
        self.stream = stream.value or 0

    def allocate(self, size_bytes: int) -> int:
        """The address of new memory on the device."""
        address = c_void_p()
        self._call("cudaMalloc", byref(address), c_size_t(size_bytes))
        return address.value or 0

    def free(self, address: int) -> None:
        """Gives memory back."""
        self._call("cudaFree", c_void_p(address))

    def copy_to_device(self, to: int, host: int, size_bytes: int) -> None:
        """Is over at `wait`; the host's memory must stay until then."""
        self._copy(to, host, size_bytes, _TO_DEVICE)

    def copy_to_host(self, host: int, device: int, size_bytes: int) -> None:
        """Is over at `wait`; the host's memory must stay until then."""
        self._copy(host, device, size_bytes, _TO_HOST)

    def wait(self) -> None:
        """Returns when all that was asked of the stream is done."""
        self._call("cudaStreamSynchronize", c_void_p(self.stream))

    def free_bytes(self) -> int:
        """What the whole device has left."""
        free, total = c_size_t(), c_size_t()
        self._call("cudaMemGetInfo", byref(free), byref(total))
        return free.value

    def close(self) -> None:
        """Gives the stream back."""
        self._call("cudaStreamDestroy", c_void_p(self.stream))

    def _copy(self, to: int, source: int, size_bytes: int, kind: int) -> None:
        self._call(
            *("cudaMemcpyAsync", c_void_p(to), c_void_p(source), c_size_t(size_bytes), c_int(kind)),
            c_void_p(self.stream),
        )

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            told = self._library.cudaGetErrorString(c_int(code))
            # Else the next one in this process to look, PyTorch for one, takes this failure for its own.
            self._library.cudaGetLastError()
            text = f"{name}: CUDA failure {code}: {(told or b'').decode(errors='replace')}"
            raise EngineBroken(text) if code in STICKY else CudaFailed(text)


class Buffer:
    """Memory on the device that grows when it must."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._size_bytes = 0
        self.address = 0

    def reserve(self, size_bytes: int) -> int:
        """The address of at least so much, and of one byte where nothing is wanted: null is no address."""
        size_bytes = max(1, size_bytes)
        if size_bytes > self._size_bytes:
            self.release()
            self.address = self._cuda.allocate(size_bytes)
            self._size_bytes = size_bytes
        return self.address

    def release(self) -> None:
        """Gives it back."""
        if self._size_bytes:
            self._size_bytes, address, self.address = 0, self.address, 0
            self._cuda.free(address)


def open_cuda(device: int, load: Callable[[str], Any] = ctypes.CDLL) -> Cuda:
    """CUDA on that device, by the first library that works with the driver; raises LoadError for none."""
    problem = f"CUDA's runtime library is not installed ({_NAMES[1]})"
    for name in (*_NAMES, *map(str, packaged(site.getsitepackages()))):
        try:
            library = load(name)
        except OSError:
            continue
        library.cudaGetErrorString.restype = ctypes.c_char_p
        try:
            return Cuda(library, device)
        except (CudaFailed, EngineBroken) as error:  # an older release may do with an older driver
            problem = f"GPU {device} cannot be used: {error}"
    raise LoadError(problem)


def packaged(folders: Iterable[str]) -> list[Path]:
    """Libraries that came as packages, which no loader would find by name; the newest first."""
    found = [path for folder in folders for path in Path(folder).glob("nvidia/*/lib/libcudart.so.*")]
    return sorted(found, key=lambda path: path.name, reverse=True)
