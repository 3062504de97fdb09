"""CUDA's runtime library as ctypes calls it: memory of the host, and a stream that works when waited for."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

OUT_OF_MEMORY, INVALID_VALUE = 2, 1


class FakeCudart:
    """Invariant: `memory` is what was allocated and not freed; `work` what the stream has yet to do."""

    def __init__(self, devices: int = 1, room_bytes: int = 1 << 30) -> None:
        self._devices = devices
        self._room_bytes = room_bytes
        self.memory: dict[int, Any] = {}
        self.work: list[Callable[[], None]] = []
        self.streams: set[int] = set()
        self.is_error_told = False  # true once the last error was taken back
        self.fails: dict[str, int] = {}  # calls that are to fail, with their codes

    def _code(self, name: str) -> int:
        return self.fails.pop(name, 0)

    def cudaSetDevice(self, device: ctypes.c_int) -> int:
        return 0 if device.value < self._devices else 101

    def cudaGetLastError(self) -> int:
        self.is_error_told = True
        return 0

    def cudaStreamCreate(self, out: Any) -> int:
        out._obj.value = 0x5000 + len(self.streams)
        self.streams.add(out._obj.value)
        return self._code("cudaStreamCreate")

    def cudaStreamDestroy(self, stream: ctypes.c_void_p) -> int:
        self.streams.remove(stream.value or 0)
        return 0

    def cudaMalloc(self, out: Any, size: ctypes.c_size_t) -> int:
        if sum(len(one) for one in self.memory.values()) + size.value > self._room_bytes:
            return OUT_OF_MEMORY
        block = (ctypes.c_char * size.value)()
        out._obj.value = ctypes.addressof(block)
        self.memory[out._obj.value] = block
        return 0

    def cudaFree(self, address: ctypes.c_void_p) -> int:
        assert not self.work, "memory is freed while it may be in use"
        return 0 if self.memory.pop(address.value or 0, None) is not None else INVALID_VALUE

    def cudaMemcpyAsync(
        self,
        to: ctypes.c_void_p,
        source: ctypes.c_void_p,
        size: ctypes.c_size_t,
        kind: ctypes.c_int,
        stream: ctypes.c_void_p,
    ) -> int:
        assert stream.value in self.streams
        device, target, origin, count = (to, to.value, source.value, size.value)
        device = to if kind.value == 1 else source
        assert len(self.memory[device.value or 0]) >= count
        self.work.append(lambda: ctypes.memmove(target, origin, count) and None)
        return self._code("cudaMemcpyAsync")

    def cudaStreamSynchronize(self, stream: ctypes.c_void_p) -> int:
        work, self.work = self.work, []
        for step in work:
            step()
        return self._code("cudaStreamSynchronize")

    class _Text:
        restype: Any = None

        def __call__(self, code: ctypes.c_int) -> bytes:
            return {1: b"invalid argument", 2: b"out of memory", 700: b"an illegal memory access"}.get(
                code.value, b"unknown"
            )

    cudaGetErrorString = _Text()
