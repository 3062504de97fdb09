"""What callers have set of traces and logs: kept here, told to every front, now and when one starts.

A changed number of traces is a new budget; whatever else changes, the old one goes on being drawn upon.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from gateway.control.budget import MAX_COUNT, Budget
from gateway.control.messages import SetLog, SetTrace
from gateway.core.errors import InvalidInput
from gateway.core.log_settings import LogChange, LogSettings
from gateway.core.trace_settings import LEVELS, TraceChange, TraceSettings, TraceValues
from gateway.lifecycle.front_contract import Send

# A budget is a descriptor here and in each front, and a front that starts is told of each in a packet.
MAX_MODELS = 256

ForEach = Callable[[Callable[[Send], None]], None]


class Observing:
    """Owns the settings. Invariant: a scope has a budget exactly while it numbers its traces.

    `is_known` tells of a model's name whether the repository has it: settings of others make room.
    """

    def __init__(
        self,
        trace: TraceSettings,
        log: LogSettings,
        for_each: ForEach,
        apply_log: Callable[[LogSettings], None],
        is_known: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._is_known = is_known
        self._trace = trace
        self._own_log = self._log = log
        self._for_each = for_each
        self._apply_log = apply_log
        self._values: dict[str, TraceValues] = {"": TraceValues()}
        self._budgets: dict[str, Budget] = {}
        self._renew_budget("")

    def greet(self, send: Send) -> None:
        """Tells a front that starts."""
        send(SetLog(self._log), ())
        for model in self._values:
            self._tell(model, send)

    def change_trace(self, model: str, change: TraceChange) -> None:
        """Sets what all fronts trace of `model` ("" all); raises InvalidInput."""
        _check(change)
        values = self._values.get(model, TraceValues()).changed(change)
        if model and values == TraceValues():
            self._values.pop(model, None)
        else:
            self._make_room(model)
            self._values[model] = values
        if isinstance(change.count, int) or change.count is None:
            self._renew_budget(model)
        self._for_each(partial(self._tell, model))

    def change_log(self, change: LogChange) -> None:
        """Sets what all processes log; raises InvalidInput."""
        if isinstance(change.verbose_level, int) and change.verbose_level < 0:
            raise InvalidInput("log setting 'log_verbose_level' must be at least 0")
        self._log = change.apply(self._log, self._own_log)
        self._apply_log(self._log)
        self._for_each(lambda send: send(SetLog(self._log), ()))

    def close(self) -> None:
        """Lets go of what it owns."""
        for budget in self._budgets.values():
            budget.close()
        self._budgets.clear()

    def _make_room(self, model: str) -> None:
        """Raises InvalidInput where one more model would be one too many."""
        if model in self._values or len(self._values) <= MAX_MODELS:
            return
        for gone in [name for name in self._values if name and not self._is_known(name)]:
            del self._values[gone]
            self._renew_budget(gone)
            self._for_each(partial(self._tell, gone))
        if len(self._values) > MAX_MODELS:
            raise InvalidInput(f"more than {MAX_MODELS} models would have trace settings of their own")

    def _renew_budget(self, model: str) -> None:
        old = self._budgets.pop(model, None)
        if old is not None:
            old.close()
        values = self._values.get(model, TraceValues())
        count = values.count if model else values.over(self._trace).count
        if count is not None and count >= 0:
            self._budgets[model] = Budget.of(count)

    def _tell(self, model: str, send: Send) -> None:
        budget = self._budgets.get(model)
        fds = () if budget is None else (os.dup(budget.fd),)
        send(SetTrace(model, self._values.get(model)), fds)


def _check(change: TraceChange) -> None:
    """The front has read these, but who asks is another process."""
    for name, value, least in (
        ("trace_rate", change.rate, 1),
        ("trace_count", change.count, -1),
        ("log_frequency", change.log_frequency, 0),
    ):
        if isinstance(value, int) and not least <= value <= MAX_COUNT:
            raise InvalidInput(f"trace setting '{name}' must be {least} to {MAX_COUNT}")
    if isinstance(change.levels, tuple) and not set(change.levels) <= set(LEVELS):
        raise InvalidInput("trace setting 'trace_level' is not known")
