"""TensorRT plans (`model.plan`): engines built for one release of TensorRT and one kind of GPU.

TensorRT is an optional extra. A plan is run by the worker's one stream: inputs are copied to the device,
the engine runs, outputs are copied to where the front reads them, and one wait ends all of it. Which
profile runs a batch follows from its shapes. Written against the API of TensorRT 10.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import NUMPY
from gateway.core.model import ModelSpec
from gateway.core.placement import place_of
from gateway.runtimes.contract import Array, BadInput, LoadError, ModelFailed, OutputMemory, one_line
from gateway.runtimes.cuda import Buffer, Cuda, CudaFailed, open_cuda
from gateway.runtimes.gpus import fault_of_options, seen, visible_here
from gateway.runtimes.tensorrt_signature import (
    DTYPES,
    PlanTensor,
    Shape,
    Signature,
    pick_profile,
    read,
    why_none,
)

MAJOR = 10
_LARGE_BYTES = 64 << 10


def import_tensorrt() -> Any:
    """The package; raises LoadError where it is not installed, or is too old."""
    try:
        found = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:  # the latter where a library below it is missing
        extra = "pip install 'model-gateway[tensorrt]'"
        raise LoadError(f"TensorRT plans need the extra 'tensorrt' ({extra}): {one_line(error)}") from None
    if int(found.__version__.partition(".")[0]) < MAJOR:
        raise LoadError(f"TensorRT plans need TensorRT {MAJOR}, this is {found.__version__}")
    return found


class TensorrtRuntime:
    """Implements contract.Runtime; a plan has no options but where it runs."""

    def __init__(
        self,
        find: Callable[[], Any] = import_tensorrt,
        open_device: Callable[[int], Cuda] = open_cuda,
        count: Callable[[], int] = visible_here,
    ) -> None:
        self._find = find
        self._open_device = open_device
        self._count = count

    def load(
        self,
        path: Path,
        spec: ModelSpec,
        options: Mapping[str, str],
        *,
        max_batch_known: bool,
        default_max_batch_size: int,
    ) -> PlanModel:
        """See contract.Runtime."""
        file = options.get("default_model_filename", "model.plan")
        if Path(file).name != file or not (path / file).is_file():
            raise LoadError(f"there is no file '{Path(file).name}' in the version's folder")
        if spec.isolation == "inline":
            raise LoadError(f"'{file}' never runs in a front: gateway.isolation inline")
        if fault := fault_of_options(options, {"gpu"}):
            raise LoadError(fault)
        tensorrt, device = self._find(), place_of(options).device
        if device >= (gpus := self._count()):
            raise LoadError(f"a TensorRT plan needs GPU {device}, and {seen(gpus)}")
        cuda = self._open_device(device)
        plan = Plan(tensorrt, (path / file).read_bytes(), file)
        signature = read(
            spec,
            plan.tensors(),
            max_batch_known=max_batch_known,
            default_max_batch_size=default_max_batch_size,
        )
        return PlanModel(plan, cuda, signature, f"on GPU {device} by TensorRT {tensorrt.__version__}")


def make_log(tensorrt: Any) -> Any:
    """A logger for the engine that keeps the first error it told, in `error`: those after it say less."""

    class Log(tensorrt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            tensorrt.ILogger.__init__(self)
            self.error = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in {tensorrt.ILogger.ERROR, tensorrt.ILogger.INTERNAL_ERROR}:
                self.error = self.error or " ".join(message.split())

    return Log()


class Plan:
    """An engine in memory and its context, with the engine's log; raises LoadError where there is none."""

    def __init__(self, tensorrt: Any, data: bytes, file: str) -> None:
        self._tensorrt = tensorrt
        self.log = make_log(tensorrt)
        with suppress(AttributeError):  # an engine made without its plugins
            tensorrt.init_libnvinfer_plugins(self.log, "")
        self._runtime = tensorrt.Runtime(self.log)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise LoadError(self._refused(file, "cannot be read: it is for another release or another GPU"))
        self.context = self._engine.create_execution_context()
        if self.context is None:
            raise LoadError(self._refused(file, "cannot be run: there is no memory for it"))

    def _refused(self, file: str, otherwise: str) -> str:
        version = self._tensorrt.__version__
        return f"{file}: TensorRT {version}: {one_line(Exception(self.log.error or otherwise))}"

    def tensors(self) -> list[PlanTensor]:
        """All inputs and outputs."""
        return [
            self._tensor(self._engine.get_tensor_name(index)) for index in range(self._engine.num_io_tensors)
        ]

    def _tensor(self, name: str) -> PlanTensor:
        tensorrt, engine = self._tensorrt, self._engine
        is_input = engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT
        shape = tuple(engine.get_tensor_shape(name))
        is_on_device = engine.get_tensor_location(name) == tensorrt.TensorLocation.DEVICE
        ranges = []
        if is_input and is_on_device and -1 in shape:
            for profile in range(engine.num_optimization_profiles):
                least, _, most = engine.get_tensor_profile_shape(name, profile)
                ranges.append((tuple(least), tuple(most)))
        return PlanTensor(
            name,
            is_input,
            engine.get_tensor_dtype(name).name,
            shape,
            tuple(ranges),
            is_linear=engine.get_tensor_format(name) == tensorrt.TensorFormat.LINEAR,
            is_on_device=is_on_device,
        )

    def close(self) -> None:
        """Gives back context, engine and runtime, in that order."""
        del self.context, self._engine, self._runtime


