"""One request on its way by the rules that are in force, and how many went where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from gateway.core.caller import Caller
from gateway.core.clock import Clock
from gateway.core.errors import InvalidInput
from gateway.core.messages import InferRequest
from gateway.core.model import check_name
from gateway.hooks.values import IsUp, Target
from gateway_plugins.routing.rules import Rules
from gateway_plugins.routing.settings import RoutingSettings

# As ModelMesh and Ray Serve have them, the first that is there counts.
ALIASES = ("mm-vmodel-id", "mm-model-id", "serve_multiplexed_model_id")


class Router:
    """Invariant: `_counts` has one number for each of the rules' arms."""

    __slots__ = ("_counts", "_draw", "_gone", "_has_aliases", "_is_up", "_rules", "_wall")

    def __init__(
        self, settings: RoutingSettings, wall: Clock, draw: Callable[[], float], is_up: IsUp
    ) -> None:
        self._wall: Final = wall
        self._draw: Final = draw
        self._is_up: Final = is_up
        self._gone: Counter[tuple[str, int]] = Counter()  # counted by rules that were replaced
        self._rules = Rules(settings.rules)
        self._has_aliases = settings.aliases
        self._counts = [0] * len(self._rules.arms)

    def route(self, request: InferRequest, caller: Caller) -> Target | None:
        """Who answers; None where no rule is for the request, and nothing names another model."""
        named = _named(caller) if self._has_aliases else None
        if named is not None:
            request = request.to(named, request.version)
        choice = self._rules.choose(request, caller, self._wall(), self._draw, self._is_up)
        if choice is None:
            return None if named is None else Target(named, request.version)
        self._counts[choice.number] += 1
        return choice.target

    def take(self, settings: RoutingSettings) -> None:
        """Takes over other rules, whole."""
        self._gone = self.counts()
        self._rules = Rules(settings.rules)
        self._has_aliases = settings.aliases
        self._counts = [0] * len(self._rules.arms)

    def counts(self) -> Counter[tuple[str, int]]:
        """How many requests went where, by rule and arm, also of rules that are gone."""
        sums = self._gone.copy()
        for arm, count in zip(self._rules.arms, self._counts, strict=True):
            if count:
                sums[arm] += count
        return sums


def _named(caller: Caller) -> str | None:
    for name in ALIASES:
        value = caller.header(name)
        if value is not None:
            try:
                return check_name(value)
            except InvalidInput:
                raise InvalidInput(f"header '{name}' names no model") from None
    return None
