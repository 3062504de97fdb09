"""What a front may ask the controller, and what it may be answered: tagged types, one union each.

A front knows snapshots only; whatever else a caller wants to know or to change passes through this
door. Questions and answers travel as bytes within `Ask` and `Answered` (see `parcels`), for a model's
files or the index of a large repository fit into no packet.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.core.errors import GatewayError, Reason

# ---- questions ----------------------------------------------------------------------------------


class ModelFile(msgspec.Struct, frozen=True):
    """A file that a caller sends with a load; `path` is "<version>/<name>", not checked yet."""

    path: str
    content: bytes


class GetIndex(msgspec.Struct, frozen=True, tag="get_index"):
    """Every model of the repository; answered by ModelIndex."""


class LoadModel(msgspec.Struct, frozen=True, tag="load_model"):
    """Load every served version of a model; answered by Done once all of them are ready.

    `config` is a model configuration as JSON that replaces config.pbtxt; `files` replace the folder.
    """

    name: str
    config: str | None = None
    files: tuple[ModelFile, ...] = ()


class UnloadModel(msgspec.Struct, frozen=True, tag="unload_model"):
    """Serve a model no more, until it is loaded again; answered by Done once no front routes to it."""

    name: str
    unload_dependents: bool = False


Question = GetIndex | LoadModel | UnloadModel

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


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It is done, in every front."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It was not done, and why."""

    reason: Reason
    text: str
    retry_after_s: float | None = None


Answer = ModelIndex | Done | Refused


def refusal(error: GatewayError) -> Refused:
    """An error as it travels."""
    return Refused(error.reason, error.text, error.retry_after_s)


def as_error(refused: Refused) -> GatewayError:
    """A refusal as the error it was made from."""
    kind = _BY_REASON.get(refused.reason, GatewayError)
    return kind(refused.text, retry_after_s=refused.retry_after_s)


_BY_REASON = {kind.reason: kind for kind in GatewayError.__subclasses__()}