class PlanModel:
    """Implements contract.LoadedModel. Invariant: `_profile` is the context's."""

    def __init__(self, plan: Plan, cuda: Cuda, signature: Signature, note: str) -> None:
        self.note = note
        self._plan = plan
        self._cuda = cuda
        self._spec, self._inputs, self._outputs = signature
        self._buffers = {tensor.name: Buffer(cuda) for tensor in (*self._inputs, *self._outputs)}
        self._profile = 0

    @property
    def spec(self) -> ModelSpec:
        """See contract.LoadedModel."""
        return self._spec

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """See contract.LoadedModel."""
        self._plan.log.error = ""
        kept = [np.ascontiguousarray(array) for array in inputs]
        try:
            return self._run(kept, outputs, memory)
        except CudaFailed as error:
            raise ModelFailed(str(error)) from None
        finally:
            # Whatever came of it: nothing may be written any more into memory that is given back.
            with suppress(CudaFailed):
                self._cuda.wait()

    def _run(self, kept: Sequence[Array], outputs: Sequence[int], memory: OutputMemory) -> list[Array]:
        self._choose_profile([array.shape for array in kept])
        # Memory is given back only while the stream is idle, so all of it is found first.
        places = [self._place_input(tensor, array) for tensor, array in zip(self._inputs, kept, strict=True)]
        shapes = [self._place_output(tensor) for tensor in self._outputs]
        for place, array in zip(places, kept, strict=True):
            self._cuda.copy_to_device(place, array.ctypes.data, array.nbytes)
        self._must(self._plan.context.execute_async_v3(self._cuda.stream), "it did not run")
        results = [self._fetch(self._outputs[one], shapes[one], memory) for one in outputs]
        self._cuda.wait()  # here too: an error that it tells is this batch's
        return results

    def close(self) -> None:
        """See contract.LoadedModel."""
        self._plan.close()
        for buffer in self._buffers.values():
            buffer.release()
        self._cuda.close()

    def _choose_profile(self, shapes: Sequence[Shape]) -> None:
        profile = pick_profile(self._inputs, shapes, self._profile)
        if profile is None:
            raise BadInput(why_none(self._inputs, shapes))
        if profile != self._profile:
            context, stream = self._plan.context, self._cuda.stream
            self._must(context.set_optimization_profile_async(profile, stream), "it has no such profile")
            self._cuda.wait()
            self._profile = profile

    def _place_input(self, tensor: PlanTensor, array: Array) -> int:
        context = self._plan.context
        address = self._buffers[tensor.name].reserve(array.nbytes)
        self._must(context.set_input_shape(tensor.name, array.shape), f"'{tensor.name}' was refused")
        self._must(context.set_tensor_address(tensor.name, address), f"'{tensor.name}' was refused")
        return address

    def _place_output(self, tensor: PlanTensor) -> Shape:
        context = self._plan.context
        shape = tuple(context.get_tensor_shape(tensor.name))
        if any(size < 0 for size in shape):
            raise ModelFailed(
                f"the shape of output '{tensor.name}' depends on values, which is not supported"
            )
        address = self._buffers[tensor.name].reserve(prod(shape) * _dtype(tensor).itemsize)
        self._must(context.set_tensor_address(tensor.name, address), f"'{tensor.name}' was refused")
        return shape

    def _fetch(self, tensor: PlanTensor, shape: Shape, memory: OutputMemory) -> Array:
        """Where the output will be once the stream has come to it."""
        dtype = _dtype(tensor)
        array = memory.array(dtype, shape) if prod(shape) * dtype.itemsize > _LARGE_BYTES else None
        result: Array = np.empty(shape, dtype) if array is None else array
        self._cuda.copy_to_host(result.ctypes.data, self._buffers[tensor.name].address, result.nbytes)
        return result

    def _must(self, is_done: bool, otherwise: str) -> None:
        if not is_done:
            raise ModelFailed(f"TensorRT: {one_line(Exception(self._plan.log.error or otherwise))}")


def _dtype(tensor: PlanTensor) -> np.dtype[Any]:
    return NUMPY[DTYPES[tensor.dtype]]
