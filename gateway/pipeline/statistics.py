"""What was counted of models, by all fronts together: asked of the controller, which adds them up.

DESIGN: an answer holds everything that was answered, by any front, before it was asked for: the
controller lets every front hand over its newest counters first, one packet each there and back. Clients
read statistics before and after a measurement, and take the difference for the truth. Rejected: the
sums of the last second (a client would miss its own requests), and fronts that talk to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from gateway.control.questions import Answer, GetStatistics, Statistics
from gateway.core.errors import GatewayError
from gateway.core.messages import Ticket
from gateway.core.model import ModelKey
from gateway.core.statistics import VersionStatistics
from gateway.pipeline.asking import Asks
from gateway.pipeline.turns import in_turns

# More than the controller waits for fronts (lifecycle.desk.SYNC_S), so that its reason is told.
STATISTICS_S = 12.0

Counted = Callable[[tuple[VersionStatistics, ...] | GatewayError], None]
AskStatistics = Callable[[str, tuple[ModelKey, ...], Counted], Ticket | None]


def ask_statistics(asks: Asks, model: str, keys: tuple[ModelKey, ...], counted: Counted) -> Ticket | None:
    """Tells of exactly `keys`, in their order, zeros for those never called; `model` "" if of several."""
    return asks.ask(GetStatistics(model), STATISTICS_S, partial(_heard, keys, counted))


def _heard(keys: tuple[ModelKey, ...], counted: Counted, answer: Answer | GatewayError) -> None:
    match answer:
        case GatewayError():
            counted(answer)
        case Statistics(parts):
            in_turns(_decode, parts, partial(_read, keys, counted))
        case _:
            counted(GatewayError(f"the controller answered with {type(answer).__name__}"))


def _read(
    keys: tuple[ModelKey, ...],
    counted: Counted,
    parts: list[tuple[VersionStatistics, ...]] | GatewayError,
) -> None:
    if isinstance(parts, GatewayError):
        counted(parts)
        return
    found = {ModelKey(one.name, one.version): one for part in parts for one in part}
    counted(tuple([found.get(key) or VersionStatistics(key.name, key.version) for key in keys]))


_decode: Callable[[bytes], tuple[VersionStatistics, ...]] = msgspec.msgpack.Decoder(
    tuple[VersionStatistics, ...]
).decode
