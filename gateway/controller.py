"""Composition root of the controller: the control plane's process, and the parent of all others.

Everything is constructed here, in order, by plain calls. Nothing of a request passes through this
process: if it is killed, all others end; while it lives, it puts back whatever else is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

import msgspec

from gateway.admin.metrics import MetricsService
from gateway.admin.service import AdminFailed, AdminListener
from gateway.config import GatewayConfig
from gateway.control.channel import ControlChannel
from gateway.core.clock import monotonic_s, wall_s
from gateway.devices.inventory import Inventory, Look
from gateway.devices.seats import seat_of
from gateway.devices.watch import Watch
from gateway.finding import found
from gateway.hooks.contract import Process
from gateway.hooks.running import Plugins
from gateway.lifecycle import placing
from gateway.lifecycle.accounts import Accounts
from gateway.lifecycle.autoscaler import Autoscaler
from gateway.lifecycle.books import STAGES
from gateway.lifecycle.demand import Demands
from gateway.lifecycle.desk import Desk
from gateway.lifecycle.facts import Tell
from gateway.lifecycle.following import Following
from gateway.lifecycle.front_contract import FRONT, FrontSettings, Send
from gateway.lifecycle.front_reports import FrontReports
from gateway.lifecycle.fronts import FrontFailed, Fronts
from gateway.lifecycle.journal import Journal
from gateway.lifecycle.ledger import Ledger
from gateway.lifecycle.live_plugins import LivePlugins
from gateway.lifecycle.loads import Loads
from gateway.lifecycle.manager import Lifecycle, LifecycleStatistics
from gateway.lifecycle.means import Means
from gateway.lifecycle.notifying import Notifying
from gateway.lifecycle.observing import Observing
from gateway.lifecycle.offers import RUNTIMES
from gateway.lifecycle.operated import Operated
from gateway.lifecycle.overview import Overview
from gateway.lifecycle.placing import Placer
from gateway.lifecycle.predictions import Predictions
from gateway.lifecycle.prefetch import Prefetch
from gateway.runtimes.gpus import told_here
from gateway.telemetry.exposition import MemorySeries, render
from gateway.telemetry.logs import Logs
from gateway.telemetry.machine import Machine
from gateway.telemetry.statistics import statistics
from gateway.wire.accepting import listening_socket
from gateway.wire.listener import Listener
from gateway.workers import tenants
from gateway.workers.processes import reap_strays
from gateway.workers.restart import policy_of
from gateway.workers.supervisor import Supervisor, SupervisorStatistics
from gateway.workers.tenants import SharedWorkers
from gateway.workers.warm_pool import WarmPool

log = logging.getLogger("gateway.controller")

CHILD = "gateway.workers.child:main"
# What a waiting worker prepares for: engines that are there without being asked for.
PREPARED = (RUNTIMES["onnxruntime"],)
# Between looks at stray children and at fronts that do not start.
TICK_S = 1.0
# What fronts may take beyond their drain to close listeners and say goodbye.
GOODBYE_S = 2.0

Announce = Callable[[Mapping[str, int]], None]


class ControllerStatistics(msgspec.Struct, frozen=True):
    """The state of the whole process tree."""

    lifecycle: LifecycleStatistics
    supervisor: SupervisorStatistics
    front_pids: tuple[int, ...]
    front_restarts: int
    zygote_pid: int | None


class CannotListen(Exception):
    """An address of the controller itself cannot be had."""


class Controller:
    """Everything in the controller process. Construct it on the event loop of the main thread."""

    def __init__(
        self, config: GatewayConfig, *, worker_entry: str = CHILD, front_module: str = FRONT, seed: int = 0
    ) -> None:
        self._config = config
        self._plugins = Plugins(config.plugins, Process.CONTROLLER, monotonic_s, wall_s)
        if not config.server.is_open:
            self._plugins.require_authentication(config.server.host)
        self._rng = Random(seed or os.getpid())
        settings = config.workers
        telemetry = config.telemetry
        self.logs = Logs("controller", is_json=telemetry.log_style == "json", settings=telemetry.log)
        self._demands = Demands()
        self.telemetry = FrontReports(self._demands)
        self.supervisor = Supervisor(settings, ControlChannel, monotonic_s, self._rng, worker_entry)
        count = config.server.front_count(len(os.sched_getaffinity(0)))
        self.fronts = Fronts(
            FrontSettings(count, front_module, policy_of(settings)),
            self._configuration,
            self.telemetry,
            monotonic_s,
            self._rng,
        )
        self.ledger = Ledger(
            self._states, self._process_restarts, self.supervisor.upstreams.totals, self._memory
        )
        loop = asyncio.get_running_loop()
        tell = Journal(self.ledger.record, Notifying(self._plugins.hooks.get("on_event"), loop).notify).record
        self.placer = Placer(self._placing(loop, tell))
        self._warm = WarmPool(self.supervisor, PREPARED, policy_of(settings), loop, self._rng)
        self._workers = self._shared_workers(loop)
        self._found = found(config.repository, loop, self._plugins.hooks)
        self.lifecycle = Lifecycle(self._means(loop, tell), self.fronts)
        self._autoscaler = Autoscaler(config.scaling, self.lifecycle.scalable, self._demands, monotonic_s)
        loads = (self.lifecycle.names, self._demands.used_now, self.lifecycle.activate)
        self._prefetch = Prefetch(config.prefetch, *loads, wall_s)
        known = ({**RUNTIMES, **settings.runtimes}, self.lifecycle, self._count_gpus, count)
        self._following = Following(config.repository, *known, self._found.sources, self._found.looks)
        self._loads = Loads(self.lifecycle, self._following, self._plugins.hooks.get("approve_unload"))
        self._observing = Observing(
            telemetry.trace,
            telemetry.log,
            self.fronts.for_each,
            self.logs.apply,
            lambda name: self._following.known(name) is not None,
        )
        self._live = LivePlugins(self._plugins, self.fronts.for_each)
        self._desk = Desk(
            self._loads,
            self.fronts.sync,
            Accounts(partial(statistics, self.telemetry.merged), self.lifecycle.pids).of,
            self._observing,
        )
        self._machine = Machine(telemetry.devices_s)
        self._inventory: Inventory | None = None
        self._watch: Watch | None = None
        self._gpus = 0
        self._is_serving = False
        self._metrics = MetricsService(self._render, lambda: self._is_serving and self.fronts.are_listening)
        self._metrics_listener = Listener(self._metrics, config.wire, monotonic_s)
        self._admin = self._listener_for_operators()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    def _placing(self, loop: asyncio.AbstractEventLoop, tell: Tell) -> placing.Means:
        config = self._config
        return placing.Means(
            config.memory,
            config.devices.reserve,
            config.devices.placement,
            config.workers.load_slots,
            self._demands.usage,
            loop,
            monotonic_s,
            tell,
        )

    def _listener_for_operators(self) -> AdminListener:
        config, memory = self._config, self.placer.memory
        overview = Overview(self.lifecycle, self._following, memory, self._demands.usage, monotonic_s)
        served = Operated(overview, self._desk, self._live)
        more = (monotonic_s, served, self._found.fault, self._plugins.hooks)
        return AdminListener(config.admin, config.wire, config.server.insecure_dev, *more)

    def _shared_workers(self, loop: asyncio.AbstractEventLoop) -> SharedWorkers:
        settings, new_id = self._config.workers, self.supervisor.new_id
        return SharedWorkers(self._warm, tenants.Means(settings, ControlChannel, new_id, loop, monotonic_s))

    def _means(self, loop: asyncio.AbstractEventLoop, tell: Tell) -> Means:
        return Means(
            self._config.workers,
            self._workers,
            self.fronts,
            self.placer,
            self._found.fetching,
            Predictions(),
            loop,
            monotonic_s,
            self._rng,
            tell,
        )

    # ---- life ----------------------------------------------------------------------------------------

    async def serve(self, announce: Announce) -> int:
        """Runs until `stop` is called; returns the exit status. `announce` is told the ports, once."""
        status = 0
        try:
            self._refuse_taken_ports()
            await self._plugins.start()
            self.supervisor.start()
            self._machine.start()
            self.fronts.start(self.lifecycle, self._desk, self._greet)
            await _unless(self._stop, self._run(announce))
        except* (FrontFailed, CannotListen, AdminFailed) as failed:
            log.error("cannot serve: %s", _first(failed))
            status = 1
        finally:
            await self._shut_down()
        return status

    def stop(self) -> None:
        """Begins an orderly end; a second call makes it a quick one."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def statistics(self) -> ControllerStatistics:
        """The state of the whole process tree."""
        return ControllerStatistics(
            self.lifecycle.statistics(),
            self.supervisor.statistics(),
            self.fronts.pids(),
            self.fronts.restarts,
            self.supervisor.zygote_pid,
        )

    async def _run(self, announce: Announce) -> None:
        await self._find_devices()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._autoscaler.run(), name="autoscaler")
            group.create_task(self._prefetch.run(), name="prefetch")
            if self._found.fetcher is not None:
                group.create_task(self._found.fetcher.run(), name="fetcher")
            group.create_task(self._following.follow(), name="repository")
            group.create_task(self._desk.run(), name="desk")
            group.create_task(self._loads.remove_abandoned(), name="abandoned files")
            group.create_task(self._tick(), name="tick")
            metrics_port, admin_port = await self._listen(), await self._admin.start()
            ports = await self.fronts.wait_until_listening()
            await self._following.has_tried.wait()
            self._is_serving = True
            told = {**ports, "metrics": metrics_port, **admin_port}
            announce(told)
            words = ", ".join(f"{name} {port}" for name, port in told.items())
            log.info("serving on ports %s", words, extra={"event": "serving", "ports": told})

    def _refuse_taken_ports(self) -> None:
        """Several fronts share their ports, and would share them with another gateway without a word."""
        server = self._config.server
        if server.fronts == 1:
            return
        for port in filter(None, (server.http_port, server.grpc_port)):
            try:
                listening_socket(server.host, port, reuse_port=False).close()
            except OSError as error:
                text = f"cannot listen on {server.host} port {port}: {error.strerror or error}"
                raise CannotListen(text) from None

    async def _listen(self) -> int:
        server = self._config.server
        try:
            _, port = await self._metrics_listener.start(server.metrics_address, server.metrics_port)
        except OSError as error:
            text = f"server.metrics_port = {server.metrics_port}: {error.strerror or error}"
            raise CannotListen(text) from None
        return port

    async def _shut_down(self) -> None:
        self._is_serving = False
        server = self._config.server
        orderly = server.pre_drain_s + server.drain_timeout_s
        await _unless(self._hurry, self.fronts.drain(orderly, orderly + GOODBYE_S))
        self.lifecycle.close()
        self._warm.close()
        await _unless(self._hurry, self.supervisor.close(self._config.workers.stop_grace_s))
        self.supervisor.abandon()
        await self.fronts.kill()
        await self.supervisor.wait_until_gone(2.0)
        reap_strays(())
        self._loads.close()
        self._observing.close()
        self._machine.close()
        if self._watch is not None:
            self._watch.close()
        if self._found.watcher is not None:
            self._found.watcher.close()
        await self._metrics_listener.drain(0.0)
        await self._metrics.aclose()
        await self._admin.aclose()
        await self._plugins.stop()

    # ---- what goes on all the time -------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.fronts.check_hung(monotonic_s())
            reap_strays((*self.supervisor.pids(), *self.fronts.pids()))

    # ---- what parts ask for --------------------------------------------------------------------------

    def _greet(self, send: Send) -> None:
        self._observing.greet(send)
        self._live.greet(send)

    def _configuration(self, front: int, ports: Mapping[str, int]) -> str:
        """The configuration as the front must have it: a port that was chosen once stays."""
        known = {f"{name}_port": port for name, port in ports.items()}
        server = self._config.server.model_copy(update=known)
        return self._config.model_copy(update={"server": server}).model_dump_json()

    def _render(self) -> bytes:
        compat = self._config.telemetry.metrics_compat
        return render(self.telemetry.merged, self.ledger, compat, self._machine.readings)

    def _states(self) -> Mapping[tuple[str, int], str]:
        return self.lifecycle.states()

    async def _find_devices(self) -> None:
        """Before anything is placed; in a thread, for a driver may take its time."""
        devices = self._config.devices
        self._inventory = await asyncio.to_thread(Inventory.find, told_here(), devices.host_memory_bytes)
        try:
            self._see(await asyncio.to_thread(self._inventory.look))
        except (OSError, ValueError) as error:
            log.error("the machine does not tell of its memory, which is not counted: %s", error)
        self._watch = Watch(self._inventory, devices.poll_s, asyncio.get_running_loop(), self._see)
        self._watch.start()

    def _count_gpus(self) -> int:
        return self._gpus

    def _see(self, look: Look) -> None:
        """Takes over a look at the devices: who places instances, and who keeps workers for them."""
        self._gpus = len(look.gpus)
        self.placer.see(look)
        settings = self._config.workers
        numbers = {"cpu": settings.warm_workers}
        there = [one for one in look.devices if one.is_healthy]
        has_gpus = bool(look.gpus)
        kept = {
            seat_of(one, has_gpus=has_gpus, is_shared=False): numbers.get(one.kind, settings.warm_gpu_workers)
            for one in there
        }
        self._warm.keep({seat: number for seat, number in kept.items() if number})

    def _memory(self) -> Iterable[MemorySeries]:
        statistics = self.placer.statistics()
        series = {
            one.id: MemorySeries(one.id, statistics.capacities[one.id], dict.fromkeys(STAGES, 0))
            for one in statistics.devices
        }
        for (device, stage), size_bytes in statistics.taken.items():
            if device in series:
                series[device].stages[stage] = size_bytes
        return series.values()

    def _process_restarts(self) -> Mapping[str, int]:
        zygotes = max(0, self.supervisor.statistics().zygote_starts - 1)
        return {"front": self.fronts.restarts, "zygote": zygotes}


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Does `work`, and breaks it off when `event` is set."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        watcher = group.create_task(event.wait())
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        watcher.cancel()


async def _serve(config: GatewayConfig, announce: Announce) -> int:
    controller = Controller(config)
    controller.logs.attach(sys.stderr)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, controller.stop)
    return await controller.serve(announce)


def run(config: GatewayConfig, announce: Announce) -> int:
    """Serves until SIGTERM or SIGINT (a second one hurries); returns the process's exit status."""
    return asyncio.run(_serve(config, announce))
