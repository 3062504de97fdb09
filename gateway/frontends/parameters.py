"""What a request's `parameters` mean, whatever protocol they came by.

Reserved by the protocol: `priority`, `timeout` (microseconds) and `binary_data_output` are honoured, the
first two as the model's queue policy says (scheduling.queue_policy); `sequence_*` is checked, and handed
on where it says anything. `keep_alive`, a word of ours, tells how long the model is to stay loaded. All
other keys belong to the model and are handed on. Of an output's parameters `classification` asks for the
highest elements instead of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, isfinite
from typing import NamedTuple

from gateway.core.errors import InvalidInput, Unsupported
from gateway.core.messages import NO_PARAMETERS, SEQUENCE_PARAMETERS, Parameter
from gateway.core.scaling import KEEP_ALIVE, parse_keep_alive
from gateway.core.sequence import MAX_ID_BYTES
from gateway.frontends.content_types import CONTENT_TYPE, request_type, tensor_type

# A hundred years: what is beyond it is no timeout, and float seconds stay exact to 1 us below it.
MAX_TIMEOUT_US = 100 * 366 * 86_400 * 1_000_000

# More than any model has classes; bounds what an answer can be asked to hold.
MAX_CLASSES = 1_000_000


class RequestParameters(NamedTuple):
    """`custom` goes to the model; `timeout_s` is inf and `priority` 0 where none was set."""

    custom: Mapping[str, Parameter] = NO_PARAMETERS
    timeout_s: float = inf
    binary_data_output: bool = False
    priority: int = 0


PLAIN = RequestParameters()


def read_parameters(items: Iterable[tuple[str, object]], ignored: str = "") -> RequestParameters:
    """Sorts a request's parameters; raises InvalidInput or Unsupported. `ignored`: one key to skip."""
    custom: dict[str, Parameter] = {}
    timeout_s, binary, priority = inf, False, 0
    for key, value in items:
        if key == ignored:
            continue
        if key == "priority":
            priority = _priority(value)
        elif key == "timeout":
            timeout_s = _timeout_s(value)
        elif key == KEEP_ALIVE:
            custom[key] = _keep_alive(value)
        elif key == CONTENT_TYPE:
            request_type(value)
            custom[key] = _scalar(key, value)
        elif key == "binary_data_output":
            binary = read_flag("parameter", key, value)
        else:
            _refuse_reserved(key)
            if key not in SEQUENCE_PARAMETERS:
                custom[key] = _scalar(key, value)
            elif told := _sequence(key, value):
                custom[key] = told
    return RequestParameters(custom or NO_PARAMETERS, timeout_s, binary, priority)


def read_output_parameters(output: str, items: Iterable[tuple[str, object]]) -> dict[str, Parameter]:
    """An output's parameters, checked; raises InvalidInput or Unsupported."""
    found: dict[str, Parameter] = {}
    for key, value in items:
        if key == "shared_memory_region":
            raise Unsupported(f"output '{output}': client shared memory is disabled")
        if key == CONTENT_TYPE:
            tensor_type(f"output '{output}'", value)
        if key == "classification":
            _check_class_count(output, value)
        found[key] = _scalar(key, value)
    return found


def _check_class_count(output: str, value: object) -> None:
    if type(value) is not int or not 1 <= value <= MAX_CLASSES:
        raise InvalidInput(f"output '{output}': 'classification' must be an integer of 1 to {MAX_CLASSES}")


def read_flag(where: str, key: str, value: object) -> bool:
    """`value`, which must be true or false."""
    if not isinstance(value, bool):
        raise InvalidInput(f"{where}: '{key}' must be true or false")
    return value


def _sequence(key: str, value: object) -> Parameter:
    """A parameter of a sequence; 0, "" or False where it says nothing."""
    if key != "sequence_id":
        return read_flag("parameter", key, value)
    if isinstance(value, str) and is_text(value) and len(value.encode()) <= MAX_ID_BYTES:
        return value
    if type(value) is int and 0 <= value < 1 << 64:
        return value
    raise InvalidInput(
        f"parameter 'sequence_id' must be an integer of 0 to {(1 << 64) - 1}, or a text of at most "
        f"{MAX_ID_BYTES} bytes"
    )


def _refuse_reserved(key: str) -> None:
    if key.startswith("triton_"):
        raise InvalidInput(
            "parameter keys starting with 'triton_' are reserved for Triton usage "
            "and should not be specified."
        )
    if key == "headers":
        raise InvalidInput("parameter 'headers' is reserved and should not be specified")


def _priority(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise InvalidInput("parameter 'priority' must be an integer >= 0")
    return value


def _keep_alive(value: object) -> float:
    try:
        return parse_keep_alive(value)
    except ValueError as error:
        raise InvalidInput(f"parameter '{KEEP_ALIVE}' {error}") from None


def _timeout_s(value: object) -> float:
    if type(value) is not int or not 0 <= value <= MAX_TIMEOUT_US:
        raise InvalidInput(f"parameter 'timeout' must be an integer of 0 to {MAX_TIMEOUT_US} microseconds")
    return value / 1e6 if value else inf


def is_text(value: str) -> bool:
    """False for a string with half of a surrogate pair, which JSON can spell and nothing can carry on."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _scalar(key: str, value: object) -> Parameter:
    if not is_text(key) or (isinstance(value, str) and not is_text(value)):
        raise InvalidInput("parameters must be Unicode text")
    if isinstance(value, float) and not isfinite(value):
        raise InvalidInput(f"parameter '{key}' is not a finite number")
    if isinstance(value, bool | int | float | str):
        return value
    raise InvalidInput(f"parameter '{key}' must be a boolean, a number or a string")
