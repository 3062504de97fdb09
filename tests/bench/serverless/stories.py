"""What is done to a started gateway, and what came of it; the process tests tell the same, shorter."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import aiohttp

from tests.bench.memory import tree_pss_bytes
from tests.bench.serverless.models import versions
from tests.fakes.gateway_process import Gateway

_TENSOR = {"name": "X", "datatype": "FP32", "shape": [1, 4], "data": [0.0, 0.0, 0.0, 0.0]}
BODY = json.dumps({"inputs": [_TENSOR]}).encode()


class Outcome(NamedTuple):
    """One answer: its status, the first value of its output (nan without), its version, and seconds."""

    status: int
    value: float
    version: str
    seconds: float
    text: str = ""


class Client:
    """Asks models over HTTP; many at a time."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(60)
        )

    async def ask(self, model: str, body: bytes = BODY) -> Outcome:
        """One inference."""
        begun = time.perf_counter()
        async with self._session.post(f"{self._base}/v2/models/{model}/infer", data=body) as answer:
            text = await answer.text()
        seconds = time.perf_counter() - begun
        if answer.status != 200:
            return Outcome(answer.status, float("nan"), "", seconds, text)
        told = json.loads(text)
        return Outcome(200, told["outputs"][0]["data"][0], told["model_version"], seconds)

    async def close(self) -> None:
        await self._session.close()


def loads_of(gateway: Gateway, model: str) -> int:
    """How often it was loaded."""
    series = f'gateway_model_loads_total{{model="{model}",result="ok",'
    return int(sum(value for name, value in gateway.page().items() if name.startswith(series)))


def together(gateway: Gateway, model: str, count: int) -> Sequence[Outcome]:
    """So many requests at the same time to one model."""

    async def run() -> Sequence[Outcome]:
        client = Client(gateway.http)
        try:
            return await asyncio.gather(*(client.ask(model) for _ in range(count)))
        finally:
            await client.close()

    return asyncio.run(run())


def probed(
    gateway: Gateway, model: str, rate: float, until: Callable[[], bool], seconds: float
) -> list[Outcome]:
    """Requests at a constant rate, whatever becomes of them, until that is true or the time is over."""

    async def run() -> list[Outcome]:
        client, tasks = Client(gateway.http), list[asyncio.Task[Outcome]]()
        begun = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                while time.perf_counter() - begun < seconds:
                    tasks.append(group.create_task(client.ask(model)))
                    if len(tasks) % max(1, int(rate)) == 0 and await asyncio.to_thread(until):
                        break
                    await asyncio.sleep(max(0.0, begun + len(tasks) / rate - time.perf_counter()))
        finally:
            await client.close()
        return [task.result() for task in tasks]

    return asyncio.run(run())


class Switch(NamedTuple):
    """A new version under load: all outcomes, and when the last of the old and first of the new began."""

    outcomes: list[tuple[float, Outcome]]
    gone_at: float  # when the old version's worker was gone

    @property
    def failed(self) -> list[Outcome]:
        return [one for _, one in self.outcomes if one.status != 200]

    @property
    def wrong(self) -> list[Outcome]:
        """Answers that are not those of the version they name."""
        return [one for _, one in self.outcomes if one.status == 200 and one.value != float(one.version)]

    @property
    def answered_by_the_gone(self) -> list[Outcome]:
        return [one for at, one in self.outcomes if at > self.gone_at and one.version == "1"]


def switched(gateway: Gateway, root: Path, model: str, clients: int, seconds_after: float = 1.0) -> Switch:
    """Version 2 comes (and 1 goes) while `clients` ask without a pause."""

    async def run() -> Switch:
        client = Client(gateway.http)
        outcomes: list[tuple[float, Outcome]] = []
        stop = asyncio.Event()

        async def keep_asking() -> None:
            while not stop.is_set():
                began = time.perf_counter()
                outcomes.append((began, await client.ask(model)))

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(keep_asking())
            await asyncio.sleep(0.5)
            old = {one.pid for one in gateway.processes("gateway-worker")}
            await asyncio.to_thread(versions, root, model, 2)
            gone_at = 0.0
            for _ in range(3000):
                if not old & {one.pid for one in gateway.processes("gateway-worker")}:
                    gone_at = time.perf_counter()
                    break
                await asyncio.sleep(0.01)
            await asyncio.sleep(seconds_after)
            stop.set()
        await client.close()
        assert gone_at, "the old version is still there"
        return Switch(outcomes, gone_at)

    return asyncio.run(run())


def cycles(gateway: Gateway, model: str, count: int) -> tuple[int, int]:
    """Loads and unloads it so often; PSS of the whole tree before and after, in bytes."""
    sizes = []
    for number in range(count + 20):
        if number in {20, count + 19}:
            time.sleep(1.0)
            sizes.append(tree_pss_bytes(gateway.process.pid))
        status, answer, _ = gateway.ask(f"/v2/repository/models/{model}/load", {})
        assert status == 200, answer
        status, answer, _ = gateway.ask(f"/v2/repository/models/{model}/unload", {})
        assert status == 200, answer
    return sizes[0], sizes[1]


def zipf(seed: int, exponent: float, models: int) -> Callable[[], int]:
    """Draws ranks 0 … models - 1 with probability proportional to 1 / (rank + 1)^exponent."""
    rng = Random(seed)
    weights = [1 / (rank + 1) ** exponent for rank in range(models)]
    total, sums = 0.0, []
    for weight in weights:
        total += weight
        sums.append(total)
    ranks = range(models)
    return lambda: rng.choices(ranks, cum_weights=sums)[0]


def drawn(gateway: Gateway, draw: Callable[[], int], count: int, clients: int) -> list[tuple[int, Outcome]]:
    """`count` requests by some clients, each to a model by chance."""

    async def run() -> list[tuple[int, Outcome]]:
        client, found = Client(gateway.http), list[tuple[int, Outcome]]()

        async def ask(times: int) -> None:
            for _ in range(times):
                rank = draw()
                found.append((rank, await client.ask(f"m{rank}")))

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(ask(count // clients))
        await client.close()
        return found

    return asyncio.run(run())


def offered(
    gateway: Gateway, draw: Callable[[], int], count: int, a_second: float
) -> list[tuple[int, Outcome]]:
    """`count` requests at a steady rate, whatever becomes of those before, each to a model by chance."""

    async def run() -> list[tuple[int, Outcome]]:
        client, found = Client(gateway.http), list[tuple[int, Outcome]]()
        loop = asyncio.get_running_loop()
        begun = loop.time()

        async def ask(rank: int) -> None:
            found.append((rank, await client.ask(f"m{rank}")))

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(begun + number / a_second - loop.time())
                group.create_task(ask(draw()))
        await client.close()
        return found

    return asyncio.run(run())


def statuses(outcomes: Sequence[Outcome]) -> Counter[int]:
    """How often each status came."""
    return Counter(one.status for one in outcomes)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
