"""A load generator in one process: open loop, and metadata that changes with every call.

Run as `python -m tests.bench.generator`: a Plan as JSON on standard input, a Load on standard output.
The loop never sleeps while an open loop runs (a core of its own is what the harness gives it): libuv's
timers tick in milliseconds, and requests due between two ticks would leave in bursts.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from math import inf
from time import perf_counter
from typing import Any

import msgspec
import uvloop

from tests.bench.lanes import GrpcCalls, GrpcLane, Lane, RestLane
from tests.bench.load import Plan
from tests.bench.outputs import Load

_GRACE_S = 30.0  # how long answers may be outstanding after the last request was due


class Driver:
    """Hands requests to lanes as the plan says and keeps what came of them."""

    # Invariant: every connection asked for is in `_idle`, or busy, or being made again.

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._calls, self._request = _calls(plan), _rest_request(plan)
        self._lanes: set[Lane] = set()
        self._idle: list[Lane] = []
        self._overdue: deque[float] = deque()
        self._latencies: list[float] = []
        self._failures = 0
        self._from = self._until = inf
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._gone = asyncio.Event()  # set when the last lane has gone
        self._broken: BaseException | None = None

    async def run(self) -> Load:
        """Connects, warms up, measures; raises what broke a connection for good."""
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._fail(context))
        try:
            for _ in range(self._plan.connections):
                await self._connect()
            await self._measure(perf_counter())
            if self._broken is not None:
                raise self._broken
            return self._load()
        finally:
            await self._close()

    async def _measure(self, start: float) -> None:
        self._from = start + self._plan.warm_up_s
        self._until = self._from + self._plan.seconds
        if self._plan.rate:
            await self._open_loop(start)
        else:
            await self._closed_loop()

    async def _close(self) -> None:
        self._until = -inf  # from here on nothing is counted, sent or connected again
        for task in self._tasks:
            task.cancel()
        self._gone.clear()
        for lane in self._lanes:
            lane.close()
        if self._lanes:
            await self._gone.wait()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, lane = await loop.create_connection(self._lane, "127.0.0.1", self._plan.port)
        if not lane.is_closing():
            self._lanes.add(lane)

    def _lane(self) -> Lane:
        events = (self._ready, self._ended, self._lost)
        if self._plan.protocol == "grpc":
            return GrpcLane(self._calls, *events)
        return RestLane(self._request, *events)

    async def _closed_loop(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self._plan.warm_up_s + self._plan.seconds, self._over.set)
        for lane in [*self._idle]:
            self._idle.remove(lane)
            self._start(lane, perf_counter())
        await self._over.wait()

    async def _open_loop(self, start: float) -> None:
        gap, due, outstanding_until = 1 / self._plan.rate, start, self._until + _GRACE_S
        while not self._over.is_set():
            now = perf_counter()
            while due <= now and due < self._until:
                self._hand_out(due)
                due += gap
            if now >= self._until and (self._is_finished() or now > outstanding_until):
                break
            await asyncio.sleep(0)
        self._failures += self._outstanding()

    def _hand_out(self, due: float) -> None:
        if self._idle:
            self._start(self._idle.pop(), due)
        else:
            self._overdue.append(due)

    def _start(self, lane: Lane, due: float) -> None:
        lane.due = due
        lane.send()

    def _ready(self, lane: Lane) -> None:
        if self._from == inf or self._plan.rate:
            self._take_next(lane)
        else:
            self._start(lane, perf_counter())

    def _ended(self, lane: Lane, is_good: bool) -> None:
        now = perf_counter()
        if lane.due >= self._from and (now <= self._until or (self._plan.rate and self._until > 0)):
            if is_good:
                self._latencies.append(now - lane.due)
            else:
                self._failures += 1
        if lane.is_closing():
            return
        if self._plan.rate:
            self._take_next(lane)
        elif now < self._until:
            self._start(lane, now)

    def _take_next(self, lane: Lane) -> None:
        if self._overdue:
            self._start(lane, self._overdue.popleft())
        else:
            self._idle.append(lane)

    def _lost(self, lane: Lane) -> None:
        self._lanes.discard(lane)
        if not self._lanes:
            self._gone.set()
        if lane in self._idle:
            self._idle.remove(lane)
        if perf_counter() < self._until:
            task = asyncio.get_running_loop().create_task(self._connect(), name="reconnect")
            self._tasks.add(task)
            task.add_done_callback(self._reconnected)

    def _reconnected(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail({"exception": error})

    def _fail(self, context: dict[str, Any]) -> None:
        """Ends the run: an error in a lane means that the figures would be of something else."""
        self._broken = context.get("exception") or RuntimeError(context["message"])
        self._over.set()

    def _is_finished(self) -> bool:
        return self._outstanding() == 0

    def _outstanding(self) -> int:
        return self._plan.connections - len(self._idle) + len(self._overdue)

    def _load(self) -> Load:
        taken = sorted(latency * 1e6 for latency in self._latencies)
        requests = len(taken) + self._failures
        load = Load(requests=requests, failures=self._failures, seconds=self._plan.seconds)
        return load.with_latencies(taken) if taken else load


def _calls(plan: Plan) -> GrpcCalls:
    authority = f"127.0.0.1:{plan.port}"
    return GrpcCalls(plan.path, authority, plan.body, metadata=plan.headers, unique=plan.unique_metadata)


def _rest_request(plan: Plan) -> bytes:
    headers = {"host": f"127.0.0.1:{plan.port}", **plan.headers, "content-length": str(len(plan.body))}
    lines = [f"POST {plan.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + plan.body


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)

    async def run() -> Load:
        return await Driver(plan).run()

    sys.stdout.write(msgspec.json.encode(uvloop.run(run())).decode() + "\n")


if __name__ == "__main__":
    main()
