"""Which argument of forward() an input is, and which of its results an output: by their names; all pure.

The conventions are those of Triton's PyTorch backend: inputs are called as the arguments, or
"<anything>__<position>"; outputs "<anything>__<position>", or as the keys where a dict comes back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.runtimes.contract import LoadError

_POSITION = re.compile(r".+__([0-9]{1,4})")


class Argument(NamedTuple):
    """One argument of forward(), without self."""

    name: str
    is_optional: bool = False


def check(spec: ModelSpec) -> None:
    """Raises LoadError for a signature that these files cannot have, or that nobody told."""
    if not spec.inputs or not spec.outputs:
        raise LoadError("config.pbtxt must name the inputs and outputs: the file does not tell their shapes")
    for tensor in (*spec.inputs, *spec.outputs):
        if tensor.is_optional:
            raise LoadError(f"input '{tensor.name}' is optional, which a PyTorch model's cannot be here")
        if tensor.dtype is DType.BYTES:
            raise LoadError(f"tensor '{tensor.name}' is BYTES, which PyTorch does not have")


def _positions(names: Sequence[str]) -> list[int] | None:
    found = [_POSITION.fullmatch(name) for name in names]
    return [int(one[1]) for one in found if one] if all(found) else None


def order_inputs(names: Sequence[str], arguments: Sequence[Argument]) -> tuple[int, ...]:
    """For each argument that is passed, in order, the index of its input; raises LoadError."""
    known = [argument.name for argument in arguments]
    positions = _positions(names)
    if set(names) <= set(known):
        positions = [known.index(name) for name in names]
    elif positions is None and len(names) == 1:
        positions = [0]
    if positions is None:
        raise LoadError(
            f"the inputs must be called as forward's arguments ({', '.join(known)}) or "
            f"<name>__0, <name>__1 and so on, not {', '.join(names)}"
        )
    if sorted(positions) != list(range(len(names))) or len(names) > len(arguments):
        raise LoadError(f"the inputs are not the first of forward's arguments ({', '.join(known)})")
    needed = [argument.name for argument in arguments[len(names) :] if not argument.is_optional]
    if needed:
        raise LoadError(f"the configuration lacks an input for forward's argument '{needed[0]}'")
    return tuple(positions.index(position) for position in range(len(names)))


def pick_outputs(names: Sequence[str], *, gives_dict: bool) -> tuple[int | str, ...]:
    """For each output the position or the key of its result; raises LoadError."""
    if gives_dict:
        return tuple(names)
    positions = _positions(names)
    if positions is None and len(names) == 1:
        positions = [0]
    if positions is None:
        raise LoadError(f"the outputs must be called <name>__0, <name>__1 and so on, not {', '.join(names)}")
    if len(set(positions)) < len(positions):
        raise LoadError(f"two outputs have the same position: {', '.join(names)}")
    return tuple(positions)
