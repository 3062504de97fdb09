"""Models written in Python: a class of `gateway.model`, or a file for Triton's Python backend.

DESIGN: a model.py is run as it is, in the worker that serves it and nowhere else, after the fork: it
may start threads, change the interpreter and exit. A joined batch is one call, whichever kind of class
answers it, so both kinds come down to `Body.run` on arrays by name.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import msgspec
import numpy as np

from gateway.core import placement
from gateway.core.clock import monotonic_s
from gateway.core.environment import FOLDER_OPTION, PRELOAD
from gateway.core.errors import InvalidInput
from gateway.core.model import ModelSpec
from gateway.core.sequence import FAULT, IDENTITY, STEP
from gateway.model import CallFailed, Context, Model
from gateway.runtimes import environment as environments
from gateway.runtimes.answers import Answers, give, in_order
from gateway.runtimes.calls import Desk
from gateway.runtimes.contract import (
    ABSENT,
    Array,
    BadInput,
    LoadError,
    ModelFailed,
    OutputMemory,
    Responses,
    StreamEnded,
    one_line,
)
from gateway.runtimes.event_loop import WorkerLoop
from gateway.runtimes.gpus import fault_of, fault_of_options, visible_here
from gateway.runtimes.python_gateway import DeskGateway
from gateway.runtimes.python_source import import_file
from gateway.runtimes.requirements import check_requirements
from gateway.runtimes.sequence_signature import with_sequence
from gateway.runtimes.tracebacks import Tracebacks
from gateway.runtimes.triton_python import adapter, utils

_NOT_THE_MODELS = frozenset({"default_model_filename", FOLDER_OPTION, PRELOAD}) | placement.OPTIONS
# What only a file for Triton can ask for.
_HIDDEN = frozenset({STEP.name, IDENTITY.name})


class Body(Protocol):
    """A model of either kind."""

    def run(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> Mapping[str, Array]:
        """At least the wanted outputs by name; any exception fails the batch."""

    def stream(self, inputs: Mapping[str, Array], wanted: Sequence[str], answers: Answers) -> None:
        """Gives `answers` all answers to one request, instead of `run`, where the spec is decoupled."""

    @property
    def can_sleep(self) -> bool:
        """True where its class has methods `sleep` and `wake`."""

    def sleep(self) -> None:
        """See contract.SleepingModel."""

    def wake(self) -> None:
        """See contract.SleepingModel."""

    def close(self) -> None:
        """Lets the model end what it holds."""


class PythonRuntime:
    """Implements contract.Runtime; `options` are the model's own parameters."""

    def load(
        self,
        path: Path,
        spec: ModelSpec,
        options: Mapping[str, str],
        *,
        max_batch_known: bool,
        default_max_batch_size: int,
    ) -> PythonModel:
        """See contract.Runtime."""
        file = options.get("default_model_filename", "model.py")
        if Path(file).name != file or not (path / file).is_file():
            raise LoadError(f"there is no file '{Path(file).name}' in the version's folder")
        if spec.isolation == "inline":
            raise LoadError(f"'{file}' is code and never runs in a front: gateway.isolation inline")
        place = placement.place_of(options)
        if fault := fault_of_options(options, {"cpu", "gpu"}) or fault_of(place, visible_here()):
            raise LoadError(fault)
        parameters = {key: value for key, value in options.items() if key not in _NOT_THE_MODELS}
        environment = environments.enter(options, path.parent)
        check_requirements(
            path, f"environment '{environment.name}'" if environment else "the gateway's environment"
        )
        tracebacks = Tracebacks(f"python model {spec.key}", monotonic_s)
        loop, desk = WorkerLoop(), Desk()
        # What a model prints belongs in the log, not between the lines of `gateway serve`.
        sys.stdout = sys.stderr
        with _refusing(file, path, tracebacks):
            utils.offer(str(spec.key), str(path), desk)
            kind = find_class(import_file(path, file, spec.version), file)
            if not issubclass(kind, Model):
                spec = adapter.complete(kind, spec, parameters, file, max_batch_known=max_batch_known)
            if issubclass(kind, Model) and is_generator(kind.infer):
                spec = msgspec.structs.replace(spec, decoupled=True)
            _check_signature(spec, has_completion=hasattr(kind, "auto_complete_config"))
            context = _context(spec, parameters, path, desk)
            body = _start(kind, spec, context, file, loop.settle, place)
        note = f"in environment '{environment.name}'" if environment else ""
        return PythonModel(body, with_sequence(spec), loop, tracebacks, desk, note)


