"""What the controller finds models by, put together: a part of its composition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from gateway.core.clock import monotonic_s
from gateway.hooks.manager import Hooks
from gateway.hooks.tasks import Tasks
from gateway.lifecycle.approval import Approving
from gateway.lifecycle.checking import Checking
from gateway.lifecycle.fetching import Fetcher
from gateway.lifecycle.files import LocalOnly
from gateway.lifecycle.looks import Looks
from gateway.lifecycle.means import Fetching
from gateway.repository.settings import RepositorySettings
from gateway.repository.signatures import Fault, checker
from gateway.repository.sources import Sources
from gateway.repository.stores.cache import Cache
from gateway.repository.watching import Watcher


class Found(NamedTuple):
    """What finds models: all their places, what brings those of stores here, and who tells of changes.

    `fetching` is what versions get their files by; `fault` what is wrong with a signature, where one must be.
    """

    sources: Sources
    fetcher: Fetcher | None
    fetching: Fetching
    fault: Fault | None
    watcher: Watcher | None
    looks: Looks


def found(settings: RepositorySettings, loop: asyncio.AbstractEventLoop, hooks: Hooks) -> Found:
    """Puts them together; plugins are asked last, about files that somebody has vouched for."""
    sources = Sources(settings.paths, settings.stores, settings.cache, monotonic_s)
    fetcher = None
    if settings.cache is not None:
        fetcher = Fetcher(sources, Cache(settings.cache, settings.cache_max_bytes))
    watcher = Watcher(settings.paths) if settings.watch and settings.poll_s else None
    fetching: Fetching = fetcher or LocalOnly()
    policy, fault = settings.signatures.policy, checker(settings.signatures)
    if policy != "off":
        fetching = Checking(fetching, fault, partial(aside, loop), is_required=policy == "require")
    approve = hooks.get("approve_load")
    if approve is not None:
        fetching = Approving(fetching, approve, partial(Tasks(loop).begin, name="approval"))
    required = fault if policy == "require" else None
    return Found(
        sources, fetcher, fetching, required, watcher, Looks(watcher, settings.rescan_s, monotonic_s)
    )


def aside(loop: asyncio.AbstractEventLoop, step: Callable[[], str], then: Callable[[str], None]) -> None:
    """Has `step` done in a thread, and calls back on the loop, unless that ends before."""

    def done(future: asyncio.Future[str]) -> None:
        if not future.cancelled():
            error = future.exception()
            then(future.result() if error is None else f"it could not be checked: {type(error).__name__}")

    loop.run_in_executor(None, step).add_done_callback(done)
