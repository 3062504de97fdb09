"""Why a config.pbtxt is not honoured, and the checks that every part of reading it shares."""

from __future__ import annotations

import re

from gateway.core.dtypes import BY_NAME, DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import MAX_RANK, element_count
from gateway.generated import model_config_pb2 as pb

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ConfigRefused(ValueError):
    """The file cannot be honoured; `text` says field and reason, in one line."""

    def __init__(self, field: str, problem: str) -> None:
        self.text = f"config.pbtxt: {field}: {problem}" if field else f"config.pbtxt: {problem}"
        super().__init__(self.text)


def brief(text: str) -> str:
    """`text` as one printable line of at most 200 characters."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= 200 else f"{line[:197]}..."


def in_range(field: str, value: int, least: int, most: int) -> int:
    """`value`; raises ConfigRefused where it is not in least..most."""
    if not least <= value <= most:
        raise ConfigRefused(field, f"{value} is not in {least}..{most}")
    return value


def plain_file_name(field: str, name: str) -> str:
    """`name`; raises ConfigRefused where it could be anything but a file in one known folder."""
    if not _FILE_NAME.fullmatch(name):
        raise ConfigRefused(field, "must be a plain file name")
    return name


def shape_of(field: str, dims: tuple[int, ...], rows: int, *, least: int) -> tuple[int, ...]:
    """`dims`, the batch axis left out; raises ConfigRefused below `least` dimensions and for absurd ones."""
    # One less than the rank that travels: the batch axis comes on top.
    if not least <= len(dims) < MAX_RANK:
        raise ConfigRefused(field, f"{len(dims)} dimensions, must be {least} to {MAX_RANK - 1}")
    if any(dim < 1 and dim != -1 for dim in dims):
        raise ConfigRefused(field, "each must be -1 or at least 1")
    try:
        element_count(field, (max(1, rows), *(dim for dim in dims if dim > 0)))
    except InvalidInput:
        raise ConfigRefused(field, "more elements than memory can hold") from None
    return dims


def dtype_of(field: str, number: pb.DataType.ValueType) -> DType:
    """The datatype of that number; raises ConfigRefused where there is none."""
    name = pb.DataType.Name(number).removeprefix("TYPE_")
    dtype = BY_NAME.get("BYTES" if name == "STRING" else name)
    if dtype is None:
        raise ConfigRefused(field, "must be given")
    return dtype
