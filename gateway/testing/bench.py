"""A front in one process for tests of plugins: everything is the real thing but sockets, time and models."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from gateway.control.messages import FromFront, ModelView, Snapshot, VersionView
from gateway.core.clock import monotonic_ns
from gateway.core.measures import Labels, fault_of
from gateway.core.model import ModelKey, ModelSpec
from gateway.core.records import RequestRecord
from gateway.frontends.guard import guard_of
from gateway.frontends.service import Protocols
from gateway.frontends.settings import FrontendSettings
from gateway.hooks.contract import Process
from gateway.hooks.manager import Hooks, Loaded, implemented_by
from gateway.hooks.tasks import Tasks
from gateway.hooks.watch import Watch
from gateway.pipeline.catalogue import Catalogue
from gateway.pipeline.control import NoControl
from gateway.pipeline.instances import Instances
from gateway.pipeline.observing import Observing
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.policed import policed
from gateway.pipeline.telling import telling
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queues import Queue, make_queue
from gateway.scheduling.settings import SchedulingSettings
from gateway.telemetry.executions import Executions
from gateway.testing.clock import ManualClock
from gateway.testing.exchange import Answer, Asked, ask_grpc, ask_rest
from gateway.testing.models import Function, LoadedFunction
from gateway.workers.inline import InlineLink

BLOCK_LIMIT_S = 0.25


class Bench:
    """Plugins, in their order, before models by name; use it as an async context in the main thread.

    A model is a Function, or several by their versions. `records` are those of all requests, `failures`
    what the plugins did wrong, by (plugin, hook, kind); a plugin is called by its class's name there.
    """

    def __init__(
        self,
        *plugins: object,
        models: Mapping[str, Function | Mapping[int, Function]] | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        self.clock: Final = clock or ManualClock()
        self.records: Final[list[RequestRecord]] = []
        self.failures: Final[Counter[tuple[str, str, str]]] = Counter()
        self._models = models or {"echo": Function()}
        self._plugins = [Loaded(type(one).__name__, one, implemented_by(one)) for one in plugins]
        self._watch = Watch(BLOCK_LIMIT_S)
        self._hooks = Hooks(self._plugins, Process.FRONT, self._watch, self.clock, self._failed)
        self._settings = SchedulingSettings()

    async def __aenter__(self) -> Bench:
        self._watch.__enter__()
        loop = self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(loop)
        catalogue = Catalogue(self._settings.max_cold_waiters, self._settings.cold_wait_s)
        self._instances = Instances(catalogue, self._make_queue, self.clock, self._told)
        record = telling([self.records.append], self._hooks.get("on_request"), loop, self._tasks)
        pipeline = Pipeline(
            catalogue, self._settings, self.clock, record, self._told, lambda model, keys, counted: None
        )
        served = policed(pipeline, NoControl(), self._hooks, self._tasks)
        guard = guard_of(self._hooks, served.rights, self.clock, self._tasks)
        tools = (served.service, FrontendSettings(), self.clock, served.repository, Observing())
        self._protocols = Protocols(*tools, guard=guard)
        self._serve()
        await self._tell("on_start")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._tell("on_stop")
            await self._tasks.aclose()
            self._instances.close()
        finally:
            self._watch.__exit__()

    async def infer(  # ruff: ignore[too-many-arguments] - what a client may say, by its name
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        protocol: str = "rest",
        version: int | str = "",
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, bool | int | float | str] | None = None,
        id: str = "",
        tls_subject: str | None = None,
    ) -> Answer:
        """Makes one request over "rest" or "grpc"; lists are FP32. Plugins have been told when it returns."""
        asked = Asked(model, str(version), inputs, headers or {}, parameters or {}, id, tls_subject)
        answer = await {"rest": ask_rest, "grpc": ask_grpc}[protocol](self._protocols.route, asked)
        await self.settle()
        return answer

    def measures(self) -> dict[tuple[str, str, Labels], float]:
        """What the plugins would have on the page of metrics, by (plugin, name, labels)."""
        hook = self._hooks.get("measures")
        told = [] if hook is None else hook.collect(fault_of)
        return {(plugin, one.name, one.labels): one.value for plugin, given in told for one in given}

    async def settle(self) -> None:
        """Lets what plugins do in the background go as far as it can without anything else happening."""
        for _ in range(20):
            await asyncio.sleep(0)

    # ---- parts ----------------------------------------------------------------------------------

    def _serve(self) -> None:
        views, functions = [], dict[ModelKey, tuple[Function, ModelSpec]]()
        for name, model in self._models.items():
            versions = {1: model} if isinstance(model, Function) else model
            specs = {number: one.spec(name, number) for number, one in sorted(versions.items())}
            views.append(ModelView(name, tuple([VersionView(n, "ready", spec) for n, spec in specs.items()])))
            functions.update({ModelKey(name, n): (versions[n], spec) for n, spec in specs.items()})
        self._instances.apply(Snapshot(1, tuple(views), complete=True))
        for number, (key, (function, spec)) in enumerate(functions.items(), 1):
            queue = self._instances.queue_for(key)
            assert queue is not None
            loaded = LoadedFunction(function, spec)
            link = InlineLink(loaded, number, queue, monotonic_ns, self._loop.call_soon)
            self._instances.attach(key, link)

    def _make_queue(self, spec: ModelSpec, events: Instances) -> Queue:
        executions = Executions(spec.name, spec.version, self.clock)
        return make_queue(spec, self._settings, self._loop, self.clock, PoisonList(1.0), events, executions)

    def _told(self, message: FromFront) -> None:
        """There is no controller: whatever a front tells it is of no interest."""

    def _failed(self, plugin: str, hook: str, way: str) -> None:
        self.failures[plugin, hook, way] += 1

    async def _tell(self, name: str) -> None:
        hook = self._hooks.get(name)
        if hook is not None:
            waiting: list[Any] = []
            hook.notify(waiting.append)
            await asyncio.gather(*waiting)