@contextmanager
def _refusing(file: str, path: Path, tracebacks: Tracebacks) -> Generator[None]:
    """Whatever the file raises becomes a LoadError; its traceback goes to the log."""
    try:
        yield
    except LoadError:
        raise
    except (Exception, SystemExit) as error:  # ruff: ignore[blind-except] - it may raise anything
        tracebacks.write(error)
        raise LoadError(f"{file}: {type(error).__name__}: {one_line(error, str(path))}") from None


def find_class(module: ModuleType, file: str) -> type[Any]:
    """The one class of `module` to serve; raises LoadError, also for what it cannot do yet."""
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Model) and value.__module__ == module.__name__
    ]
    found: list[type[Any]] = [one for one in own if not any(one in other.__mro__[1:] for other in own)]
    for_triton = getattr(module, adapter.CLASS_NAME, None)
    if isinstance(for_triton, type) and for_triton not in found:
        found.append(for_triton)
    if len(found) != 1:
        names = ", ".join(sorted(one.__name__ for one in found))
        raise LoadError(
            f"'{file}' has several models, must be one: {names}"
            if found
            else f"'{file}' has no class derived from gateway.model.Model and no {adapter.CLASS_NAME}"
        )
    sleeps = [name for name in ("sleep", "wake") if _has_own(found[0], name)]
    if len(sleeps) == 1:
        raise LoadError(f"{found[0].__name__} has a method '{sleeps[0]}' and must have both: sleep, wake")
    method = "infer" if issubclass(found[0], Model) else "execute"
    _check_method(found[0], method)
    return found[0]


def _has_own(kind: type[Any], name: str) -> bool:
    """True where a class has a method that does something, which Model's own do not."""
    return getattr(kind, name, None) is not getattr(Model, name) and hasattr(kind, name)


def _check_method(kind: type[Any], name: str) -> None:
    method = getattr(kind, name, None)
    if method is None:
        raise LoadError(f"{kind.__name__} has no method '{name}'")
    if name == "execute" and is_generator(method):
        raise LoadError(
            f"{kind.__name__}.{name} is a generator: a decoupled model answers by a response sender"
        )


def is_generator(method: object) -> bool:
    """True for a method that gives its answers one by one."""
    return inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method)


def _check_signature(spec: ModelSpec, *, has_completion: bool) -> None:
    missing = [kind for kind, tensors in (("inputs", spec.inputs), ("outputs", spec.outputs)) if not tensors]
    if missing:
        who = "neither config.pbtxt nor auto_complete_config names" if has_completion else ""
        who = who or "config.pbtxt does not name"
        raise LoadError(f"{who} the model's {' and '.join(missing)}")


def _start(
    kind: type[Any],
    spec: ModelSpec,
    context: Context,
    file: str,
    settle: Callable[[Any], Any],
    place: placement.Place,
) -> Body:
    model = kind()
    if isinstance(model, Model):
        settle(model.load(context))
        return OwnModel(model, settle)
    if hasattr(model, "initialize"):
        settle(model.initialize(adapter.arguments(spec, context.parameters, context.folder, file, place)))
    return adapter.TritonModel(model, spec, settle)


def _context(spec: ModelSpec, parameters: Mapping[str, str], path: Path, desk: Desk) -> Context:
    return Context(
        path,
        spec.name,
        spec.version,
        parameters,
        spec.inputs,
        spec.outputs,
        spec.max_batch_size,
        DeskGateway(desk),
    )


