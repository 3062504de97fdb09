"""model_warmup of config.pbtxt to the requests that a worker runs before it is ready."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.warmup import Source, Warmup, WarmupInput
from gateway.generated import model_config_pb2 as pb
from gateway.repository.refusal import ConfigRefused, brief, dtype_of, in_range, plain_file_name, shape_of

# Each takes a batch's time before the model is ready, and all of them are told in one packet.
MAX_INPUTS = 256
MAX_BYTES = 32 << 10
MAX_COUNT = 10_000
MAX_ROWS = 1 << 20


def read_warmup(messages: Iterable[pb.ModelWarmup], max_batch_size: int) -> tuple[Warmup, ...]:
    """The warm-up requests in order; raises ConfigRefused."""
    told = list(messages)
    in_range("model_warmup: number of inputs", sum(len(message.inputs) for message in told), 0, MAX_INPUTS)
    in_range("model_warmup: bytes", sum(message.ByteSize() for message in told), 0, MAX_BYTES)
    return tuple(
        _read(f"model_warmup[{index}]", message, max_batch_size) for index, message in enumerate(told)
    )


def _read(at: str, message: pb.ModelWarmup, max_batch_size: int) -> Warmup:
    # Whether a model without max_batch_size batches may be known to its file only: the worker checks.
    rows = in_range(f"{at}.batch_size", message.batch_size, 0, max_batch_size or MAX_ROWS) or 1
    count = in_range(f"{at}.count", message.count, 0, MAX_COUNT) or 1
    if not message.inputs:
        raise ConfigRefused(f"{at}.inputs", "must be given")
    inputs = tuple(
        _read_input(f"{at}.inputs['{brief(name)}']", name, message.inputs[name], rows)
        for name in sorted(message.inputs)
    )
    return Warmup(brief(message.name), rows, count, inputs)


def _read_input(at: str, name: str, message: pb.ModelWarmup.Input, rows: int) -> WarmupInput:
    dims = shape_of(f"{at}.dims", tuple(message.dims), rows, least=1)
    if -1 in dims:
        raise ConfigRefused(f"{at}.dims", "each must be at least 1")
    dtype = dtype_of(f"{at}.data_type", message.data_type)
    source: Source
    match message.WhichOneof("input_data_type"):
        case "zero_data" if message.zero_data:
            source = "zero"
        case "random_data" if message.random_data:
            source = "random"
        case "input_data_file":
            file = plain_file_name(f"{at}.input_data_file", message.input_data_file)
            return WarmupInput(name, dtype, dims, "file", file)
        case _:
            raise ConfigRefused(at, "needs one of zero_data: true, random_data: true, input_data_file")
    return WarmupInput(name, dtype, dims, source)
