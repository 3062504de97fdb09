"""The fronts as the controller holds them: started, told the world, restarted, drained.

Each front has its own numbering of snapshots, from 1, and its own data channel to every worker, with
a generation no other channel ever had. A front that dies is replaced at once and told everything
anew; one that loses us goes on serving what it knows, and ends by PR_SET_PDEATHSIG if we are dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from itertools import count
from random import Random

import msgspec

from gateway.control.channel import ControlChannel, packet_pair
from gateway.control.messages import (
    Activate,
    Ask,
    Attach,
    Bye,
    Configure,
    Counters,
    Demand,
    Detach,
    Detached,
    Drain,
    FromFront,
    Listening,
    ModelView,
    Suspect,
    Sync,
    Synced,
    ToFront,
)
from gateway.control.snapshots import Delta, aged, steps
from gateway.core.clock import Clock
from gateway.core.model import ModelKey
from gateway.lifecycle.front_contract import (
    FrontEvents,
    FrontQuestions,
    FrontSettings,
    FrontTelemetry,
    Reachable,
    Send,
)
from gateway.lifecycle.journal import tell_front_ended
from gateway.lifecycle.roll_call import RollCall
from gateway.workers.messages import Connect
from gateway.workers.processes import Process, describe, launch
from gateway.workers.restart import backoff, recent

log = logging.getLogger("gateway.fronts")


class FrontFailed(Exception):
    """A front ended before all of them had ever been listening: the configuration cannot be served."""


class _Attached(msgspec.Struct, frozen=True):
    key: ModelKey
    worker: Reachable
    inline: bytes


class _Front:
    """One place for a front: the process in it changes, the index stays."""

    __slots__ = ("channel", "deaths", "index", "number", "ports", "process", "restart", "started_at")

    def __init__(self, index: int) -> None:
        self.index = index
        self.process: Process | None = None
        self.channel: ControlChannel[FromFront] | None = None
        self.number = 0  # of the last snapshot it was sent
        self.ports: Mapping[str, int] | None = None  # None until it listens
        self.deaths: tuple[float, ...] = ()
        self.restart: asyncio.TimerHandle | None = None
        self.started_at = 0.0


class Fronts:
    """Owns the front processes; `start` them, then `publish`, `attach` and `detach`; `drain` at the end.

    `configure(front, ports)` is the configuration as JSON, with `ports` where those are known already:
    a port given as 0 is chosen by the first front and then kept for all others and all restarts.
    """

    def __init__(
        self,
        settings: FrontSettings,
        configure: Callable[[int, Mapping[str, int]], str],
        telemetry: FrontTelemetry,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._settings = settings
        self._configure = configure
        self._telemetry = telemetry
        self._clock = clock
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._events: FrontEvents | None = None
        self._questions: FrontQuestions | None = None
        self._greet: Callable[[Send], None] = lambda _: None
        self._fronts = [_Front(index) for index in range(settings.count)]
        self._generations = count(1)
        # The world as last published, with the time of each view, for fronts yet to come.
        self._views: dict[str, tuple[ModelView, float]] = {}
        self._is_complete = False
        self._attached: dict[int, _Attached] = {}
        # Detached workers, until all fronts have let go of them | synchronisations under way.
        self._detaching, self._syncing = RollCall(), RollCall()
        self._syncs = count(1)
        self._ports: Mapping[str, int] = {}
        self._all_listening: asyncio.Future[Mapping[str, int]] = self._loop.create_future()
        self._all_ended = asyncio.Event()
        self._is_draining = False
        self.restarts = 0

    # ---- life of the processes -----------------------------------------------------------------------

    def start(
        self, events: FrontEvents, questions: FrontQuestions, greet: Callable[[Send], None] = lambda _: None
    ) -> None:
        """Starts the first front, and the others once it has told its ports; `greet` tells each new one."""
        self._events, self._questions, self._greet = events, questions, greet
        self._launch(self._fronts[0])

    async def wait_until_listening(self) -> Mapping[str, int]:
        """The ports by listener once every front accepts; raises FrontFailed."""
        return await asyncio.shield(self._all_listening)

    @property
    def are_listening(self) -> bool:
        """True while every front accepts and knows the whole catalogue's state."""
        return self._is_complete and all(front.ports is not None for front in self._fronts)

    def pids(self) -> tuple[int, ...]:
        """The fronts that run, by index."""
        return tuple(front.process.pid for front in self._fronts if front.process)

    async def drain(self, timeout_s: float, patience_s: float) -> None:
        """Lets every front finish what it has within `timeout_s`, and waits `patience_s` for their ends."""
        self._start_no_more()
        for front in self._fronts:
            self._send(front, Drain(timeout_s))
        self._note_if_all_ended()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_ended.wait(), patience_s)

    async def kill(self) -> None:
        """Ends what is left of the fronts by force."""
        self._start_no_more()
        for front in self._fronts:
            if front.process:
                front.process.kill()
        self._note_if_all_ended()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_ended.wait(), 2.0)

    def check(self) -> None:
        """Asserts the invariants."""
        assert not any(worker in self._detaching for worker in self._attached)
        self._detaching.check()
        self._syncing.check()

    def check_hung(self, now: float) -> None:
        """Ends a front that does not come to listen within its time; it is then started again."""
        for front in self._fronts:
            is_late = now - front.started_at > self._settings.start_timeout_s
            if front.process and front.ports is None and is_late and not self._is_draining:
                log.warning("front %d does not come to listen: killed", front.index)
                front.process.kill()

    # ---- what they are told --------------------------------------------------------------------------

    def publish(self, changed: tuple[ModelView, ...], removed: tuple[str, ...] = ()) -> None:
        """Tells all fronts, now and to come, how the world has changed; the first call completes it."""
        now = self._clock()
        for name in removed:
            self._views.pop(name, None)
        self._views.update((view.name, (view, now)) for view in changed)
        self._is_complete = True
        for front in self._fronts:
            self._send_change(front, Delta(changed, removed))

    def for_each(self, tell: Callable[[Send], None]) -> None:
        """Calls `tell` with the way to each front that runs."""
        for channel in [front.channel for front in self._fronts if front.channel]:
            tell(channel.send)

    def attach(self, worker: Reachable, key: ModelKey, inline: bytes = b"") -> None:
        """Connects a worker that serves `key` to all fronts, now and to come, until `detach` or `forget`.

        `inline` as in control.messages.Attach.
        """
        attached = _Attached(key, worker, inline)
        self._attached[worker.id] = attached
        for front in self._fronts:
            self._connect(front, attached)

    def detach(self, worker: int, on_detached: Callable[[], None]) -> None:
        """Takes a worker away from all fronts; calls back, perhaps at once, when none has work in it."""
        if self._attached.pop(worker, None) is None:
            on_detached()
            return
        for front in self._fronts:
            self._send(front, Detach(worker))
        self._detaching.begin(worker, self._reachable(), on_detached)

    def forget(self, worker: int) -> None:
        """The worker is dead: nothing is to be said about it any more (its channels tell the fronts)."""
        self._attached.pop(worker, None)
        self._detaching.dismiss(worker)

    def sync(self, then: Callable[[], None]) -> None:
        """Calls back, perhaps at once, when every front has acted upon all it was sent until now."""
        number = next(self._syncs)
        for front in self._fronts:
            self._send(front, Sync(number))
        self._syncing.begin(number, self._reachable(), then)

    def _reachable(self) -> set[int]:
        return {front.index for front in self._fronts if front.channel}

    # ---- processes -----------------------------------------------------------------------------------

    def _launch(self, front: _Front) -> None:
        ours, theirs = packet_pair()
        front.restart = None
        front.number, front.ports = 0, None
        front.started_at = self._clock()
        front.channel = ControlChannel(
            ours,
            FromFront,
            lambda message, fds: self._on_message(front, message, fds),
            lambda reason: self._on_channel_closed(front, reason),
        )
        front.process = launch(self._settings.module, theirs, lambda code: self._on_exit(front, code))
        front.channel.send(Configure(front.index, self._configure(front.index, self._ports)))
        self._greet(front.channel.send)
        if self._is_complete:
            now = self._clock()
            views = tuple(aged(view, now - at) for view, at in self._views.values())
            self._send_change(front, Delta(views, ()))
        for attached in self._attached.values():
            self._connect(front, attached)

    def _start_no_more(self) -> None:
        self._is_draining = True
        for front in self._fronts:
            if front.restart:
                front.restart.cancel()
                front.restart = None

    def _on_exit(self, front: _Front, code: int) -> None:
        process, front.process = front.process, None
        self._drop_channel(front)
        self._telemetry.on_front_died(front.index)
        if self._is_draining:
            self._note_if_all_ended()
            return
        if not self._all_listening.done():
            text = f"front {front.index} ended before it was listening ({describe(code)})"
            self._all_listening.set_exception(FrontFailed(text))
            return
        now = self._clock()
        front.deaths = (*recent(front.deaths, now, self._settings.policy.window_s), now)
        wait_s = backoff(len(front.deaths), self._settings.policy, self._rng.random())
        tell_front_ended(front.index, process.pid if process else None, describe(code), wait_s)
        self.restarts += 1
        front.restart = self._loop.call_later(wait_s, self._launch, front)

    def _on_channel_closed(self, front: _Front, reason: str) -> None:
        """A front without its control channel would serve a world that grows old: it is replaced."""
        if reason:
            log.warning("front %d: %s: killed", front.index, reason)
        self._drop_channel(front)
        if front.process and not self._is_draining:
            front.process.kill()

    def _drop_channel(self, front: _Front) -> None:
        if front.channel is None:
            return
        front.channel.close()
        front.channel = None
        front.ports = None
        self._detaching.lost(front.index)
        self._syncing.lost(front.index)

    def _note_if_all_ended(self) -> None:
        if all(front.process is None for front in self._fronts):
            self._all_ended.set()

    # ---- messages ------------------------------------------------------------------------------------

    def _on_message(self, front: _Front, message: FromFront, fds: tuple[int, ...]) -> None:
        assert self._events is not None
        if isinstance(message, Ask):
            assert self._questions is not None
            assert front.channel is not None, "it has just been heard"
            self._questions.on_ask(message, fds, front.channel.send)
            return
        for fd in fds:  # a front has no other to give
            os.close(fd)
        match message:
            case Counters(data):
                self._telemetry.on_counters(front.index, data)
            case Demand():
                self._telemetry.on_demand(front.index, message)
            case Activate(key, wait_s):
                self._events.on_activate(key, wait_s)
            case Suspect(worker, reason):
                self._events.on_suspect(worker, reason)
            case Listening(ports):
                self._on_listening(front, ports)
            case Bye():
                log.info("front %d has drained", front.index)
            case Detached() | Synced():
                self._on_done(front, message)

    def _on_done(self, front: _Front, message: Detached | Synced) -> None:
        """A front has done what all of them were told to."""
        match message:
            case Detached(worker):
                self._detaching.answered(worker, front.index)
            case Synced(number):
                self._syncing.answered(number, front.index)

    def _on_listening(self, front: _Front, ports: Mapping[str, int]) -> None:
        front.ports = ports
        self._ports = self._ports or ports
        for other in self._fronts:
            if other.process is None and other.restart is None and not self._is_draining:
                self._launch(other)
        if all(other.ports is not None for other in self._fronts) and not self._all_listening.done():
            self._all_listening.set_result(self._ports)

    def _send(self, front: _Front, message: ToFront) -> None:
        if front.channel:
            front.channel.send(message)

    def _send_change(self, front: _Front, change: Delta) -> None:
        if front.channel is None:
            return
        for step in steps(front.number + 1, change):
            front.channel.send(step)
            front.number = step.number

    def _connect(self, front: _Front, attached: _Attached) -> None:
        if front.channel is None:
            return
        generation = next(self._generations)
        fronts_end, workers_end = packet_pair()
        attached.worker.send(Connect(front.index, generation), (workers_end.detach(),))
        attach = Attach(attached.worker.id, generation, attached.key, attached.inline)
        front.channel.send(attach, (fronts_end.detach(),))
