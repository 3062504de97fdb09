"""PyTorch, on the CPU or on a GPU: TorchScript (`model.pt`) and exported programs (`model.pt2`).

PyTorch is an optional extra. It starts a thread when it is imported, so no zygote may preload it:
the first seconds of such a worker are that import. Loading either kind of file runs what is in it.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gateway.core.clock import monotonic_s
from gateway.core.dtypes import NUMPY, DType
from gateway.core.model import ModelSpec
from gateway.core.placement import place_of
from gateway.runtimes.contract import Array, EngineBroken, LoadError, ModelFailed, OutputMemory, one_line
from gateway.runtimes.gpus import STICKY, fault_of_options, visible_here
from gateway.runtimes.torch_device import CPU, Choice, choose
from gateway.runtimes.torch_signature import Argument, check, order_inputs, pick_outputs
from gateway.runtimes.tracebacks import Tracebacks

_TRUE, _FALSE = ("true", "1"), ("false", "0")


class Program(NamedTuple):
    """A file in memory, whichever kind it is."""

    call: Callable[..., Any]
    arguments: tuple[Argument, ...]
    gives_dict: bool


class TorchRuntime:
    """Implements contract.Runtime; options are those of Triton's PyTorch backend, by its names."""

    def load(
        self,
        path: Path,
        spec: ModelSpec,
        options: Mapping[str, str],
        *,
        max_batch_known: bool,
        default_max_batch_size: int,
    ) -> TorchModel:
        """See contract.Runtime."""
        file = options.get("default_model_filename", "model.pt")
        if Path(file).name != file or not (path / file).is_file():
            raise LoadError(f"there is no file '{Path(file).name}' in the version's folder")
        if spec.isolation == "inline":
            raise LoadError(f"'{file}' is code and never runs in a front: gateway.isolation inline")
        if fault := fault_of_options(options, {"cpu", "gpu"}):
            raise LoadError(fault)
        check(spec)
        torch = import_torch()
        choice = choose(place_of(options), visible_here(), has_cuda=bool(torch.cuda.is_available()))
        _set_up(torch, options)
        try:
            read = _read_exported if file.endswith(".pt2") else _read_script
            program = read(torch, str(path / file), choice.device)
        except Exception as error:  # ruff: ignore[blind-except] - damaged files fail in many ways
            raise LoadError(f"{file}: {type(error).__name__}: {one_line(error, str(path))}") from None
        is_inference = _flag(options, "INFERENCE_MODE", default=True)
        return TorchModel(torch, program, spec, choice, is_inference=is_inference)


def import_torch() -> Any:
    """The package; raises LoadError where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise LoadError(
            f"PyTorch models need the extra 'torch' (pip install 'model-gateway[torch]'): {one_line(error)}"
        ) from None


def _set_up(torch: Any, options: Mapping[str, str]) -> None:
    """One thread unless told otherwise: a worker is the unit of parallelism here."""
    torch.set_num_threads(int(options.get("INTRA_OP_THREAD_COUNT", "1")))
    if "INTER_OP_THREAD_COUNT" in options:
        torch.set_num_interop_threads(int(options["INTER_OP_THREAD_COUNT"]))
    if _flag(options, "DISABLE_OPTIMIZED_EXECUTION", default=False):
        torch._C._set_graph_executor_optimize(False)


def _flag(options: Mapping[str, str], key: str, *, default: bool) -> bool:
    text = options.get(key, _TRUE[0] if default else _FALSE[0]).lower()
    if text not in {*_TRUE, *_FALSE}:
        raise LoadError(f"parameter '{key}' is '{text[:40]}', must be true or false")
    return text in _TRUE


def _read_script(torch: Any, path: str, device: str) -> Program:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the format's own age: those who have such files know
        module = torch.jit.load(path, map_location=device)
    module.eval()
    schema = module.forward.schema
    arguments = tuple(Argument(one.name, one.has_default_value()) for one in schema.arguments[1:])
    return Program(module, arguments, any(str(one.type).startswith("Dict") for one in schema.returns))


def _read_exported(torch: Any, path: str, device: str) -> Program:
    program = torch.export.load(path)
    if device != CPU:  # what the program itself makes must be there too, which moving its weights does not do
        program = importlib.import_module("torch.export.passes").move_to_device_pass(program, device)
    arguments = tuple(Argument(str(name)) for name in program.graph_signature.user_inputs)
    return Program(program.module(), arguments, program.call_spec.out_spec.type is dict)


class TorchModel:
    """Implements contract.LoadedModel."""

    def __init__(
        self, torch: Any, program: Program, spec: ModelSpec, choice: Choice, *, is_inference: bool
    ) -> None:
        self.note = choice.note
        self._device = choice.device
        self._torch = torch
        self._call = program.call
        self._spec = spec
        self._guard = torch.inference_mode if is_inference else torch.no_grad
        self._order = order_inputs([tensor.name for tensor in spec.inputs], program.arguments)
        self._picks = pick_outputs([tensor.name for tensor in spec.outputs], gives_dict=program.gives_dict)
        self._tracebacks = Tracebacks(f"model {spec.key}", monotonic_s)

    @property
    def spec(self) -> ModelSpec:
        """See contract.LoadedModel."""
        return self._spec

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """See contract.LoadedModel."""
        tensors = [self._tensor(inputs[index], self._spec.inputs[index].dtype) for index in self._order]
        try:
            with self._guard():
                results = self._call(*tensors)
        except Exception as error:  # ruff: ignore[blind-except] - a model may raise anything
            self._tracebacks.write(error)
            if getattr(error, "error_code", None) in STICKY:
                raise EngineBroken(_last_line(error)) from None
            raise ModelFailed(_last_line(error)) from None
        found = results if isinstance(results, tuple | list | dict) else (results,)
        return [self._array(found, ordinal) for ordinal in outputs]

    def close(self) -> None:
        """See contract.LoadedModel."""
        del self._call

    def _tensor(self, array: Array, dtype: DType) -> Any:
        # A copy: PyTorch has no read-only tensors, and a model may write into its arguments.
        if dtype is DType.BF16:
            tensor = self._torch.from_numpy(np.array(array.view(np.int16))).view(self._torch.bfloat16)
        else:
            tensor = self._torch.from_numpy(np.array(array))
        return tensor if self._device == CPU else tensor.to(self._device)

    def _array(self, results: Any, ordinal: int) -> Array:
        spec, pick = self._spec.outputs[ordinal], self._picks[ordinal]
        try:
            result = results[pick]
        except (KeyError, IndexError, TypeError):
            raise ModelFailed(f"the model's answer lacks output '{spec.name}'") from None
        if not isinstance(result, self._torch.Tensor):
            raise ModelFailed(f"output '{spec.name}' is no tensor")
        result = result.detach().cpu().contiguous()
        if result.dtype is self._torch.bfloat16:
            bits: Array = result.view(self._torch.int16).numpy().view(NUMPY[DType.BF16])
            return bits
        array: Array = result.numpy()
        return array


def _last_line(error: BaseException) -> str:
    """What went wrong, without the interpreter's traceback, which quotes the model's source."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(Exception(lines[-1])) if lines else type(error).__name__
