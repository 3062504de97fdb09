"""The plugin `routing`: the first rule that matches a request says which model and version answers."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

from pydantic import ValidationError

from gateway.core.caller import Caller
from gateway.core.measures import MAX_MEASURES, Measure
from gateway.core.messages import InferRequest
from gateway.hooks import Start, hookimpl
from gateway.hooks.values import Target
from gateway_plugins.routing.router import Router
from gateway_plugins.routing.settings import RoutingSettings
from gateway_plugins.targets import first_fault


class Routing:
    """Routes requests by rules: weights that stick, headers, parameters, tenants, times.

    The caller's rights are looked at afterwards, for the model that is to answer.
    """

    Settings = RoutingSettings

    def __init__(self, settings: RoutingSettings, start: Start, random: Random | None = None) -> None:
        self._settings = settings
        self._router = Router(settings, start.wall, (random or Random()).random, start.is_up)
        self.direct = {"route": self._router.route}

    @hookimpl
    def route(self, request: InferRequest, caller: Caller) -> Target | None:
        """Declines where no rule is for the request, and nothing names another model."""
        return self._router.route(request, caller)

    @property
    def counts(self) -> Counter[tuple[str, int]]:
        """How many requests went where, by rule and arm."""
        return self._router.counts()

    @hookimpl
    def measures(self) -> tuple[Measure, ...]:
        """Requests by rule and arm; an arm is a number, from 0 in the order of its rule."""
        return tuple([
            Measure("requests", "counter", count, (("rule", rule), ("arm", str(arm))), "Requests routed.")
            for (rule, arm), count in self.counts.most_common(MAX_MEASURES)
        ])

    # ---- live changes ----------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """The rules as they are now."""
        return self._settings.model_dump(mode="json")

    def tag(self) -> str:
        """Another one whenever the rules differ."""
        text = json.dumps(self.document(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def replace(self, document: Mapping[str, Any]) -> None:
        """Takes over whole new rules; raises ValueError and keeps the old ones where they fit nothing."""
        try:
            settings = RoutingSettings.model_validate(document)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None
        self._router.take(settings)
        self._settings = settings
