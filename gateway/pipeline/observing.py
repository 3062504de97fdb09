"""Trace and log settings as frontends see them: read here, changed by the controller for all fronts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from gateway.control.budget import Budget
from gateway.control.messages import SetTrace
from gateway.control.questions import Answer, ChangeLog, ChangeTrace, Done, Question
from gateway.core.errors import Forbidden, GatewayError
from gateway.core.log_settings import LogChange, LogSettings
from gateway.core.messages import Ticket
from gateway.core.trace_settings import TraceChange, TraceSettings, TraceValues
from gateway.pipeline.asking import Asks
from gateway.pipeline.tracing import Scope

# More than the controller waits for fronts (lifecycle.desk.SYNC_S), so that its reason is told.
CHANGE_S = 12.0

_OFF = TraceSettings()
_ORDINARY = LogSettings()

Changed = Callable[[GatewayError | None], None]
# Told which scopes there are now: of "" all models, and of those with settings of their own.
Scoped = Callable[[dict[str, Scope]], None]


class Observing:
    """One front's settings; without `asks` nobody may change them. Owns the budgets it is told of.

    `trace_file` is what is told of it; it is the operator's, and nothing here makes it another.
    """

    def __init__(
        self,
        asks: Asks | None = None,
        trace: TraceSettings = _OFF,
        log: LogSettings = _ORDINARY,
        trace_file: str = "",
    ) -> None:
        self._asks = asks
        self._own = trace
        self.log = log
        self.trace_file = trace_file
        self._values: dict[str, TraceValues] = {}
        self._scopes: dict[str, Scope] = {"": Scope(trace, None)}
        self._budgets: dict[str, Budget] = {}
        self.on_scopes: Scoped = lambda _: None

    @property
    def is_permitted(self) -> bool:
        """False where every change is refused."""
        return self._asks is not None

    def trace(self, model: str = "") -> TraceSettings:
        """How requests of `model` are traced; of the number of traces what is left."""
        scope = self._scopes.get(model) or self._scopes[""]
        if scope.budget is None:
            return scope.settings
        return msgspec.structs.replace(scope.settings, count=scope.budget.left())

    def change_trace(self, model: str, change: TraceChange, changed: Changed) -> Ticket | None:
        """Calls `changed` once: with None when every front traces so."""
        return self._ask(ChangeTrace(model, change), changed)

    def change_log(self, change: LogChange, changed: Changed) -> Ticket | None:
        """Calls `changed` once: with None when every process logs so."""
        return self._ask(ChangeLog(change), changed)

    def _ask(self, question: Question, changed: Changed) -> Ticket | None:
        if self._asks is None:
            # As with model control: until a plugin can tell who calls, everybody may, or nobody.
            changed(Forbidden("no settings are changed: callers are not authenticated (see --insecure-dev)"))
            return None
        return self._asks.ask(question, CHANGE_S, partial(_heard, changed))

    # ---- the controller's word ------------------------------------------------------------------

    def on_trace(self, message: SetTrace, fds: tuple[int, ...]) -> None:
        """Traces a model in another way from now on; owns `fds`."""
        model = message.model
        old = self._budgets.pop(model, None)
        if old is not None:
            old.close()
        if fds:
            self._budgets[model] = Budget(fds[0])
        if message.values is None:
            self._values.pop(model, None)
        else:
            self._values[model] = message.values
        self._make_scopes()

    def close(self) -> None:
        """Lets go of what it owns."""
        for budget in self._budgets.values():
            budget.close()
        self._budgets.clear()

    def _make_scopes(self) -> None:
        """Every model counts on where it was."""
        common = self._values.get("", TraceValues()).over(self._own)
        scopes = {}
        for model in {"", *self._values}:
            values = self._values.get(model, TraceValues()) if model else TraceValues()
            owner = model if values.count is not None else ""
            scopes[model] = Scope(values.over(common), self._budgets.get(owner))
            if model in self._scopes:
                scopes[model].seen = self._scopes[model].seen
        self._scopes = scopes
        self.on_scopes(scopes)


def _heard(changed: Changed, answer: Answer | GatewayError) -> None:
    match answer:
        case GatewayError():
            changed(answer)
        case Done():
            changed(None)
        case _:
            changed(GatewayError(f"the controller answered with {type(answer).__name__}"))
