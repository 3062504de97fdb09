"""The statistics extension over HTTP: GET /v2/models/stats and …/{model}[/versions/{version}]/stats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import orjson

from gateway.core.errors import GatewayError
from gateway.core.statistics import BatchStatistics, ResponseStatistics, Spent, VersionStatistics
from gateway.frontends.v2_rest.errors import JSON, answer_error
from gateway.pipeline.service import InferenceService
from gateway.pipeline.turns import in_turns
from gateway.wire.exchange import Exchange

# Entries a turn of the loop: 0.3 ms for those that nobody called, 3 for others.
SLICE = 100
# No answer comes from a cache.
_NEVER = {"count": 0, "ns": 0}


def tell_statistics(service: InferenceService, model: str, version: int | str, exchange: Exchange) -> None:
    """Answers with what was counted; `model` "" is all of them."""
    ticket = service.statistics(model, version, partial(_counted, exchange), exchange.caller)
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
        exchange.respond(200, (JSON,), b'{"model_stats":[' + b",".join(result) + b"]}")


def encode_slice(entries: Sequence[VersionStatistics]) -> bytes:
    """What stands of `entries` in the body's list; numbers are numbers, also those of 64 bits."""
    return orjson.dumps([_version(entry) for entry in entries])[1:-1]


def _version(entry: VersionStatistics) -> dict[str, object]:
    numbers = _ZEROS if entry.is_empty else _numbers(entry)
    return {"name": entry.name, "version": str(entry.version), **numbers}


def _numbers(entry: VersionStatistics) -> dict[str, object]:
    return {
        "last_inference": entry.last_inference_ms,
        "inference_count": entry.inference_count,
        "execution_count": entry.execution_count,
        "inference_stats": {
            "success": _spent(entry.success),
            "fail": _spent(entry.fail),
            "queue": _spent(entry.queue),
            **_compute(entry),
            "cache_hit": _NEVER,
            "cache_miss": _NEVER,
        },
        "response_stats": {str(one.index): _response(one) for one in entry.responses},
        "batch_stats": [{"batch_size": batch.batch_size, **_compute(batch)} for batch in entry.batches],
        "memory_usage": [
            {"type": one.kind, "id": one.device, "byte_size": one.size_bytes} for one in entry.memory
        ],
    }


def _compute(of: VersionStatistics | BatchStatistics) -> dict[str, object]:
    return {
        "compute_input": _spent(of.compute_input),
        "compute_infer": _spent(of.compute_infer),
        "compute_output": _spent(of.compute_output),
    }


def _response(one: ResponseStatistics) -> dict[str, object]:
    return {
        "compute_infer": _spent(one.success),
        "compute_output": _NEVER,  # it is part of the other
        "success": _spent(one.success),
        "fail": _spent(one.fail),
        "empty_response": _spent(one.empty),
        "cancel": _spent(one.cancel),
    }


def _spent(spent: Spent) -> dict[str, int]:
    return {"count": spent.count, "ns": spent.ns}


# Most models of a large repository: made once, an entry costs 3 us instead of 11.
_ZEROS = _numbers(VersionStatistics("", 0))
