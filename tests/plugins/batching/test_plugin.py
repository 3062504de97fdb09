from gateway.hooks.manager import Loaded, implemented_by, registered
from gateway.testing import start
from gateway_plugins.batching.plugin import STRATEGIES, Batching


def test_the_strategies_are_registered_under_their_names() -> None:
    plugin = Batching(start())
    assert implemented_by(plugin) == ("register_batching",)
    loaded = [Loaded("batching", plugin, implemented_by(plugin))]
    assert registered(loaded, "register_batching") == [("batching", STRATEGIES)]
    assert set(STRATEGIES) == {"none", "static", "dynamic", "micro", "slo_aware"}
