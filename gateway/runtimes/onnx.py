"""ONNX Runtime, on the CPU or on a GPU.

Measured on a 30-64-32-1 MLP, 1 and 32 rows, in us: `InferenceSession.run` 5.9 and 8.9, the same on the
session object inside 5.3 and 8.0, an I/O binding 11 and 14, OrtValues 42 and 45. So small batches are
run by the second, and a binding is only for outputs over 64 KiB, where it saves a copy into shared
memory, and for BF16, which numpy does not know. Graph optimisation level and the memory arena change
neither loading (4-5 ms for the first session of a process) nor memory measurably: both stay at the
engine's defaults. On a GPU everything is bound: inputs are copied into memory there that stays from batch
to batch, outputs from there to where the front reads them.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# From 1.2x on the wheels start a thread that sends usage data, unless told not to before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from gateway.core.dtypes import ITEM_SIZE, NUMPY, DType
from gateway.core.model import ModelSpec
from gateway.core.placement import accelerators_of, place_of
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import ABSENT, Array, BadInput, EngineBroken, LoadError, OutputMemory, one_line
from gateway.runtimes.gpus import visible_here
from gateway.runtimes.onnx_device import BindInputs, DeviceInputs, bind_from_host, is_fatal
from gateway.runtimes.onnx_providers import CPU, Choice, Machine, Wish
from gateway.runtimes.onnx_session import open_session, session_options
from gateway.runtimes.onnx_signature import ELEMENT_TYPES, FileTensor, complete, file_tensor, resolve
from gateway.runtimes.sequence_signature import with_sequence, without_sequence

LARGE_BYTES = 64 << 10
_MAX_PREDICTIONS = 256
Shape = tuple[int, ...]


# The smallest model there is, Y = X, as `onnx` writes it.
_NOTHING = bytes.fromhex(
    "080912003a370a100a01781201792208"
    "4964656e74697479120167"
    "5a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a020801"
    "42040a001011"
)


class OnnxRuntime:
    """Implements contract.Runtime; options are those of Triton's ONNX Runtime backend, by its names."""

    def prepare(self) -> None:
        """Opens a session of nothing: the first of a process takes 4.5 ms, each one after it 0.7 ms."""
        ort.InferenceSession(_NOTHING, session_options({}), providers=[CPU])

    def load(
        self,
        path: Path,
        spec: ModelSpec,
        options: Mapping[str, str],
        *,
        max_batch_known: bool,
        default_max_batch_size: int,
    ) -> OnnxModel:
        """See contract.Runtime."""
        name = options.get("default_model_filename", "model.onnx")
        if Path(name).name != name or not (path / name).is_file():
            raise LoadError(f"there is no file '{Path(name).name}' in the version's folder")
        wish = Wish(place_of(options), accelerators_of(options), options, spec.isolation == "inline")
        machine = Machine(ort.get_available_providers(), visible_here())
        bed = Bed(path / name, partial(_open, session_options(options), wish, machine), _binder)
        session, choice = bed.open(bed.file)
        inputs = [file_tensor("input", one.name, one.type, one.shape) for one in session.get_inputs()]
        inputs += _defaults(session, {tensor.name for tensor in spec.inputs})
        outputs = [file_tensor("output", one.name, one.type, one.shape) for one in session.get_outputs()]
        completed = partial(
            complete,
            inputs=inputs,
            outputs=outputs,
            max_batch_known=max_batch_known,
            default_max_batch_size=default_max_batch_size,
        )
        spec = completed(with_sequence(spec))
        if spec.sequence is not None:  # what was left to the file has controls and states anywhere in it
            spec = completed(with_sequence(without_sequence(spec)))
        ordered = _ordered(spec.inputs, inputs), _ordered(spec.outputs, outputs)
        return OnnxModel(session, spec, *ordered, choice, bed)


def _open(options: Any, wish: Wish, machine: Machine, file: Path | bytes) -> tuple[Any, Choice]:
    return open_session(ort, file, options, wish, machine)


class Bed(NamedTuple):
    """What a model can be opened from again, its file or what was in it, and what binds its inputs then."""

    file: Path
    open: Callable[[Path | bytes], tuple[Any, Choice]]
    binder: Callable[[Choice], BindInputs]

    @property
    def is_whole(self) -> bool:
        """True where the file is all there is: weights beside it the engine finds by the path only."""
        return [one.name for one in self.file.parent.iterdir()] == [self.file.name]


def _binder(choice: Choice) -> BindInputs:
    if choice.gpu is None:
        return bind_from_host
    return DeviceInputs(ort.OrtValue.ortvalue_from_shape_and_type, "cuda", choice.gpu).bind


