"""The statistics extension over gRPC: ModelStatistics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.model import check_name, parse_version
from gateway.core.statistics import BatchStatistics, ResponseStatistics, Spent, VersionStatistics
from gateway.frontends.v2_grpc.endpoints import answer_message
from gateway.frontends.v2_grpc.errors import answer_error
from gateway.frontends.v2_grpc.metadata import read
from gateway.generated import open_inference_pb2 as pb
from gateway.pipeline.service import InferenceService
from gateway.pipeline.turns import in_turns
from gateway.wire.exchange import Exchange

# Entries a turn of the loop: 0.8 ms for those that nobody called, 5 for others.
SLICE = 100


def tell_statistics(service: InferenceService, message: bytes, exchange: Exchange) -> None:
    """A `Call`: answers with what was counted, of all models where none is named."""
    asked = read(pb.ModelStatisticsRequest, message)
    if asked.version and not asked.name:
        raise InvalidInput("a version is given, and no model's name")
    model = check_name(asked.name) if asked.name else ""
    ticket = service.statistics(
        model, parse_version(asked.version), partial(_counted, exchange), exchange.caller
    )
    if ticket is not None:
        exchange.on_gone = ticket.cancel


def _counted(exchange: Exchange, result: Sequence[VersionStatistics] | GatewayError) -> None:
    if isinstance(result, GatewayError):
        answer_error(exchange, result)
        return
    slices = [result[at : at + SLICE] for at in range(0, len(result), SLICE)]
    turns = in_turns(encode_slice, slices, partial(_encoded, exchange))
    if turns is not None:
        exchange.on_gone = turns.cancel


def _encoded(exchange: Exchange, result: list[bytes] | GatewayError) -> None:
    if isinstance(result, GatewayError):
        answer_error(exchange, result)
    else:
        answer_message(exchange, b"".join(result))


def encode_slice(entries: Sequence[VersionStatistics]) -> bytes:
    """A ModelStatisticsResponse of `entries`; several of them, one behind the other, are one of all."""
    return pb.ModelStatisticsResponse(model_stats=[_version(entry) for entry in entries]).SerializeToString()


def _version(entry: VersionStatistics) -> pb.ModelStatistics:
    if entry.is_empty:
        return pb.ModelStatistics(name=entry.name, version=str(entry.version), inference_stats=_ZEROS)
    return pb.ModelStatistics(
        name=entry.name,
        version=str(entry.version),
        last_inference=entry.last_inference_ms,
        inference_count=entry.inference_count,
        execution_count=entry.execution_count,
        inference_stats=_requests(entry),
        batch_stats=[_batch(batch) for batch in entry.batches],
        memory_usage=[
            pb.MemoryUsage(type=one.kind, id=one.device, byte_size=one.size_bytes) for one in entry.memory
        ],
        response_stats={str(one.index): _response(one) for one in entry.responses},
    )


def _requests(entry: VersionStatistics) -> pb.InferStatistics:
    return pb.InferStatistics(
        success=_spent(entry.success),
        fail=_spent(entry.fail),
        queue=_spent(entry.queue),
        compute_input=_spent(entry.compute_input),
        compute_infer=_spent(entry.compute_infer),
        compute_output=_spent(entry.compute_output),
        cache_hit=pb.StatisticDuration(),  # no answer comes from a cache
        cache_miss=pb.StatisticDuration(),
    )


def _batch(batch: BatchStatistics) -> pb.InferBatchStatistics:
    return pb.InferBatchStatistics(
        batch_size=batch.batch_size,
        compute_input=_spent(batch.compute_input),
        compute_infer=_spent(batch.compute_infer),
        compute_output=_spent(batch.compute_output),
    )


def _response(one: ResponseStatistics) -> pb.InferResponseStatistics:
    return pb.InferResponseStatistics(
        compute_infer=_spent(one.success),
        compute_output=pb.StatisticDuration(),  # it is part of the other
        success=_spent(one.success),
        fail=_spent(one.fail),
        empty_response=_spent(one.empty),
        cancel=_spent(one.cancel),
    )


def _spent(spent: Spent) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=spent.count, ns=spent.ns)


# Most models of a large repository: made once, an entry costs 8 us instead of 25.
_ZEROS = _requests(VersionStatistics("", 0))
