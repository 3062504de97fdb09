"""What plugins count: as it travels from a front, merged over fronts, and on the page of metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.core.measures import Labels

_OTHER = re.compile(r"[^a-z0-9_]")

_Key = tuple[str, str, Labels]


class PluginSeries(msgspec.Struct, array_like=True, frozen=True):
    """One number of one plugin in one front; `name` is without the plugin's."""

    plugin: str
    name: str
    kind: str
    help: str
    labels: Labels
    value: float

    @property
    def key(self) -> _Key:
        """What tells it from others."""
        return self.plugin, self.name, self.labels

    @property
    def metric(self) -> str:
        """Its name on the page."""
        return f"gateway_plugin_{_OTHER.sub('_', self.plugin.lower())}_{self.name}"


class PluginSums:
    """All fronts' as one. Invariant: a counter's sum does not fall when a front dies; its gauges are gone."""

    def __init__(self) -> None:
        self._current: dict[int, dict[_Key, PluginSeries]] = {}
        self._gone: dict[_Key, PluginSeries] = {}

    def update(self, front: int, series: Iterable[PluginSeries]) -> None:
        """Replaces what is known of `front`."""
        known = self._current.setdefault(front, {})
        for one in series:
            known[one.key] = one

    def retire(self, front: int) -> None:
        """Keeps what a dead front had counted."""
        counted = [one for one in self._current.pop(front, {}).values() if one.kind == "counter"]
        _add(self._gone, counted)

    def series(self) -> list[PluginSeries]:
        """The sums, in a stable order."""
        sums = dict(self._gone)
        for known in self._current.values():
            _add(sums, known.values())
        return [sums[key] for key in sorted(sums)]


def plugin_families(sums: PluginSums) -> Iterable[Metric]:
    """A family for each name; a series that differs from its family's first in kind or labels is left out."""
    families: dict[str, tuple[str, tuple[str, ...], CounterMetricFamily | GaugeMetricFamily]] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for one in sums.series():
        labels = tuple([name for name, _ in one.labels])
        values = tuple([value for _, value in one.labels])
        if one.metric not in families:
            make = CounterMetricFamily if one.kind == "counter" else GaugeMetricFamily
            families[one.metric] = one.kind, labels, make(one.metric, one.help or one.metric, labels=labels)
        kind, names, family = families[one.metric]
        if (kind, names) == (one.kind, labels) and (one.metric, values) not in seen:
            seen.add((one.metric, values))
            family.add_metric(values, one.value)
    return [family for _, _, family in families.values()]


def _add(sums: dict[_Key, PluginSeries], more: Iterable[PluginSeries]) -> None:
    for one in more:
        known = sums.get(one.key)
        value = one.value if known is None else known.value + one.value
        sums[one.key] = msgspec.structs.replace(one, value=value)
