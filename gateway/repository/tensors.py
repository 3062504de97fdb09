"""input and output of config.pbtxt to what the gateway knows of tensors."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from gateway.core.tensor_spec import TensorSpec
from gateway.generated import model_config_pb2 as pb
from gateway.repository.refusal import ConfigRefused, dtype_of, in_range, plain_file_name, shape_of

MAX_TENSORS = 1024
MAX_NAME = 1024

Message = pb.ModelInput | pb.ModelOutput


def read_tensors(kind: str, messages: Iterable[Message], rows: int) -> tuple[TensorSpec, ...]:
    """The tensors of one direction, for at most `rows` rows; raises ConfigRefused."""
    tensors = tuple(_read(f"{kind}[{index}]", message, rows) for index, message in enumerate(messages))
    in_range(f"{kind}: number of tensors", len(tensors), 0, MAX_TENSORS)
    names = [tensor.name for tensor in tensors]
    if len(set(names)) < len(names):
        raise ConfigRefused(kind, "two tensors have the same name")
    return tensors


def read_label_files(outputs: Iterable[pb.ModelOutput]) -> dict[str, str]:
    """The names of the files with class labels, by output; raises ConfigRefused."""
    return {
        output.name: plain_file_name(f"output[{index}].label_filename", output.label_filename)
        for index, output in enumerate(outputs)
        if output.label_filename
    }


def tensor_name(field: str, name: str) -> str:
    """`name`; raises ConfigRefused where it could not be a tensor's."""
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ConfigRefused(field, f"must be 1 to {MAX_NAME} printable characters")
    return name


def _read(at: str, message: Message, rows: int) -> TensorSpec:
    tensor_name(f"{at}.name", message.name)
    dims = shape_of(f"{at}.dims", tuple(message.dims), rows, least=1)
    # What the order of the axes means is between the model and its callers: it is only told on.
    if isinstance(message, pb.ModelInput) and message.format and len(dims) != 3:
        name = pb.ModelInput.Format.Name(message.format)
        raise ConfigRefused(f"{at}.format", f"{name} needs 3 dims, there are {len(dims)}")
    dtype = dtype_of(f"{at}.data_type", message.data_type)
    is_optional = isinstance(message, pb.ModelInput) and message.optional
    return TensorSpec(message.name, dtype, dims, _reshape(f"{at}.reshape", message, dims, rows), is_optional)


def _reshape(field: str, message: Message, dims: tuple[int, ...], rows: int) -> tuple[int, ...] | None:
    if not message.HasField("reshape"):
        return None
    shape = shape_of(f"{field}.shape", tuple(message.reshape.shape), rows, least=0)
    if _runs(shape) != _runs(dims):
        raise ConfigRefused(
            field, f"{list(shape)} has not the elements of dims {list(dims)}, between each -1 and the next"
        )
    return None if shape == dims else shape


def _runs(shape: tuple[int, ...]) -> list[int]:
    """How many elements lie between the free dimensions: equal for shapes that can stand for each other."""
    runs: list[list[int]] = [[]]
    for dim in shape:
        if dim == -1:
            runs.append([])
        else:
            runs[-1].append(dim)
    return [prod(run) for run in runs]
