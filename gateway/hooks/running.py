"""The plugins of one process while that runs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.core.batching import Strategies, Strategy
from gateway.core.clock import Clock
from gateway.hooks.contract import Process
from gateway.hooks.guarding import GARBAGE
from gateway.hooks.manager import Hooks, Loaded, PluginFault, installed, load, registered
from gateway.hooks.settings import PluginSettings
from gateway.hooks.values import Changeable, IsUp, Start, everything_is_up
from gateway.hooks.watch import Watch

log = logging.getLogger("gateway.plugins")


class Plugins:
    """Loaded when made (raises PluginFault); `start` before the first request, `stop` after the last.

    `failures` counts by (plugin, hook, way).
    """

    def __init__(
        self,
        settings: PluginSettings,
        process: Process,
        clock: Clock,
        wall: Clock,
        is_up: IsUp = everything_is_up,
    ) -> None:
        available = installed() if settings.use else {}
        self.loaded: Sequence[Loaded] = load(settings, Start(process.value, clock, wall, is_up), available)
        self.failures: Counter[tuple[str, str, str]] = Counter()
        self._watch = Watch(settings.block_limit_s)
        self.hooks = Hooks(self.loaded, process, self._watch, clock, self._failed)
        self._is_watching = False

    def _failed(self, plugin: str, hook: str, way: str) -> None:
        self.failures[plugin, hook, way] += 1

    @property
    def authenticates(self) -> bool:
        """True where callers are asked who they are."""
        return self.hooks.get("authenticate") is not None

    def require_authentication(self, host: str) -> None:
        """Raises PluginFault where nobody would ask who calls `host`."""
        if not self.authenticates:
            used = ", ".join(one.name for one in self.loaded)
            raise PluginFault(
                f"server.host = {host}: beyond loopback callers must be authenticated, "
                f"and none of plugins.use ({used}) does that"
            )

    def change(self, name: str, document: str) -> None:
        """Takes over settings that the controller's plugin of that name has taken."""
        for one in self.loaded:
            if one.name == name and isinstance(one.plugin, Changeable):
                try:
                    one.plugin.replace(json.loads(document))
                except Exception:
                    log.exception("plugin '%s' does not take its new settings", name)

    def strategies(self) -> Strategies:
        """Who can form batches, by name; of two with one name the first plugin's. Raises PluginFault."""
        by_name: dict[str, Strategy] = {}
        whose: dict[str, str] = {}
        for plugin, named in reversed(registered(self.loaded, "register_batching")):
            by_name.update(named)
            whose.update(dict.fromkeys(named, plugin))
        return Strategies(by_name, lambda name: self._failed(whose[name], "register_batching", GARBAGE))

    async def start(self) -> None:
        """Must be called in the main thread, on the loop that calls the plugins."""
        if self.loaded:
            self._watch.__enter__()
            self._is_watching = True
        await self._tell("on_start")

    async def stop(self) -> None:
        """Ends what the plugins have begun; harmless where nothing was started."""
        if not self._is_watching:
            return
        await self._tell("on_stop")
        self._watch.__exit__()
        self._is_watching = False

    async def _tell(self, name: str) -> None:
        hook = self.hooks.get(name)
        if hook is None:
            return
        async with asyncio.TaskGroup() as group:
            hook.notify(_in(group))


def _in(group: asyncio.TaskGroup) -> Callable[[Awaitable[Any]], None]:
    async def settled(work: Awaitable[Any]) -> None:
        await work

    def begin(work: Awaitable[Any]) -> None:
        group.create_task(settled(work))

    return begin
