"""What a front may ask the controller, and what it may be answered: tagged types, one union each.

A front knows snapshots only; whatever else a caller wants to know or to change passes through this
door. Questions and answers travel as bytes within `Ask` and `Answered` (see `parcels`), for a model's
files or the index of a large repository fit into no packet.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.core.errors import GatewayError, Reason
from gateway.core.log_settings import LogChange
from gateway.core.trace_settings import TraceChange

# ---- questions ----------------------------------------------------------------------------------


class ModelFile(msgspec.Struct, frozen=True):
    """A file that a caller sends with a load; `path` is "<version>/<name>", not checked yet."""

    path: str
    content: bytes


class GetIndex(msgspec.Struct, frozen=True, tag="get_index"):
    """Every model of the repository; answered by ModelIndex."""


class LoadModel(msgspec.Struct, frozen=True, tag="load_model"):
    """Load every served version of a model; answered by Done once all of them are ready.

    Of an ensemble, all models it calls.

    `config` is a model configuration as JSON that replaces config.pbtxt; `files` replace the folder.
    """

    name: str
    config: str | None = None
    files: tuple[ModelFile, ...] = ()


class UnloadModel(msgspec.Struct, frozen=True, tag="unload_model"):
    """Serve a model no more, until it is loaded again; answered by Done once no front routes to it.

    With `unload_dependents` the models of an ensemble too, whoever else calls them.
    """

    name: str
    unload_dependents: bool = False


class GetStatistics(msgspec.Struct, frozen=True, tag="get_statistics"):
    """What all fronts have counted until now of one model ("" all models); answered by Statistics."""

    model: str = ""


class ChangeTrace(msgspec.Struct, frozen=True, tag="change_trace"):
    """Trace requests of a model ("" all) in another way; answered by Done once every front does."""

    model: str
    change: TraceChange


class ChangeLog(msgspec.Struct, frozen=True, tag="change_log"):
    """Log something else; answered by Done once controller and fronts do."""

    change: LogChange


Question = GetIndex | LoadModel | UnloadModel | GetStatistics | ChangeTrace | ChangeLog

# ---- answers ------------------------------------------------------------------------------------

IndexState = Literal["READY", "UNAVAILABLE", "LOADING", "UNLOADING", "UNKNOWN"]


class IndexEntry(msgspec.Struct, frozen=True):
    """One version of one model in the index; `version` 0 where the model has none."""

    name: str
    version: int
    state: IndexState
    reason: str = ""


class ModelIndex(msgspec.Struct, frozen=True, tag="index"):
    """By name, then version."""

    entries: tuple[IndexEntry, ...]


class Statistics(msgspec.Struct, frozen=True, tag="statistics"):
    """Of every version that was ever called, served or not, or is loaded: a list of them in each part."""

    parts: tuple[msgspec.Raw, ...]


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It is done, in every front."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It was not done, and why."""

    reason: Reason
    text: str
    retry_after_s: float | None = None


Answer = ModelIndex | Statistics | Done | Refused


def refusal(error: GatewayError) -> Refused:
    """An error as it travels."""
    return Refused(error.reason, error.text, error.retry_after_s)


def as_error(refused: Refused) -> GatewayError:
    """A refusal as the error it was made from."""
    kind = _BY_REASON.get(refused.reason, GatewayError)
    return kind(refused.text, retry_after_s=refused.retry_after_s)


_BY_REASON = {kind.reason: kind for kind in GatewayError.__subclasses__()}
