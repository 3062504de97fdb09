"""A front that polls busily: it answers as ever, and sleeps when nobody asks any more."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

from tests.fakes.gateway_process import gateway
from tests.fakes.waiting import until_blocking

FEATURES = {"inputs": [{"name": "features", "shape": [1, 30], "datatype": "FP32", "data": [0.5] * 30}]}
INLINE = 'parameters { key: "gateway.isolation" value { string_value: "inline" } }'
# A front without requests wakes a hundred times a second for its timers: some 2 % of a core.
IDLE_SHARE = 0.3


def test_it_answers_and_then_sleeps(tmp_path: Path) -> None:
    shutil.copytree("model_repo/fraud", tmp_path / "fraud")
    config = tmp_path / "fraud" / "config.pbtxt"
    config.write_text(config.read_text() + INLINE)
    with gateway(tmp_path, "--insecure-dev", environment={"GATEWAY_WIRE__BUSY_POLL_US": "1000"}) as served:
        for _ in range(50):
            assert served.infer("fraud", FEATURES)[0] == 200
        (front,) = served.processes("front")
        until_blocking(lambda: front.cpu_percent(interval=0.3) < 100 * IDLE_SHARE)
        assert psutil.pid_exists(front.pid)
        assert served.infer("fraud", FEATURES)[0] == 200
        assert served.stop() == 0, served.log.read_text()
