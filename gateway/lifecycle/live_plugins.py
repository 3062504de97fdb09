"""Plugins whose settings change while they run: here first, then in every front, now and when one starts.

What was changed lasts until the gateway ends: the configuration is what it starts with, again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast

from gateway.control.messages import SetPlugin
from gateway.core.admin import AdminAnswer, AdminRequest
from gateway.core.errors import InvalidInput, ModelNotFound
from gateway.hooks.manager import Hooks, Loaded
from gateway.hooks.values import Changeable
from gateway.lifecycle.front_contract import Send
from gateway.lifecycle.observing import ForEach

# A packet to a front carries 128 KiB.
MAX_DOCUMENT_BYTES = 96 << 10


class InUse(Protocol):
    """The plugins of this process."""

    @property
    def loaded(self) -> Sequence[Loaded]:
        """In their order."""

    @property
    def hooks(self) -> Hooks:
        """What they implement."""


class LivePlugins:
    """Invariant: `_changed` are the documents that fronts have been told, of this process's own plugins."""

    def __init__(self, plugins: InUse, for_each: ForEach) -> None:
        self._loaded = plugins.loaded
        self._administer = plugins.hooks.get("administer")
        self._for_each = for_each
        self._changed: dict[str, str] = {}

    def overview(self) -> list[dict[str, object]]:
        """The plugins in use, in their order, with what each implements."""
        return [
            {"name": one.name, "hooks": list(one.hooks), "changeable": isinstance(one.plugin, Changeable)}
            for one in self._loaded
        ]

    def document(self, name: str) -> tuple[Mapping[str, Any], str]:
        """The settings of a plugin as they are now, and their tag; raises ModelNotFound."""
        plugin = self._plugin(name)
        return plugin.document(), plugin.tag()

    def change(self, name: str, document: Mapping[str, Any]) -> str:
        """Takes over whole new settings and tells every front; raises InvalidInput and keeps the old."""
        plugin = self._plugin(name)
        text = json.dumps(document)
        if len(text) > MAX_DOCUMENT_BYTES:
            raise InvalidInput(f"the settings may have {MAX_DOCUMENT_BYTES} bytes")
        try:
            plugin.replace(document)
        except ValueError as error:
            raise InvalidInput(f"plugin '{name}': {error}") from None
        self._changed[name] = text
        self._for_each(partial(self._tell, name))
        return plugin.tag()

    async def ask(self, name: str, request: AdminRequest) -> AdminAnswer:
        """What the plugin of that name answers; raises what it raises, and ModelNotFound for nothing."""
        answer = None
        if self._administer is not None:
            answer = await self._administer.first_of(name, request)
        if answer is None:
            raise ModelNotFound(f"no plugin '{name}' is in use that has this")
        return cast(AdminAnswer, answer)

    def greet(self, send: Send) -> None:
        """Tells a front that starts."""
        for name in self._changed:
            self._tell(name, send)

    def _tell(self, name: str, send: Send) -> None:
        send(SetPlugin(name, self._changed[name]), ())

    def _plugin(self, name: str) -> Changeable:
        for one in self._loaded:
            if one.name == name and isinstance(one.plugin, Changeable):
                return one.plugin
        raise ModelNotFound(f"no plugin '{name}' is in use whose settings can be changed")