def _defaults(session: Any, wanted: Set[str]) -> list[FileTensor]:
    """Inputs that the file has a value for, as far as they are `wanted`: old files have all weights there."""
    return [
        file_tensor("input", one.name, one.type, one.shape)._replace(has_default=True)
        for one in session.get_overridable_initializers()
        if one.name in wanted
    ]


def _ordered(specs: Sequence[TensorSpec], found: Sequence[FileTensor]) -> tuple[FileTensor, ...]:
    by_name = {tensor.name: tensor for tensor in found}
    return tuple(by_name[spec.name] for spec in specs)


class OnnxModel:
    """Implements contract.LoadedModel.

    `_predictions` are, by input shapes and wanted outputs, the shapes of the outputs if some of them
    are large and all of those can be told beforehand; None: run without a binding.
    """

    def __init__(
        self,
        session: Any,
        spec: ModelSpec,
        inputs: tuple[FileTensor, ...],
        outputs: tuple[FileTensor, ...],
        choice: Choice,
        bed: Bed,
    ) -> None:
        self._spec = spec
        self.note = choice.note
        self._is_on_gpu = choice.gpu is not None
        self._bed = bed
        self._weights = b""  # while it sleeps
        self.can_sleep = self._is_on_gpu and bed.is_whole
        self._take(session, choice)
        self._inputs = inputs
        self._outputs = outputs
        self._input_names = [tensor.name for tensor in inputs]
        self._names: dict[tuple[int, ...], list[str]] = {}
        self._texts = [i for i, tensor in enumerate(inputs) if tensor.dtype is DType.BYTES]
        self._has_optional = any(tensor.is_optional for tensor in spec.inputs)
        dtypes = {tensor.dtype for tensor in (*inputs, *outputs)}
        has_bytes = DType.BYTES in dtypes
        self._must_bind = DType.BF16 in dtypes or (self._is_on_gpu and not has_bytes)
        self._may_bind = not has_bytes and (self._must_bind or not self._is_always_small())
        if self._must_bind and not self._may_bind:
            raise LoadError("a model with both BF16 and BYTES tensors cannot be served")
        self._predictions: dict[
            tuple[tuple[Shape, ...], tuple[int, ...]], tuple[Shape | None, ...] | None
        ] = {}

    @property
    def spec(self) -> ModelSpec:
        """See contract.LoadedModel."""
        return self._spec

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """See contract.LoadedModel."""
        wanted = tuple(outputs)
        names = self._names.get(wanted) or self._name(wanted)
        try:
            if self._may_bind:
                predicted = self._predict(inputs, wanted, rows)
                if predicted is not None or self._must_bind:
                    return self._run_predicted(inputs, wanted, predicted, memory)
            if self._texts:
                inputs = self._decoded(inputs)
            feed = dict(zip(self._input_names, inputs, strict=True))
            if self._has_optional:
                feed = {name: array for name, array in feed.items() if array is not ABSENT}
            results: Sequence[Array] = self._run(names, feed, None)
        except InvalidArgument as error:
            # Shapes and datatypes were checked: what is left are values, an index out of range for one.
            raise BadInput(one_line(error)) from None
        except Exception as error:
            if self._is_on_gpu and is_fatal(str(error)):
                raise EngineBroken(one_line(error)) from None
            raise
        return results

    def _take(self, session: Any, choice: Choice) -> None:
        self._bind_inputs = self._bed.binder(choice)
        self._session = session
        # The public run() checks the names again and defers to this; both take the same arguments.
        self._run = getattr(session, "_sess", session).run

    def sleep(self) -> None:
        """See contract.SleepingModel. Inputs' memory on the device goes with what binds it."""
        self._weights = self._bed.file.read_bytes()
        del self._session, self._run, self._bind_inputs

    def wake(self) -> None:
        """See contract.SleepingModel."""
        session, choice = self._bed.open(self._weights)
        if choice.gpu is None:
            raise LoadError(choice.note)
        self._take(session, choice)
        self._weights = b""

    def close(self) -> None:
        """See contract.LoadedModel."""
        if not self._weights:
            del self._session, self._run

    def _name(self, wanted: tuple[int, ...]) -> list[str]:
        names = self._names[wanted] = [self._outputs[ordinal].name for ordinal in wanted]
        return names

    def _decoded(self, inputs: Sequence[Array]) -> list[Array]:
        return [
            _decode(self._input_names[i], array) if i in self._texts and array is not ABSENT else array
            for i, array in enumerate(inputs)
        ]

    # ---- large outputs --------------------------------------------------------------------------

    def _is_always_small(self) -> bool:
        """True if no output can be large, so that no run needs to look at shapes."""
        rows = max(1, self._spec.max_batch_size)
        shapes = [
            (rows, *spec.shape) if self._spec.max_batch_size else spec.shape for spec in self._spec.outputs
        ]
        return all(
            min(shape, default=1) >= 0 and prod(shape) * ITEM_SIZE[spec.dtype] <= LARGE_BYTES
            for shape, spec in zip(shapes, self._spec.outputs, strict=True)
        )

    def _predict(
        self, inputs: Sequence[Array], wanted: tuple[int, ...], rows: int
    ) -> tuple[Shape | None, ...] | None:
        key = (tuple([array.shape for array in inputs]), wanted)
        if key not in self._predictions:
            if len(self._predictions) >= _MAX_PREDICTIONS:
                self._predictions.clear()
            self._predictions[key] = self._predicted(key[0], wanted, rows)
        return self._predictions[key]

    def _predicted(
        self, shapes: tuple[Shape, ...], wanted: tuple[int, ...], rows: int
    ) -> tuple[Shape | None, ...] | None:
        if self._has_optional:  # what is left out has no shape
            return None
        batch = rows if self._spec.max_batch_size else None
        found: list[Shape | None] = []
        for tensor in (self._outputs[ordinal] for ordinal in wanted):
            shape = resolve(self._inputs, shapes, tensor, rows=batch)
            is_large = shape is not None and prod(shape) * ITEM_SIZE[tensor.dtype] > LARGE_BYTES
            found.append(shape if is_large else None)
        return tuple(found) if any(found) else None

    def _run_predicted(
        self,
        inputs: Sequence[Array],
        wanted: tuple[int, ...],
        predicted: tuple[Shape | None, ...] | None,
        memory: OutputMemory,
    ) -> Sequence[Array]:
        unbound: tuple[Shape | None, ...] = (None,) * len(wanted)
        if predicted is None:
            return self._run_bound(inputs, wanted, unbound, memory)
        try:
            return self._run_bound(inputs, wanted, predicted, memory)
        except RuntimeError:
            # The file's symbols may be wrong, which the engine finds only now; a true failure repeats.
            results = self._run_bound(inputs, wanted, unbound, memory)
        self._predictions[tuple([array.shape for array in inputs]), wanted] = None
        return results

    def _run_bound(
        self,
        inputs: Sequence[Array],
        wanted: tuple[int, ...],
        shapes: tuple[Shape | None, ...],
        memory: OutputMemory,
    ) -> Sequence[Array]:
        binding = self._session.io_binding()
        kept = [array if array is ABSENT else np.ascontiguousarray(array) for array in inputs]
        there = [place for place, array in enumerate(kept) if array is not ABSENT]
        self._bind_inputs(binding, [self._inputs[place] for place in there], [kept[place] for place in there])
        results = [
            self._bind_output(binding, self._outputs[ordinal], shape, memory)
            for ordinal, shape in zip(wanted, shapes, strict=True)
        ]
        self._session.run_with_iobinding(binding)
        values = binding.get_outputs()
        return [
            _copy(value, self._outputs[ordinal].dtype) if result is None else result
            for value, ordinal, result in zip(values, wanted, results, strict=True)
        ]

    @staticmethod
    def _bind_output(
        binding: Any, tensor: FileTensor, shape: Shape | None, memory: OutputMemory
    ) -> Array | None:
        """Memory that the output will be in; None where the engine allocates it."""
        array = None if shape is None else memory.array(NUMPY[tensor.dtype], shape)
        if array is None:
            binding.bind_output(tensor.name, "cpu")
        else:
            kind = ELEMENT_TYPES[tensor.dtype]
            binding.bind_output(tensor.name, "cpu", 0, kind, array.shape, array.ctypes.data)
        return array


def _copy(value: Any, dtype: DType) -> Array:
    """The engine's own output as an array; by its address, for numpy cannot take BF16 otherwise."""
    shape = tuple(value.shape())
    size = prod(shape) * ITEM_SIZE[dtype]
    return np.frombuffer(ctypes.string_at(value.data_ptr(), size), NUMPY[dtype]).reshape(shape)


def _decode(name: str, array: Array) -> Array:
    """BYTES as the engine wants them: str; raises BadInput."""
    try:
        texts = [element.decode() for element in array.ravel().tolist()]
    except UnicodeDecodeError:
        raise BadInput(f"input '{name}' has an element that is not UTF-8") from None
    decoded: Array = np.empty(len(texts), object)
    decoded[:] = texts
    return decoded.reshape(array.shape)
