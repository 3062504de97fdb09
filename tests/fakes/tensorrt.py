"""TensorRT 10's Python API for one small plan: Y = 2 * X + B, FP32 [-1, 3] by [3], in two profiles.

The engine's rules are kept: it says no by False and a line to its logger, wants an address for every
tensor and shapes within the profile before it runs, and runs when its stream comes to it.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from gateway.runtimes.cuda import Cuda
from gateway.runtimes.tensorrt import TensorrtRuntime
from tests.fakes.cuda import FakeCudart

PLAN = b"ftrt 10.13 Y=2X+B"
PROFILES = (((1, 3), (2, 3), (4, 3)), ((8, 3), (16, 3), (32, 3)))


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    INTERNAL_ERROR, ERROR = Severity.INTERNAL_ERROR, Severity.ERROR
    WARNING, INFO, VERBOSE = Severity.WARNING, Severity.INFO, Severity.VERBOSE

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class TensorLocation(enum.Enum):
    DEVICE, HOST = range(2)


class TensorFormat(enum.Enum):
    LINEAR, CHW2 = range(2)


class DataType(enum.Enum):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8, FP8, BF16, INT64, INT4 = range(10)


class Engine:
    """ICudaEngine."""

    num_io_tensors = 3
    num_optimization_profiles = len(PROFILES)

    def __init__(self, cudart: FakeCudart, logger: ILogger) -> None:
        self.cudart = cudart
        self.logger = logger
        self.has_memory = True

    def get_tensor_name(self, index: int) -> str:
        return ("X", "B", "Y")[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.OUTPUT if name == "Y" else TensorIOMode.INPUT

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        return [3] if name == "B" else [-1, 3]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.FLOAT

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation.DEVICE

    def get_tensor_format(self, name: str) -> TensorFormat:
        return TensorFormat.LINEAR

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[Sequence[int]]:
        return [list(shape) for shape in PROFILES[profile]]

    def create_execution_context(self) -> Context | None:
        if self.has_memory:
            return Context(self)
        self.logger.log(ILogger.ERROR, "[executionContext.cpp::ctor] Error Code 2: OutOfMemory (no room)")
        return None


class Context:
    """IExecutionContext."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {"B": (3,)}
        self._addresses: dict[str, int] = {}
        self.profile = 0

    def _no(self, text: str) -> bool:
        self._engine.logger.log(ILogger.ERROR, f"[x.cpp::f::1] Error Code 3: API Usage Error ({text})")
        return False

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        assert stream in self._engine.cudart.streams
        self.profile = profile
        self._shapes = {"B": (3,)}
        return True

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        least, _, most = PROFILES[self.profile]
        if name == "X" and not all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True)):
            return self._no(f"{name} does not satisfy profile {self.profile}")
        self._shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        return self._shapes.get("X", (-1, 3)) if name == "Y" else self._shapes[name]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return address != 0 or self._no(f"null address for {name}")

    def execute_async_v3(self, stream: int) -> bool:
        cudart = self._engine.cudart
        assert stream in cudart.streams
        if self._addresses.keys() != {"X", "B", "Y"} or self._shapes.keys() != {"X", "B"}:
            return self._no("not all tensors are set")
        rows, addresses = self._shapes["X"][0], dict(self._addresses)

        def kernel() -> None:
            x, b, y = (
                (ctypes.c_float * (3 if name == "B" else rows * 3)).from_address(addresses[name])
                for name in ("X", "B", "Y")
            )
            for index in range(rows * 3):
                y[index] = 2 * x[index] + b[index % 3]

        cudart.work.append(kernel)
        return True


def make_tensorrt(cudart: FakeCudart, version: str = "10.13.0.35") -> Any:
    """The package, whose engines run on that library's device."""

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
            if data == PLAN:
                return Engine(cudart, self._logger)
            self._logger.log(ILogger.WARNING, "[runtime.cpp] it looks odd")
            self._logger.log(
                ILogger.ERROR,
                "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion "
                "stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current "
                "Version: 240, Serialized Engine Version: 228)",
            )
            self._logger.log(
                ILogger.ERROR,
                "IRuntime::deserializeCudaEngine: Error Code 4: Internal Error (It failed.)",
            )
            return None

    return SimpleNamespace(
        __version__=version,
        ILogger=ILogger,
        Runtime=Runtime,
        TensorIOMode=TensorIOMode,
        TensorLocation=TensorLocation,
        TensorFormat=TensorFormat,
        DataType=DataType,
        init_libnvinfer_plugins=lambda logger, namespace: True,
    )


class StandIn(TensorrtRuntime):
    """The runtime of plans on a machine with TensorRT and one GPU, as a worker would find it there."""

    def __init__(self) -> None:
        cudart = FakeCudart()
        super().__init__(lambda: make_tensorrt(cudart), lambda device: Cuda(cudart, device), lambda: 1)
