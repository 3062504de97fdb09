from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from gateway.telemetry.plugin_series import PluginSeries, PluginSums, plugin_families

RULE = (("rule", "free"),)


def series(
    value: float, kind: str = "counter", name: str = "refusals", plugin: str = "limits"
) -> PluginSeries:
    return PluginSeries(plugin, name, kind, "Refused.", RULE, value)


def text(sums: PluginSums) -> str:
    class Page(Collector):
        def collect(self) -> list[Metric]:
            return list(plugin_families(sums))

    registry = CollectorRegistry()
    registry.register(Page())
    return generate_latest(registry).decode()


def test_the_sum_over_fronts_is_on_the_page() -> None:
    sums = PluginSums()
    for front, value in ((0, 2), (1, 3), (0, 4)):
        sums.update(front, [series(value), series(value, "gauge", "limit")])
    assert 'gateway_plugin_limits_refusals_total{rule="free"} 7.0' in text(sums)
    assert 'gateway_plugin_limits_limit{rule="free"} 7.0' in text(sums)


def test_what_a_dead_front_counted_stays_and_its_gauges_go() -> None:
    sums = PluginSums()
    sums.update(0, [series(2), series(5, "gauge", "limit")])
    sums.retire(0)
    sums.update(0, [series(1)])
    assert [(one.name, one.value) for one in sums.series()] == [("refusals", 3)]


def test_a_name_is_one_that_a_metric_can_have() -> None:
    sums = PluginSums()
    sums.update(0, [series(1, plugin="My-plugin.x")])
    assert "gateway_plugin_my_plugin_x_refusals_total" in text(sums)


def test_what_does_not_fit_its_family_is_left_out() -> None:
    """Two plugins whose names differ in what a metric's cannot have, or one that changes its mind."""
    sums = PluginSums()
    sums.update(0, [series(1, plugin="a-b"), series(2, plugin="a_b"), series(3, "gauge", plugin="a.b")])
    assert text(sums).count("gateway_plugin_a_b_refusals_total{") == 1
