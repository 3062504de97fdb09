"""The services of a front with whatever policies its plugins make: none, and they are the bare ones."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from gateway.control.questions import IndexEntry, ModelFile
from gateway.core.caller import ANYBODY, Caller, Operation
from gateway.core.errors import GatewayError
from gateway.core.messages import Ticket
from gateway.hooks.manager import Hooks
from gateway.hooks.tasks import Tasks
from gateway.pipeline.control import Changed, Listed, RepositoryService
from gateway.pipeline.policies import STAGES, Policies, Serving
from gateway.pipeline.rights import Rights, go_on_if
from gateway.pipeline.service import InferenceService


class Policed(NamedTuple):
    """What frontends are given; `rights` is None where nobody is asked who they are."""

    service: InferenceService
    repository: RepositoryService
    rights: Rights | None


def policed(pipeline: Serving, repository: RepositoryService, hooks: Hooks, tasks: Tasks) -> Policed:
    """The services behind the policies that `hooks` make."""
    rights = None if hooks.get("authenticate") is None else Rights(hooks.get("authorize"))
    if rights is None and all(hooks.get(name) is None for name in STAGES):
        return Policed(pipeline, repository, None)
    policies = Policies(pipeline, hooks, rights, tasks)
    if rights is None:
        return Policed(policies, repository, None)
    return Policed(policies, PolicedRepository(repository, policies, rights, tasks), rights)


class PolicedRepository:
    """Implements RepositoryService: the right `load` for changes, and an index of what the caller sees."""

    is_permitted = True

    def __init__(self, inner: RepositoryService, policies: Policies, rights: Rights, tasks: Tasks) -> None:
        self._inner = inner
        self._policies = policies
        self._rights = rights
        self._tasks = tasks

    def index(self, listed: Listed, *, ready_only: bool = False, caller: Caller = ANYBODY) -> Ticket | None:
        """See RepositoryService."""
        return self._inner.index(partial(self._visible, caller, listed), ready_only=ready_only)

    def _visible(
        self, caller: Caller, listed: Listed, entries: tuple[IndexEntry, ...] | GatewayError
    ) -> None:
        if isinstance(entries, GatewayError):
            listed(entries)
            return
        listed(tuple([one for one in entries if self._policies.sees_now(caller, one.name)]))

    def load(
        self,
        name: str,
        config: str | None,
        files: tuple[ModelFile, ...],
        changed: Changed,
        *,
        caller: Caller = ANYBODY,
    ) -> Ticket | None:
        """See RepositoryService; files and a configuration of the caller's own are an upload."""
        operation = Operation.UPLOAD if files or config is not None else Operation.LOAD
        go_on = partial(self._inner.load, name, config, files, changed)
        check = partial(self._rights.check, caller, operation, name)
        return go_on_if(check, go_on, changed, self._tasks)

    def unload(
        self, name: str, changed: Changed, *, unload_dependents: bool = False, caller: Caller = ANYBODY
    ) -> Ticket | None:
        """See RepositoryService."""
        go_on = partial(self._inner.unload, name, changed, unload_dependents=unload_dependents)
        check = partial(self._rights.check, caller, Operation.LOAD, name)
        return go_on_if(check, go_on, changed, self._tasks)
