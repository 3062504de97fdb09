"""Loads and unloads on somebody's word: with their own configuration or files, or as the repository has them.

A configuration that came with a load stays through plain loads until the model is unloaded; files that
came with one, and the configuration that describes them, until the next load. A load that fails leaves
the model as it was before: what served is brought back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.control.questions import IndexEntry, LoadModel
from gateway.core.ensemble import EnsembleGraph
from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.placement import accelerators_of
from gateway.hooks.calling import Hook
from gateway.lifecycle.approval import Unloading
from gateway.lifecycle.ensembles import parts_of
from gateway.lifecycle.following import Following
from gateway.lifecycle.manager import Lifecycle
from gateway.lifecycle.offers import Catalogue
from gateway.repository.accelerators import names_a_path
from gateway.repository.catalogue import ModelEntry, Override
from gateway.repository.json_config import to_pbtxt
from gateway.repository.staging import DATA_ENGINES, Staging, check_paths

log = logging.getLogger("gateway.lifecycle")

# Loads time out by themselves, but may wait for others, or for a zygote that does not come up. Less than
# whoever asked waits, so that the reason is told.
PATIENCE_S = 240.0


LoadPart = Callable[[str], Awaitable[None]]


class Loads:
    """Performs them; those of one model must be called one after the other."""

    def __init__(
        self, lifecycle: Lifecycle, following: Following, approve_unload: Hook | None = None
    ) -> None:
        self._lifecycle = lifecycle
        self._following = following
        self._staging = Staging()
        self._unloading = Unloading(approve_unload)

    def index(self) -> tuple[IndexEntry, ...]:
        """Every version of every model, by name and number."""
        return self._lifecycle.index()

    async def load(self, asked: LoadModel, load_part: LoadPart) -> None:
        """Returns once every served version is ready; raises InvalidInput where one cannot be.

        Has the models of an ensemble loaded by `load_part` first, one after the other.
        """
        before = self._overrides.get(asked.name)
        override = await self._override_of(asked, before)
        try:
            entry = await self._following.look_at(asked.name, override)
            if override is not None:
                _check_override(entry, override)
            await self._load_parts(entry, load_part)
            await self._load(entry, override, before)
        except BaseException:
            await self._remove(override, before)
            raise
        await self._remove(before, override)

    def parts_of(self, name: str) -> tuple[str, ...]:
        """The models below an ensemble, () for any other."""
        return parts_of(name, self._graph_of)

    def _graph_of(self, name: str) -> EnsembleGraph | None:
        entry = self._following.known(name)
        return None if entry is None else entry.config.ensemble

    async def unload(self, name: str) -> None:
        """Serves the model no more, and forgets what was put in its place; harmless for an unknown one.

        Raises what a plugin refuses with; then nothing has changed.
        """
        await self._unloading.approve(name)
        self._lifecycle.unload(name)
        log.info("%s: unloaded on request", name, extra={"event": "model_unloaded", "model": name})
        override = self._overrides.pop(name, None)
        if override is None:
            return
        try:
            self._following.adopt(name, await self._following.look_at(name, None), None)
        except InvalidInput:
            self._following.adopt(name, None, None)
            if override.root:
                # There was nothing to it but the files that are now removed.
                self._lifecycle.take(name, Catalogue({}))
        except GatewayError as error:
            log.warning("%s: unloaded; what is left of it the next look will tell: %s", name, error.text)
        await self._remove(override, None)

    async def remove_abandoned(self) -> None:
        """Removes the files of gateways that were killed and could not do so."""
        if count := await asyncio.to_thread(self._staging.remove_abandoned):
            log.info("removed files of loads, left by %d gateways that were killed", count)

    def close(self) -> None:
        """The gateway has ended: no file that came with a load is left."""
        self._staging.close()

    @property
    def _overrides(self) -> dict[str, Override]:
        return self._following.overrides

    async def _override_of(self, asked: LoadModel, before: Override | None) -> Override | None:
        """What is to stand in place of the model's own from now on."""
        name = asked.name
        if asked.config is None:
            if asked.files:
                raise InvalidInput(
                    f"failed to load '{name}', failed to poll from model repository: files need a 'config'"
                )
            return before if before and not before.root else None
        try:
            check_paths([file.path for file in asked.files])
            config = await asyncio.to_thread(to_pbtxt, asked.config, name)
        except InvalidInput as error:
            text = f"failed to load '{name}', failed to poll from model repository: {error.text}"
            raise InvalidInput(text) from None
        if not asked.files:
            return Override(config)
        return Override(config, await asyncio.to_thread(self._staging.put, name, asked.files))

    async def _load_parts(self, entry: ModelEntry, load_part: LoadPart) -> None:
        """The time is bounded: two ensembles that become each other's part at once wait for each other."""
        at = f"load failed for model '{entry.name}'"
        try:
            async with asyncio.timeout(PATIENCE_S):
                for part in _parts(entry):
                    await load_part(part)
        except InvalidInput as error:
            raise InvalidInput(f"{at}: {error.text}") from None
        except TimeoutError:
            raise InvalidInput(f"{at}: its models were not ready within {PATIENCE_S:g} s") from None

    async def _load(self, entry: ModelEntry, override: Override | None, before: Override | None) -> None:
        name, lifecycle = entry.name, self._lifecycle
        catalogue = self._following.offered(entry)
        was_unloaded, was_loaded = lifecycle.is_unloaded(name), lifecycle.is_loaded(name)
        known = self._following.known(name)
        self._following.adopt(name, entry, override)
        reason = await self._outcome(name, catalogue)
        if not reason:
            return
        log.warning("%s: load failed on request: %s", name, reason)
        if override != before:
            self._following.adopt(name, known, before)
            lifecycle.take(name, self._following.catalogue(known) if known else Catalogue({}))
        if was_unloaded:
            lifecycle.unload(name)
        elif was_loaded and override != before:
            lifecycle.activate(name)
        raise InvalidInput(f"load failed for model '{name}': {reason}")

    async def _outcome(self, name: str, catalogue: Catalogue) -> str:
        """Loads what `catalogue` has of the model; "" or why that failed."""
        outcomes: asyncio.Queue[str] = asyncio.Queue()
        self._lifecycle.load(name, catalogue, outcomes.put_nowait)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await outcomes.get()
        except TimeoutError:
            self._lifecycle.give_up(name)
            return f"it was not ready within {PATIENCE_S:g} s"

    async def _remove(self, unused: Override | None, used: Override | None) -> None:
        """Removes the files of an override that no other one has."""
        if unused and unused.root and (used is None or used.root != unused.root):
            await asyncio.to_thread(self._staging.remove, unused.root)


def _parts(entry: ModelEntry) -> tuple[str, ...]:
    """The models an ensemble calls itself, () where it is broken or none."""
    graph = None if entry.broken else entry.config.ensemble
    return () if graph is None else tuple(dict.fromkeys(step.model for step in graph.steps))


def _check_override(entry: ModelEntry, override: Override) -> None:
    """Raises InvalidInput where it could decide what code runs, or where."""
    at = f"load failed for model '{entry.name}'"
    engines = set() if entry.config.ensemble else {one.backend for one in entry.versions}
    for backend in sorted(engines - DATA_ENGINES):
        raise InvalidInput(f"{at}: 'config' and files are not taken for a model of the backend '{backend}'")
    if names_a_path(accelerators_of(entry.config.options)):
        raise InvalidInput(f"{at}: only config.pbtxt may name folders for an engine's caches")
    if override.root and entry.config.isolation == "inline":
        raise InvalidInput(f"{at}: a model whose files came with a load runs in a process of its own")
