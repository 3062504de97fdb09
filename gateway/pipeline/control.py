"""The model repository as frontends see it: index, load, unload; the same for every protocol."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from gateway.control.questions import (
    Answer,
    Done,
    GetIndex,
    IndexEntry,
    LoadModel,
    ModelFile,
    ModelIndex,
    UnloadModel,
)
from gateway.core.caller import ANYBODY, Caller
from gateway.core.errors import Forbidden, GatewayError
from gateway.core.messages import Ticket
from gateway.core.model import check_name
from gateway.pipeline.asking import Asks

# An index is at hand; a load may wait for others of its model, and each may take workers.load_timeout_s.
INDEX_S = 10.0
CHANGE_S = 300.0

Listed = Callable[[tuple[IndexEntry, ...] | GatewayError], None]
Changed = Callable[[GatewayError | None], None]


class RepositoryService(Protocol):
    """Model control. Never blocks; each callback is called once, errors come through it."""

    @property
    def is_permitted(self) -> bool:
        """False where every call is refused."""

    def index(self, listed: Listed, *, ready_only: bool = False, caller: Caller = ANYBODY) -> Ticket | None:
        """Every version of every model, by name."""

    def load(
        self,
        name: str,
        config: str | None,
        files: tuple[ModelFile, ...],
        changed: Changed,
        *,
        caller: Caller = ANYBODY,
    ) -> Ticket | None:
        """Loads all served versions of a model: `changed(None)` once each of them is ready in every front."""

    def unload(
        self, name: str, changed: Changed, *, unload_dependents: bool = False, caller: Caller = ANYBODY
    ) -> Ticket | None:
        """Serves a model no more: `changed(None)` once every front refuses it; work under way is finished."""


class NoControl:
    """Implements `RepositoryService` where nobody may control models."""

    is_permitted = False

    def index(self, listed: Listed, *, ready_only: bool = False, caller: Caller = ANYBODY) -> Ticket | None:
        """See RepositoryService."""
        listed(_forbidden())
        return None

    def load(
        self,
        name: str,
        config: str | None,
        files: tuple[ModelFile, ...],
        changed: Changed,
        *,
        caller: Caller = ANYBODY,
    ) -> Ticket | None:
        """See RepositoryService."""
        changed(_forbidden())
        return None

    def unload(
        self, name: str, changed: Changed, *, unload_dependents: bool = False, caller: Caller = ANYBODY
    ) -> Ticket | None:
        """See RepositoryService."""
        changed(_forbidden())
        return None


class Repository:
    """Implements `RepositoryService` by asking the controller."""

    is_permitted = True

    def __init__(self, asks: Asks) -> None:
        self._asks = asks

    def index(self, listed: Listed, *, ready_only: bool = False, caller: Caller = ANYBODY) -> Ticket | None:
        """See RepositoryService."""
        return self._asks.ask(GetIndex(), INDEX_S, partial(_listed, listed, ready_only))

    def load(
        self,
        name: str,
        config: str | None,
        files: tuple[ModelFile, ...],
        changed: Changed,
        *,
        caller: Caller = ANYBODY,
    ) -> Ticket | None:
        """See RepositoryService."""
        return self._asks.ask(
            LoadModel(check_name(name), config, files), CHANGE_S, partial(_changed, changed)
        )

    def unload(
        self, name: str, changed: Changed, *, unload_dependents: bool = False, caller: Caller = ANYBODY
    ) -> Ticket | None:
        """See RepositoryService."""
        question = UnloadModel(check_name(name), unload_dependents)
        return self._asks.ask(question, CHANGE_S, partial(_changed, changed))


def _forbidden() -> Forbidden:
    # Until a plugin can tell who calls, either everybody may do everything, or nobody anything.
    return Forbidden("model control is not permitted: callers are not authenticated (see --insecure-dev)")


def _listed(listed: Listed, ready_only: bool, answer: Answer | GatewayError) -> None:
    match answer:
        case GatewayError():
            listed(answer)
        case ModelIndex(entries):
            listed(tuple(one for one in entries if one.state == "READY") if ready_only else entries)
        case _:
            listed(_odd(answer))


def _changed(changed: Changed, answer: Answer | GatewayError) -> None:
    match answer:
        case GatewayError():
            changed(answer)
        case Done():
            changed(None)
        case _:
            changed(_odd(answer))


def _odd(answer: Answer) -> GatewayError:
    return GatewayError(f"the controller answered with {type(answer).__name__}")
