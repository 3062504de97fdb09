"""Does a request fit a model's signature, and with whom may it share a batch: pure, and cached per model."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.errors import InvalidInput
from gateway.core.messages import SEQUENCE_PARAMETERS, InferRequest
from gateway.core.model import ModelSpec
from gateway.core.tensor import Tensor
from gateway.core.tensor_spec import TensorSpec
from gateway.scheduling.pending import Plan
from gateway.workers.plans import Signature

# A caller chooses the shapes, so the number of remembered signatures must be bounded.
_MAX_REMEMBERED = 1024


class Signatures:
    """Plans of one model version, looked up by the request's names, datatypes and shapes."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._plans: dict[object, Plan] = {}

    def plan(self, request: InferRequest) -> Plan:
        """The plan for `request`; raises InvalidInput naming the tensor that does not fit."""
        inputs = request.inputs
        if len(inputs) == 1 and not request.outputs:
            only = inputs[0]
            key: object = (only.name, only.dtype, only.shape)
        else:
            key = _key(request)
        found = self._plans.get(key)
        if found is None:
            found = make_plan(self._spec, request)
            if len(self._plans) >= _MAX_REMEMBERED:
                self._plans.clear()
            self._plans[key] = found
        # Not remembered: a caller makes them up, of any length.
        return apart(found, request) if request.parameters or request.chain else found


def _key(request: InferRequest) -> object:
    return (
        tuple([(tensor.name, tensor.dtype, tensor.shape) for tensor in request.inputs]),
        tuple([output.name for output in request.outputs]),
    )


def apart(plan: Plan, request: InferRequest) -> Plan:
    """`plan`, which shares a batch only with requests of the same parameters, and for whom the same wait.

    A batch calls other models for all of its members: who waits for one of them may not be called.
    """
    return plan._replace(compat=(plan.signature, _parameters(request), request.chain))


def _parameters(request: InferRequest) -> tuple[object, ...]:
    """Hashable, and 1, 1.0 and True told apart; whose sequence a request is matters to its queue alone."""
    return tuple(
        sorted(
            (name, type(value).__name__, value)
            for name, value in request.parameters.items()
            if name not in SEQUENCE_PARAMETERS
        )
    )


def make_plan(spec: ModelSpec, request: InferRequest) -> Plan:
    """Checks names, datatypes, ranks, dimensions and rows; raises InvalidInput naming what is wrong.

    Parameters are not looked at; see `apart`.
    """
    places = _places(spec, request.inputs)
    given = [wanted for wanted in spec.inputs if wanted.name in places]
    tensors = [request.inputs[places[wanted.name]] for wanted in given]
    rows = 1
    if spec.max_batch_size:
        rows = _rows(spec, tensors)
    for wanted, tensor in zip(given, tensors, strict=True):
        _check_tensor(spec, wanted, tensor)
    signature = Signature(
        tuple(
            (tensor.dtype, tensor.shape[1:] if spec.max_batch_size else tensor.shape) for tensor in tensors
        ),
        _outputs(spec, request),
        () if len(given) == len(spec.inputs) else _ordinals(spec, places),
    )
    return Plan(rows, tuple(places[wanted.name] for wanted in given), signature, (signature, ()))


def _ordinals(spec: ModelSpec, places: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(ordinal for ordinal, wanted in enumerate(spec.inputs) if wanted.name in places)


def _places(spec: ModelSpec, inputs: tuple[Tensor, ...]) -> Mapping[str, int]:
    places = {tensor.name: place for place, tensor in enumerate(inputs)}
    if len(places) != len(inputs):
        raise InvalidInput(f"an input is given twice for model '{spec.name}'")
    known = {wanted.name for wanted in spec.inputs}
    for name in places:
        if name not in known:
            raise InvalidInput(
                f"unexpected inference input '{name}' for model '{spec.name}', "
                f"its inputs are {', '.join(sorted(known))}"
            )
    for wanted in spec.inputs:
        if wanted.name not in places and not wanted.is_optional:
            raise InvalidInput(
                f"expected {_number(spec)} inputs but got {len(inputs)} inputs for model "
                f"'{spec.name}': input '{wanted.name}' is missing"
            )
    return places


def _number(spec: ModelSpec) -> str:
    """How many inputs a request must have."""
    most = len(spec.inputs)
    least = sum(not wanted.is_optional for wanted in spec.inputs)
    return f"{most}" if least == most else f"between {least} and {most}"


def _rows(spec: ModelSpec, tensors: list[Tensor]) -> int:
    if not tensors:
        raise InvalidInput(f"a request for model '{spec.name}' needs an input: they tell its batch-size")
    for tensor in tensors:
        if not tensor.shape:
            raise InvalidInput(
                f"input '{tensor.name}' of model '{spec.name}' has no batch dimension: its shape is []"
            )
    counts = {tensor.shape[0] for tensor in tensors}
    if len(counts) != 1:
        raise InvalidInput(f"the inputs of model '{spec.name}' differ in their batch dimension")
    rows = counts.pop()
    if not 1 <= rows <= spec.max_batch_size:
        raise InvalidInput(
            f"inference request batch-size must be 1 to {spec.max_batch_size} for '{spec.name}', got {rows}"
        )
    return rows


def _check_tensor(spec: ModelSpec, wanted: TensorSpec, tensor: Tensor) -> None:
    if tensor.dtype != wanted.dtype:
        raise InvalidInput(
            f"inference input '{wanted.name}' of model '{spec.name}' has datatype "
            f"{tensor.dtype.name}, the model expects {wanted.dtype.name}"
        )
    dims = tensor.shape[1:] if spec.max_batch_size else tensor.shape
    if len(dims) != len(wanted.shape) or any(
        free not in {-1, given} for free, given in zip(wanted.shape, dims, strict=True)
    ):
        expected = [-1, *wanted.shape] if spec.max_batch_size else list(wanted.shape)
        raise InvalidInput(
            f"unexpected shape for input '{wanted.name}' for model '{spec.name}': "
            f"expected {expected}, got {list(tensor.shape)}"
        )


def _outputs(spec: ModelSpec, request: InferRequest) -> tuple[int, ...]:
    if not request.outputs:
        return tuple(range(len(spec.outputs)))
    places = {output.name: place for place, output in enumerate(spec.outputs)}
    wanted = [output.name for output in request.outputs]
    for name in wanted:
        if name not in places:
            raise InvalidInput(f"unexpected inference output '{name}' for model '{spec.name}'")
    if len(set(wanted)) != len(wanted):
        raise InvalidInput(f"an output is requested twice of model '{spec.name}'")
    return tuple(places[name] for name in wanted)