class OwnModel:
    """Implements Body for a class of gateway.model."""

    def __init__(self, model: Model, settle: Callable[[Any], Any]) -> None:
        self._model = model
        self._settle = settle

    def run(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> Mapping[str, Array]:
        """See Body. Of a request's sequence a model is told what its controls are for."""
        shown = {name: array for name, array in inputs.items() if name not in _HIDDEN}
        answers = self._settle(self._model.infer(shown))
        if not isinstance(answers, Mapping):
            raise ModelFailed(f"infer returned {type(answers).__name__}, not a dict of arrays by name")
        return answers if STEP.name not in inputs else {**answers, FAULT.name: _no_faults(inputs[STEP.name])}

    def stream(self, inputs: Mapping[str, Array], wanted: Sequence[str], answers: Answers) -> None:
        """See Body."""
        give(self._model.infer(dict(inputs)), answers, self._settle)

    @property
    def can_sleep(self) -> bool:
        """See Body."""
        return _has_own(type(self._model), "sleep")

    def sleep(self) -> None:
        """See Body."""
        self._settle(self._model.sleep())

    def wake(self) -> None:
        """See Body."""
        self._settle(self._model.wake())

    def close(self) -> None:
        """See Body."""
        self._settle(self._model.unload())


def _no_faults(steps: Array) -> Array:
    """A class of ours answers for all rows of a batch, or raises for all of them."""
    return np.full((*steps.shape[:-1], 1), b"", object)


class PythonModel:
    """Implements contract.LoadedModel."""

    def __init__(
        self,
        body: Body,
        spec: ModelSpec,
        loop: WorkerLoop,
        tracebacks: Tracebacks,
        desk: Desk,
        note: str = "",
    ) -> None:
        self.desk: Desk | None = desk
        self.note = note
        self._body = body
        self._spec = spec
        self._loop = loop
        self._tracebacks = tracebacks
        self._input_names = [tensor.name for tensor in spec.inputs]
        self._has_optional = any(tensor.is_optional for tensor in spec.inputs)

    @property
    def spec(self) -> ModelSpec:
        """See contract.LoadedModel."""
        return self._spec

    @property
    def can_sleep(self) -> bool:
        """See contract.SleepingModel."""
        return self._body.can_sleep

    def sleep(self) -> None:
        """See contract.SleepingModel."""
        self._tracing(self._body.sleep)

    def wake(self) -> None:
        """See contract.SleepingModel."""
        self._tracing(self._body.wake)

    def _tracing(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._tracebacks.write(error)
            raise

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """See contract.LoadedModel."""
        specs = [self._spec.outputs[ordinal] for ordinal in outputs]
        try:
            answers = self._body.run(self._by_name(inputs), [spec.name for spec in specs])
        except Exception as error:  # ruff: ignore[blind-except] - a model may raise anything; it is raised anew
            raise self._told(error) from None
        return in_order(answers, specs)

    def stream(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, responses: Responses
    ) -> None:
        """See contract.StreamingModel."""
        specs = [self._spec.outputs[ordinal] for ordinal in outputs]
        answers = Answers(specs, responses)
        try:
            self._body.stream(self._by_name(inputs), [spec.name for spec in specs], answers)
        except Exception as error:  # ruff: ignore[blind-except] - a model may raise anything; it is raised anew
            raise self._told(error) from None

    def _by_name(self, inputs: Sequence[Array]) -> dict[str, Array]:
        named = zip(self._input_names, inputs, strict=True)
        if self._has_optional:
            return {name: array for name, array in named if array is not ABSENT}
        return dict(named)

    def _told(self, error: Exception) -> Exception:
        """What the batch fails with; in the log too, unless it blames the caller or says why itself."""
        if isinstance(error, InvalidInput):
            return BadInput(error.text)
        if isinstance(error, CallFailed):
            return ModelFailed(f"a model that this one calls: {error.text}")
        if not isinstance(error, BadInput | ModelFailed | StreamEnded):
            self._tracebacks.write(error)
        return error

    def close(self) -> None:
        """See contract.LoadedModel. A model that cannot end in order is ended by the worker's exit."""
        try:
            self._body.close()
        except Exception as error:  # ruff: ignore[blind-except] - the worker goes on ending; it is in the log
            self._tracebacks.write(error)
        with suppress(Exception):
            self._loop.close()
