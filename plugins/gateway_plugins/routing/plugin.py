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
from gateway.core.errors import InvalidInput
from gateway.core.messages import InferRequest
from gateway.core.model import check_name
from gateway.hooks import Start, hookimpl
from gateway.hooks.values import Target
from gateway_plugins.routing.rules import Rules
from gateway_plugins.routing.settings import RoutingSettings

# As ModelMesh and Ray Serve have them, the first that is there counts.
ALIASES = ("mm-vmodel-id", "mm-model-id", "serve_multiplexed_model_id")


class Routing:
    """Routes requests by rules: weights that stick, headers, parameters, tenants, times.

    The caller's rights are looked at afterwards, for the model that is to answer.
    """

    Settings = RoutingSettings

    def __init__(self, settings: RoutingSettings, start: Start, random: Random | None = None) -> None:
        self._wall = start.wall
        self._draw = (random or Random()).random
        self._gone = Counter[tuple[str, int]]()  # counted by rules that were replaced
        self._take(settings)

    @hookimpl
    def route(self, request: InferRequest, caller: Caller) -> Target | None:
        """Declines where no rule is for the request, and nothing names another model."""
        named = self._named(caller) if self._has_aliases else None
        if named is not None:
            request = request.to(named, request.version)
        choice = self._rules.choose(request, caller, self._wall(), self._draw)
        if choice is None:
            return None if named is None else Target(named, request.version)
        self._counts[choice.number] += 1
        return choice.target

    @property
    def counts(self) -> Counter[tuple[str, int]]:
        """How many requests went where, by rule and arm."""
        sums = self._gone.copy()
        for (rule, arm), count in zip(self._rules.arms, self._counts, strict=True):
            if count:
                sums[rule, arm] += count
        return sums

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
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"]))
            raise ValueError(f"{where}: {fault['msg']}" if where else fault["msg"]) from None
        self._gone = self.counts
        self._take(settings)

    def _take(self, settings: RoutingSettings) -> None:
        self._settings, self._has_aliases = settings, settings.aliases
        self._rules = Rules(settings.rules)
        self._counts = [0] * len(self._rules.arms)

    @staticmethod
    def _named(caller: Caller) -> str | None:
        for name in ALIASES:
            value = caller.header(name)
            if value is not None:
                try:
                    return check_name(value)
                except InvalidInput:
                    raise InvalidInput(f"header '{name}' names no model") from None
        return None
