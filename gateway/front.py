"""Composition root of a front: the data plane's process.

Run as `python -m gateway.front FD PARENT` by the controller: the descriptor of its control channel, and
its pid. The first packet is the whole configuration; everything is built from it here, in order, by
plain constructor calls.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import uvloop

from gateway.config import GatewayConfig, validate
from gateway.control.channel import ControlChannel
from gateway.control.messages import (
    Answered,
    Attach,
    Bye,
    Configure,
    Counters,
    Detach,
    Drain,
    Listening,
    SetLog,
    SetPlugin,
    SetTrace,
    Snapshot,
    Sync,
    Synced,
    ToFront,
)
from gateway.core.clock import monotonic_ns, monotonic_s, wall_s
from gateway.core.model import ModelSpec
from gateway.core.records import RequestRecord
from gateway.frontends.guard import guard_of
from gateway.frontends.service import Protocols
from gateway.hooks.contract import Process
from gateway.hooks.running import Plugins
from gateway.hooks.tasks import Tasks
from gateway.pipeline.asking import Asks
from gateway.pipeline.calls import Calls
from gateway.pipeline.catalogue import Catalogue
from gateway.pipeline.control import NoControl, Repository
from gateway.pipeline.demand import DemandReport, gauges
from gateway.pipeline.instances import Instances
from gateway.pipeline.measuring import Measuring
from gateway.pipeline.observing import Observing
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.policed import policed
from gateway.pipeline.statistics import ask_statistics
from gateway.pipeline.telling import telling
from gateway.pipeline.tracing import Scope, Tracer
from gateway.runtimes.contract import LoadError
from gateway.runtimes.sequence_signature import wired
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queues import Queue, make_queue
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.counters import Counters as RequestCounters
from gateway.telemetry.logs import Logs
from gateway.telemetry.series import FrontReport
from gateway.telemetry.trace_log import TraceLog, first_number, to_standard_error
from gateway.wire.busy_poll import BusyPoll
from gateway.wire.listener import Listener
from gateway.wire.tls import server_context
from gateway.workers.arena import Arena
from gateway.workers.call_link import CallLink
from gateway.workers.channel import WorkerLink
from gateway.workers.links import Link
from gateway.workers.loading import load_model
from gateway.workers.messages import Load
from gateway.workers.parentage import die_with_parent, name_process
from gateway.workers.standby import StandbyLink

if TYPE_CHECKING:
    from gateway.frontends.v2_grpc.grpcio.listener import GrpcioListener

log = logging.getLogger("gateway.front")

# Deadlines are kept to within this; a sweep of an idle front costs under a microsecond.
SWEEP_S = 0.02
# A front whose controller is gone finishes what it has, and leaves no orphan.
ORPHAN_DRAIN_S = 3.0
# What a front waits at its end for the last traces to be written.
TRACES_S = 2.0


class Front:
    """Everything in one front process. Invariant: nothing here is constructed anywhere else."""

    def __init__(self, config: GatewayConfig, number: int, channel: ControlChannel[ToFront]) -> None:
        self._config = config
        self._number = number
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._drain_s: float | None = None
        scheduling = config.scheduling
        self._plugins = Plugins(
            config.plugins, Process.FRONT, monotonic_s, wall_s, lambda *of: self._pipeline.is_up(*of)
        )
        self._tasks = Tasks(self._loop)
        self._strategies = self._plugins.strategies()
        self._counters = RequestCounters()
        self._arena = Arena(config.workers.shared_memory_bytes)
        self._poison = PoisonList(scheduling.poison_memory_s)
        self._catalogue = Catalogue(scheduling.max_cold_waiters, scheduling.cold_wait_s)
        self._instances = Instances(self._catalogue, self._make_queue, monotonic_s, channel.send)
        self._asks = Asks(channel.send, monotonic_s)
        self._pipeline = Pipeline(
            self._catalogue,
            scheduling,
            monotonic_s,
            self._sink(),
            self._channel.send,
            partial(ask_statistics, self._asks),
        )
        self._demand = DemandReport(self._pipeline, channel.send)
        may_control = config.server.insecure_dev or self._plugins.authenticates
        control = Repository(self._asks) if may_control else NoControl()
        hooks = self._plugins.hooks
        self._measuring = Measuring(hooks.get("measures"))
        served = policed(self._pipeline, control, hooks, self._tasks)
        telemetry = config.telemetry
        self._logs = Logs("front", is_json=telemetry.log_style == "json", settings=telemetry.log)
        self._logs.attach(sys.stderr)
        self._trace_log = TraceLog(telemetry.trace_file, number, telemetry.trace_max_bytes, to_standard_error)
        self._tracer = Tracer(
            self._trace_log.write,
            self._loop,
            monotonic_ns,
            first_number(os.getpid()),
            telemetry.trace_tensor_elements,
        )
        self._observing = Observing(
            self._asks if may_control else None,
            telemetry.trace,
            telemetry.log,
            str(telemetry.trace_file or "") if may_control else "",
        )
        self._observing.on_scopes = self._trace
        more = ("sequence",) if config.server.fronts == 1 else ()
        tools = (served.service, config.frontends, monotonic_s, served.repository, self._observing)
        self._protocols = Protocols(*tools, more, guard_of(hooks, served.rights, monotonic_s, self._tasks))
        self._context = server_context(config.tls) if config.tls is not None else None
        self._listeners: dict[str, Listener | GrpcioListener] = {
            "http": self._make_listener(),
            "grpc": self._make_grpc_listener(),
        }
        self._busy_poll: BusyPoll | None = None
        if spin_us := config.wire.busy_poll_us:
            self._busy_poll = BusyPoll(
                self._loop, monotonic_s, spin_us * 1e-6, lambda: self._counters.finished
            )

    # ---- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Listens, serves until told to drain, and leaves nothing behind."""
        await self._plugins.start()
        server = self._config.server
        reuse_port = server.fronts != 1
        ports = {}
        for name, port in (("http", server.http_port), ("grpc", server.grpc_port)):
            try:
                _, ports[name] = await self._listeners[name].start(server.host, port, reuse_port=reuse_port)
            except OSError as error:
                log.error("cannot listen on %s port %d: %s", server.host, port, error.strerror)
                raise
        self._channel.send(Listening(ports))
        # What start-up made stays: a collection without it is three times shorter; one a turn is too often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        self._sweep()
        self._flush()
        await self._stopped.wait()
        await self._drain()

    def stop(self, drain_s: float) -> None:
        """Begins the drain; a second call shortens it."""
        self._drain_s = drain_s if self._drain_s is None else min(drain_s, self._drain_s)
        self._stopped.set()

    def orphan(self) -> None:
        """The controller is gone: finishes what there is, and ends."""
        self._asks.lose()
        self.stop(ORPHAN_DRAIN_S)

    async def _drain(self) -> None:
        assert self._drain_s is not None
        self._pipeline.drain()
        await asyncio.sleep(min(self._config.server.pre_drain_s, self._drain_s))
        self._protocols.finish()
        await asyncio.gather(*(listener.drain(self._drain_s) for listener in self._listeners.values()))
        await self._plugins.stop()
        await self._tasks.aclose()
        self._hand_over_counters()
        self._channel.send(Bye())
        self._trace_log.close(TRACES_S)
        self._observing.close()
        self._instances.close()
        self._arena.close()

    # ---- the controller's word ------------------------------------------------------------------

    def on_message(self, message: ToFront, fds: tuple[int, ...]) -> None:
        """Acts on one packet of the controller; owns its descriptors."""
        match message:
            case Snapshot():
                self._instances.apply(message)
            case Attach():
                self._attach(message, fds)
            case Detach():
                self._instances.detach(message.worker)
            case Drain():
                self.stop(message.timeout_s)
            case Sync():
                self._hand_over(self._counters.reports())
                self._channel.send(Synced(message.number))
            case Answered():
                self._asks.on_answer(message, fds)
            case Configure():
                log.error("a second configuration was ignored")
            case _:
                self._set(message, fds)

    def _set(self, message: SetTrace | SetLog | SetPlugin, fds: tuple[int, ...]) -> None:
        match message:
            case SetTrace():
                self._observing.on_trace(message, fds)
            case SetLog():
                self._logs.apply(message.settings)
                self._observing.log = message.settings
            case SetPlugin():
                self._plugins.change(message.plugin, message.document)

    def _attach(self, message: Attach, fds: tuple[int, ...]) -> None:
        (fd,) = fds
        sock = socket.socket(fileno=fd)
        queue = self._instances.queue_for(message.key)
        if queue is None:  # removed since the controller sent this
            sock.close()
            self._instances.detach(message.worker)
            return
        self._instances.attach(message.key, self._link(message, sock, queue))

    def _link(self, message: Attach, sock: socket.socket, queue: Queue) -> Link:
        if message.inline:
            try:
                model = load_model(msgspec.msgpack.decode(message.inline, type=Load), monotonic_s).model
            except LoadError as error:
                # Its worker has loaded the same files: go on with that, and say so.
                log.error("%s cannot run in the front, its worker runs it: %s", message.key, error)
            else:
                return StandbyLink(model, message.worker, queue, monotonic_ns, sock, self._loop)
        spec = wired(queue.spec)
        link = WorkerLink(sock, message.worker, message.generation, spec, self._arena, self._loop, queue)
        if queue.spec.backend == "python":
            self._open_calls(message, link, queue)
        return link

    def _open_calls(self, message: Attach, link: WorkerLink, queue: Queue) -> None:
        """Lets a model in Python call others."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        end = CallLink(ours, message.generation, self._arena, self._loop, link.lose)
        members = partial(queue.members, message.worker)
        end.listen(Calls(members, end, self._pipeline, self._catalogue.route, monotonic_s))
        with theirs:
            link.open_calls(end, theirs.fileno())

    def _trace(self, scopes: dict[str, Scope]) -> None:
        """Only while something is to be traced a request asks whether it is."""
        self._tracer.scopes = scopes
        is_on = any(scope.settings.levels for scope in scopes.values())
        self._pipeline.tracer = self._tracer if is_on else None

    # ---- parts ----------------------------------------------------------------------------------

    def _make_listener(self) -> Listener:
        return Listener(
            self._protocols, self._config.wire, monotonic_s, ssl=self._context, body_memory=self._arena
        )

    def _make_grpc_listener(self) -> Listener | GrpcioListener:
        config = self._config
        if config.frontends.grpc.engine == "native":
            return self._make_listener()
        from gateway.frontends.v2_grpc.grpcio.listener import GrpcioListener  # 12 MB, for those who want it

        return GrpcioListener(
            self._protocols, config.frontends.grpc, config.wire, tls=config.tls, body_memory=self._arena
        )

    def _make_queue(self, spec: ModelSpec, events: Instances) -> Queue:
        executions = self._counters.executions(spec.name, spec.version)
        told = (self._poison, events, executions, self._strategies)
        return make_queue(spec, self._config.scheduling, self._loop, monotonic_s, *told)

    def _sink(self) -> Callable[[RequestRecord], None]:
        sinks = [self._counters.record]
        if self._config.telemetry.access_log:
            sinks.append(AccessLog(sys.stdout.buffer.write, wall_s).record)
        return telling(sinks, self._plugins.hooks.get("on_request"), self._loop, self._tasks)

    # ---- time -----------------------------------------------------------------------------------

    def _sweep(self) -> None:
        if self._busy_poll is not None:
            self._busy_poll.look()
        if not self._pipeline.is_idle:
            self._pipeline.sweep(monotonic_s())
        self._demand.swept()
        if len(self._asks):
            self._asks.sweep(monotonic_s())
        if self._instances.is_leaving:
            self._instances.sweep()
        self._loop.call_later(SWEEP_S, self._sweep)

    def _flush(self) -> None:
        self._hand_over_counters()
        self._demand.send()
        self._protocols.refresh()
        sys.stdout.flush()
        self._loop.call_later(self._config.telemetry.flush_s, self._flush)

    def _hand_over_counters(self) -> None:
        listeners = [listener.statistics() for listener in self._listeners.values()]
        now = gauges(self._catalogue, listeners, self._plugins.failures)
        self._hand_over(self._counters.reports(now) + self._measuring.reports())

    def _hand_over(self, reports: list[FrontReport]) -> None:
        for report in reports:
            self._channel.send(Counters(msgspec.msgpack.encode(report)))


async def serve(fd: int) -> int:
    """Runs a front on the control channel `fd` until it is told to stop; returns the exit status."""
    loop = asyncio.get_running_loop()
    configured: asyncio.Future[tuple[int, GatewayConfig]] = loop.create_future()
    front: Front | None = None
    early: list[tuple[ToFront, tuple[int, ...]]] = []

    def on_message(message: ToFront, fds: tuple[int, ...]) -> None:
        if isinstance(message, Configure) and not configured.done():
            configured.set_result((message.front, validate(msgspec.json.decode(message.config))))
        elif front is None:
            early.append((message, fds))
        else:
            front.on_message(message, fds)

    def on_closed(reason: str) -> None:
        if front is None:
            configured.cancel()
        else:
            front.orphan()

    channel: ControlChannel[ToFront] = ControlChannel(
        socket.socket(fileno=fd), ToFront, on_message, on_closed
    )
    number, config = await configured
    front = Front(config, number, channel)
    for message, fds in early:
        front.on_message(message, fds)
    loop.add_signal_handler(signal.SIGTERM, front.stop, config.server.drain_timeout_s)
    try:
        await front.run()
    finally:
        channel.close()
    return 0


def main() -> int:
    """The process; arguments as in the module's docstring."""
    # SIGTERM, not SIGKILL: whoever is being answered when the controller is killed gets the answer.
    die_with_parent(int(sys.argv[2]), signal.SIGTERM)
    name_process("gateway-front")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the controller drains us
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(serve(int(sys.argv[1])))
        except asyncio.CancelledError:
            return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # nothing is left to do, and engines' or allocators' exit handlers cost tens of ms
