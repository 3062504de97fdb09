"""The strategies under the names that a model's `gateway.batching` may say."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.batching import Strategy
from gateway.hooks import Start, hookimpl
from gateway_plugins.batching import dynamic, micro, none, slo_aware, static

STRATEGIES: Mapping[str, Strategy] = {
    "none": none.form_batches,
    "static": static.form_batches,
    "dynamic": dynamic.form_batches,
    "micro": micro.form_batches,
    "slo_aware": slo_aware.form_batches,
}


class Batching:
    """Strategies that form batches, for models that name one in gateway.batching."""

    def __init__(self, start: Start) -> None:
        """Takes no settings: what a strategy is told stands with the model."""

    @hookimpl
    def register_batching(self) -> Mapping[str, Strategy]:
        """All of them."""
        return STRATEGIES
