"""What plugins count, on its way to the page of metrics: once a second, and only what has changed."""

from __future__ import annotations

import logging
from collections import Counter

from gateway.core.measures import MAX_MEASURES, MAX_TEXT, MAX_VALUE, Labels, Measure, fault_of
from gateway.hooks.calling import Hook
from gateway.telemetry.plugin_series import PluginSeries
from gateway.telemetry.series import FrontReport

log = logging.getLogger("gateway.plugins")

# Up to 9.5 KB each (eight labels of the greatest length, four bytes a character); a control packet
# carries 128 KiB.
_A_PACKET = 12

_Key = tuple[str, str, Labels]


class Measuring:
    """Asks the plugins at the hook `measures`.

    Invariant: `_told` has the last value told of each, and of no plugin more than MAX_MEASURES.
    """

    def __init__(self, hook: Hook | None) -> None:
        self._hook = hook
        self._told: dict[_Key, float] = {}
        self._counts: Counter[str] = Counter()  # of `_told`, by plugin

    def reports(self) -> list[FrontReport]:
        """What to hand over now, in packets."""
        if self._hook is None:
            return []
        changed = [
            series
            for plugin, measures in self._hook.collect(fault_of)
            for one in measures
            if (series := self._changed(plugin, one)) is not None
        ]
        packets = [changed[at : at + _A_PACKET] for at in range(0, len(changed), _A_PACKET)]
        return [FrontReport([], plugins=packet) for packet in packets]

    def _changed(self, plugin: str, one: Measure) -> PluginSeries | None:
        """The measure as it travels; None where that is known."""
        labels = tuple([(name, value[:MAX_VALUE]) for name, value in one.labels])
        key = (plugin, one.name, labels)
        before = self._told.get(key)
        if before == one.value or (before is None and not self._is_room(plugin)):
            return None
        self._told[key] = one.value
        return PluginSeries(plugin, one.name, one.kind, one.help[:MAX_TEXT], labels, float(one.value))

    def _is_room(self, plugin: str) -> bool:
        """True where a measure that is new may be told of; says so once where not."""
        self._counts[plugin] += 1
        if self._counts[plugin] == MAX_MEASURES + 1:
            log.error("plugin '%s' has given %d measures; new ones are left out", plugin, MAX_MEASURES)
        return self._counts[plugin] <= MAX_MEASURES
