"""The statistics extension over HTTP: GET /v2/models/stats and …/{model}[/versions/{version}]/stats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import orjson

from gateway.core.errors import GatewayError
from gateway.core.statistics import BatchStatistics, Spent, VersionStatistics
from gateway.frontends.v2_rest.errors import JSON, answer_error
from gateway.pipeline.service import InferenceService
from gateway.wire.exchange import Exchange

# No answer comes from a cache.
_NEVER = {"count": 0, "ns": 0}


def tell_statistics(service: InferenceService, model: str, version: int | str, exchange: Exchange) -> None:
    """Answers with what was counted; `model` "" is all of them."""
    ticket = service.statistics(model, version, partial(_counted, exchange))
    if ticket is not None:
        exchange.on_gone = ticket.cancel


def _counted(exchange: Exchange, result: Sequence[VersionStatistics] | GatewayError) -> None:
    if isinstance(result, GatewayError):
        answer_error(exchange, result)
    else:
        exchange.respond(200, (JSON,), encode_statistics(result))


def encode_statistics(entries: Sequence[VersionStatistics]) -> bytes:
    """The body; numbers are numbers, also those of 64 bits."""
    return orjson.dumps({"model_stats": [_version(entry) for entry in entries]})


def _version(entry: VersionStatistics) -> dict[str, object]:
    numbers = _ZEROS if entry.is_never_called else _numbers(entry)
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
        "response_stats": {},  # of models that answer more than once: there are none yet
        "batch_stats": [{"batch_size": batch.batch_size, **_compute(batch)} for batch in entry.batches],
        "memory_usage": [],
    }


def _compute(of: VersionStatistics | BatchStatistics) -> dict[str, object]:
    return {
        "compute_input": _spent(of.compute_input),
        "compute_infer": _spent(of.compute_infer),
        "compute_output": _spent(of.compute_output),
    }


def _spent(spent: Spent) -> dict[str, int]:
    return {"count": spent.count, "ns": spent.ns}


# Most models of a large repository: made once, an entry costs 3 us instead of 11.
_ZEROS = _numbers(VersionStatistics("", 0))
