"""Plugins are asked whether a version may be loaded, once its files are here, and a model unloaded."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from gateway.core.errors import GatewayError
from gateway.hooks.calling import Hook
from gateway.lifecycle.checking import Check, Done
from gateway.lifecycle.means import Fetching
from gateway.lifecycle.offers import Offer

Begin = Callable[[Coroutine[Any, Any, None]], object]


class Approving:
    """Implements means.Fetching around another, which brings the files, and may have looked at them."""

    def __init__(self, inner: Fetching, hook: Hook, begin: Begin) -> None:
        self._inner = inner
        self._hook = hook
        self._begin = begin
        self._fetched: set[str] = set()

    def takes_time(self, offer: Offer) -> bool:
        """See means.Fetching: each load is asked for."""
        return True

    def fetch(self, offer: Offer, on_done: Done) -> Callable[[], None]:
        """See means.Fetching."""
        return Check(self, offer, on_done).begin()

    def release(self, path: str) -> None:
        """See means.Fetching."""
        if path in self._fetched:
            self._fetched.discard(path)
            self._inner.release(path)

    def bring(self, offer: Offer, then: Done) -> Callable[[], None]:
        """Has the files here; what stops that."""
        if not self._inner.takes_time(offer):
            then(offer.path, "")
            return lambda: None

        def here(path: str, reason: str) -> None:
            if not reason:
                self._fetched.add(path)
            then(path, reason)

        return self._inner.fetch(offer, here)

    def check(self, offer: Offer, path: str, then: Callable[[str], None]) -> None:
        """Calls back, later, with why these files must not be loaded, "" where they may be."""
        self._begin(self._ask(offer, path, then))

    async def _ask(self, offer: Offer, path: str, then: Callable[[str], None]) -> None:
        key = offer.key
        try:
            waiting = self._hook.gate([], key.name, key.version, Path(path))
            if waiting is not None:
                await waiting
        except GatewayError as error:
            then(f"its load is not approved: {error.text}")
        else:
            then("")


class Unloading:
    """Asks before a model is unloaded on somebody's word."""

    def __init__(self, hook: Hook | None) -> None:
        self._hook = hook

    async def approve(self, name: str) -> None:
        """Raises what a plugin refuses with."""
        if self._hook is not None:
            waiting = self._hook.gate([], name)
            if waiting is not None:
                await waiting
