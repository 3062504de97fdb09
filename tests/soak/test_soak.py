"""Good, broken-off, slow and hostile clients at once; afterwards everything is as it was before.

`GATEWAY_SOAK_S` sets the length of the long one, seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import until_blocking
from tests.soak.footprint import Footprint, look
from tests.soak.oracle import MODELS, MODELS_CALLED
from tests.soak.traffic import EVERYTHING, Tally, run

SOAK_S = float(os.environ.get("GATEWAY_SOAK_S", "240"))
WARM_UP_S = 3.0
FRONTS = 2
SETTLE_S = 20.0
# A pool keeps at most so much free shared memory (gateway.workers.arena), one in each front and worker.
POOL_BYTES = 64 << 20
POOLS = FRONTS + len(MODELS_CALLED)


def connections(served: Gateway) -> float:
    return served.page()["gateway_connections"]


def unfinished(served: Gateway) -> float:
    """Everything that waits or runs."""
    gauges = ("gateway_queue_depth", "gateway_in_flight")
    return sum(value for name, value in served.page().items() if name.startswith(gauges))


def settled(served: Gateway) -> Footprint:
    """The footprint once every connection is closed and every request is over."""
    until_blocking(lambda: connections(served) == 0 and unfinished(served) == 0, SETTLE_S)
    return look(served.process.pid)


def soak(repository: Path, length_s: float) -> tuple[Tally, Footprint, Footprint]:
    """Runs everything against one gateway and returns its footprints before and after."""
    with gateway(repository, "--fronts", str(FRONTS)) as served:
        # Models, pools, caches and allocators first take what they need under such traffic.
        warm = run(EVERYTHING, served.http, served.grpc, WARM_UP_S)
        assert not warm.faults, warm.faults[:5]
        before = settled(served)
        tally = run(EVERYTHING, served.http, served.grpc, length_s)
        until_blocking(lambda: look(served.process.pid).descriptors == before.descriptors, SETTLE_S)
        after = settled(served)
        assert served.stop() == 0
        log = served.log.read_text()
        assert "Traceback" not in log
        assert " ERROR " not in log
    return tally, before, after


def judge(tally: Tally, before: Footprint, after: Footprint, growth: float) -> None:
    told = f"{dict(tally.counts)}\nbefore: {before}\nafter:  {after}"
    print(told)
    assert not tally.faults, (len(tally.faults), tally.faults[:5])
    assert len(tally.counts) == 10, told
    assert after.pids == before.pids, told
    assert after.descriptors == before.descriptors, told
    assert after.threads == before.threads, told
    assert after.private_bytes < before.private_bytes * (1 + growth), told
    assert after.shared_bytes <= POOLS * POOL_BYTES, told


def test_ten_seconds_of_everything_leave_nothing_behind() -> None:
    # A leaked connection is some 10 KiB and there are over a thousand; allocators still settle by 10 %.
    judge(*soak(MODELS, 10.0 - WARM_UP_S), growth=0.2)


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + 120)
def test_minutes_of_everything_leave_nothing_behind() -> None:
    judge(*soak(MODELS, SOAK_S), growth=0.2)
