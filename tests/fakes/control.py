"""Model control that remembers what was asked of it."""

from __future__ import annotations

from gateway.control.questions import IndexEntry, ModelFile
from gateway.core.caller import ANYBODY, Caller
from gateway.core.errors import GatewayError
from gateway.pipeline.control import Changed, Listed

ENTRIES = (IndexEntry("a", 3, "READY"), IndexEntry("b", 0, "UNAVAILABLE", "faulty"))


class FakeChange:
    """A call that is not answered yet."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeRepositoryService:
    """Answers at once with `error`, or, when `holds`, never."""

    is_permitted = True

    def __init__(self, error: GatewayError | None = None, *, holds: bool = False) -> None:
        self.error = error
        self.holds = holds
        self.asked: list[tuple[object, ...]] = []
        self.changes: list[FakeChange] = []

    def index(
        self, listed: Listed, *, ready_only: bool = False, caller: Caller = ANYBODY
    ) -> FakeChange | None:
        self.asked.append(("index", ready_only))
        listed(self.error or ENTRIES)
        return None

    def load(
        self,
        name: str,
        config: str | None,
        files: tuple[ModelFile, ...],
        changed: Changed,
        *,
        caller: Caller = ANYBODY,
    ) -> FakeChange | None:
        self.asked.append(("load", name, config, {file.path: file.content for file in files}))
        return self._answer(changed)

    def unload(
        self, name: str, changed: Changed, *, unload_dependents: bool = False, caller: Caller = ANYBODY
    ) -> FakeChange | None:
        self.asked.append(("unload", name, unload_dependents))
        return self._answer(changed)

    def _answer(self, changed: Changed) -> FakeChange | None:
        if self.holds:
            self.changes.append(FakeChange())
            return self.changes[-1]
        changed(self.error)
        return None
