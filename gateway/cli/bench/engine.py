"""The loop of one process: keeps connections busy, sends what is due, counts what comes back.

DESIGN: an epoll loop, no asyncio: at 64 connections a request costs one recv, one send and a share of
one poll, and every microsecond of an event loop's own would come off the generator's ceiling. Closed
loop: a free slot sends at once. Open loop: arrivals are due at times fixed in advance; one that finds
no free slot waits in `_backlog`, and its latency counts from when it was due, so that a server that
stalls cannot stop the clock (no coordinated omission).

Which requests count: all that were due within the window; in a closed loop that runs for a time,
successes count if they ended within it, which keeps throughput unbiased when requests are long.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Iterator
from math import inf

from gateway.cli.bench.connection import Connection
from gateway.cli.bench.dialogue import UNPROCESSED, Answer, Dialogue
from gateway.cli.bench.load import Share, arrival_times, shared
from gateway.cli.bench.plan import BenchError, Plan
from gateway.cli.bench.tally import Mark, Outcome, Tally, mark
from gateway.cli.bench.timer import Timer
from gateway.core.clock import Clock

_TICK_S = 0.05
_BACKOFF_S = 0.05
_EVENTS = 256
_LARGE_BUFFER = 1 << 20

Report = Callable[[int, int], None]


class Engine:
    """One process's generator: `connect`, then `run`, then `close`."""

    # Invariant: each slot of an open connection is in flight, or in _idle once, or held by a closing one.
    __slots__ = (
        "_backlog", "_begin", "_by_answer", "_clock", "_deadline_s", "_due", "_due_times", "_end", "_epoll",
        "_expected_body", "_first", "_idle", "_is_draining", "_is_open_loop", "_is_running", "_judges",
        "_last", "_last_answer", "_links", "_next_tick", "_outstanding", "_plan", "_remaining", "_reopen",
        "_share", "_table", "_tally", "_timer", "bytes_in", "bytes_out",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        share: Share,
        address: tuple[int, tuple[object, ...]],
        make: Callable[[], Dialogue],
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._share = share
        self._clock = clock
        self._judges = plan.check or plan.deadline_s is not None
        self._is_open_loop = plan.is_open_loop
        self._by_answer = plan.requests is None and not plan.is_open_loop
        self._deadline_s = inf if plan.deadline_s is None else plan.deadline_s
        self._remaining = 1 << 62 if plan.requests is None else shared(plan.requests, share)
        self._epoll = select.epoll()
        self._timer = Timer()
        self._epoll.register(self._timer.fd, select.EPOLLIN | select.EPOLLET)
        self._tally = Tally()
        self._backlog: deque[float] = deque()
        self._idle: deque[Connection] = deque()
        self._reopen: list[tuple[float, Connection]] = []
        self._table: dict[int, Connection] = {}
        self.bytes_in = self.bytes_out = self._outstanding = 0
        self._is_running = self._is_draining = False
        self._begin = self._end = self._due = inf
        self._next_tick = self._last_answer = -inf
        self._due_times: Iterator[float] = iter(())
        self._first: Mark | None = None
        self._last: Mark | None = None
        self._expected_body: object = None
        large = bytearray(_LARGE_BUFFER)
        self._links = [
            Connection(address, make, slots, epoll=self._epoll, owner=self, large=large, clock=clock)
            for slots in _slots(plan, share)
        ]

    def connect(self, timeout_s: float) -> None:
        """Opens every connection; raises BenchError when one cannot be, or takes longer than allowed."""
        until = self._clock() + timeout_s
        waiting = len(self._links)
        for link in self._links:
            self._open(link)
        while any(not link.is_ready for link in self._links):
            if self._reopen:
                raise BenchError(f"cannot connect: {self._tally.examples['connect']}")
            if self._clock() > until:
                raise BenchError(f"not all of {waiting} connections were accepted within {timeout_s:g} s")
            self._dispatch(_TICK_S)
        self._check_streams()

    def run(self, start: float, report: Report) -> Outcome:
        """Generates load from `start` (monotonic seconds) on; tells `report` (done, failed) now and then."""
        plan = self._plan
        self._begin = start + plan.warmup_s
        self._end = inf if plan.requests is not None else self._begin + plan.duration_s
        self._next_tick = start
        if plan.rate is not None:
            self._due_times = arrival_times(plan.arrivals, plan.rate, start, self._share, plan.seed)
            self._due = inf if self._is_draining else next(self._due_times)
        while (now := self._clock()) < start:
            self._dispatch(min(_TICK_S, start - now))
        self._is_running = True
        self._tick(now, report)
        if not self._is_open_loop:
            self._offer_all(now)
        while not self._is_over():
            self._step(report)
        assert self._first is not None
        assert self._last is not None
        window_s = plan.duration_s if plan.requests is None else max(self._last_answer - self._begin, 1e-9)
        return self._tally.close(self._first, self._last, window_s)

    def _check_streams(self) -> None:
        for link in self._links:
            if link.free_slots < link.slots:
                raise BenchError(f"--streams: the server takes {link.free_slots} at once on a connection")

    def close(self) -> None:
        """Closes every socket."""
        for link in self._links:
            link.close()
        self._timer.close()
        self._epoll.close()

    def answered(self, link: Connection, answer: Answer, started: float, sent: float, now: float) -> None:
        """Counts an answer and uses the slot again."""
        kind = answer.kind
        self._outstanding -= 1
        if kind == UNPROCESSED:
            self._tally.resent += 1
            self._backlog.append(started)
            return
        if self._judges and not kind:
            kind = self._judge(answer, now - sent)
        if kind:
            if self._begin <= started <= self._end:
                self._tally.fail(kind, answer.detail)
                self._last_answer = now
        elif self._begin <= (now if self._by_answer else started) <= self._end:
            self._tally.latency.record(now - started)
            self._last_answer = now
        if link.is_open and not link.is_closing:
            self._offer(link, self._clock())
        elif self._is_draining:
            self._next_tick = now

    def opened(self, link: Connection) -> None:
        """Gives a new connection's slots work, or notes them as idle."""
        now = self._clock()
        for _ in range(link.free_slots):
            self._offer(link, now)

    def lost(self, link: Connection, kind: str, detail: str, now: float) -> None:
        """Forgets a connection's slots and opens it again, later when it has never answered."""
        if link in self._idle:
            self._idle = deque(idle for idle in self._idle if idle is not link)
        self._reopen.append((now if link.has_answered else now + _BACKOFF_S, link))
        if kind != "connect" or not self._is_running:
            self._tally.examples.setdefault("connect", detail)
            return
        # A slot that could not connect fails the request it was for.
        if self._backlog:
            self._fail_unsent(self._backlog.popleft(), detail)
        elif not self._is_open_loop and self._take(now):
            self._fail_unsent(now, detail)

    def _fail_unsent(self, started: float, detail: str) -> None:
        if self._begin <= started <= self._end:
            self._tally.fail("connect", detail)
            self._last_answer = self._clock()

    def _judge(self, answer: Answer, taken_s: float) -> str:
        if taken_s > self._deadline_s:
            return "deadline"
        if not self._plan.check:
            return ""
        if self._expected_body is None:
            self._expected_body = answer.body
        return "" if answer.body == self._expected_body else "mismatch"

    def _take(self, now: float) -> bool:
        """True if the closed loop may send one more; counts it."""
        if now < self._begin:
            return True
        if now >= self._end or self._remaining <= 0:
            self._is_draining = True
            return False
        self._remaining -= 1
        return True

    def _offer(self, link: Connection, now: float) -> None:
        """Uses a free slot."""
        if not self._is_running:
            self._idle.append(link)
        elif self._backlog:
            self._launch(link, self._backlog.popleft(), now)
        elif not self._is_open_loop and self._take(now):
            self._outstanding += 1
            link.launch(now, now)
        else:
            self._idle.append(link)
            if self._is_draining:
                self._next_tick = now

    def _offer_all(self, now: float) -> None:
        idle, self._idle = self._idle, deque()
        for link in idle:
            self._offer(link, now)

    def _launch(self, link: Connection, started: float, now: float) -> None:
        if self._is_open_loop and started >= self._begin:
            self._tally.sent(now - started)
        self._outstanding += 1
        link.launch(started, now)

    def _release(self, now: float) -> None:
        """Sends, or queues, every arrival that is due."""
        while self._due <= now:
            due = self._due
            if due >= self._end or self._remaining <= 0:
                self._due, self._is_draining = inf, True
                self._next_tick = now
                return
            if due >= self._begin:
                self._remaining -= 1
                self._is_draining = self._remaining <= 0
            if self._idle:
                self._launch(self._idle.popleft(), due, now)
            else:
                self._backlog.append(due)
            self._due = inf if self._is_draining else next(self._due_times)

    def _step(self, report: Report) -> None:
        now = self._clock()
        self._release(now)
        if now >= self._next_tick:
            self._tick(now, report)
        if self._due < self._next_tick:
            self._timer.arm(self._due)
        self._dispatch(self._next_tick - now)

    def _dispatch(self, timeout_s: float) -> None:
        table = self._table
        for fd, mask in self._epoll.poll(max(timeout_s, 0.0), _EVENTS):
            link = table.get(fd)
            if link is not None:
                link.on_event(mask)

    def _tick(self, now: float, report: Report) -> None:
        if self._first is None and now >= self._begin:
            self._first = mark(now, self.bytes_in, self.bytes_out)
        if self._last is None and (now >= self._end or self._is_finished()):
            self._last = mark(now, self.bytes_in, self.bytes_out)
        if now >= self._end:
            self._drop_backlog()
        self._expire(now)
        self._open_again(now)
        report(self._tally.latency.count, sum(self._tally.errors.values()))
        boundaries = [at for at in (self._begin, self._end) if at > now]
        self._next_tick = min([now + _TICK_S, *boundaries])

    def _drop_backlog(self) -> None:
        """At the end of the time, what was due and has not been sent is told as such."""
        self._is_draining = True
        self._tally.unsent += sum(due >= self._begin for due in self._backlog)
        self._backlog.clear()

    def _expire(self, now: float) -> None:
        kind, limit_s = (
            ("deadline", self._deadline_s) if self._deadline_s < inf else ("timeout", self._plan.timeout_s)
        )
        for link in self._links:
            # In order of sending, so the first that is young enough ends the search.
            for tag, (_, sent) in list(link.in_flight.items()):
                if now - sent <= limit_s:
                    break
                link.give_up(tag, kind, now)

    def _open_again(self, now: float) -> None:
        waiting, self._reopen = self._reopen, []
        for when, link in waiting:
            if when > now:
                self._reopen.append((when, link))
            elif self._backlog or not self._is_draining:
                self._tally.reconnects += 1
                self._open(link)

    def _open(self, link: Connection) -> None:
        link.open()
        self._table[link.fd] = link

    def _is_finished(self) -> bool:
        return self._is_draining and not self._outstanding and not self._backlog

    def _is_over(self) -> bool:
        return self._last is not None and self._first is not None and self._is_finished()


def _slots(plan: Plan, share: Share) -> list[int]:
    """How many requests each of this process's connections carries at once."""
    connections = plan.connection_count
    indexes = range(share.number, connections, share.processes)
    if plan.is_open_loop:
        return [plan.streams for _ in indexes]
    return [shared(plan.concurrency, Share(index, connections)) for index in indexes]
