"""A start: nothing is loaded before it is called, and the first answer is not long in coming."""

from __future__ import annotations

import time
from pathlib import Path

from tests.fakes.gateway_process import gateway
from tests.fakes.waiting import soon

MODELS = Path("model_repo")
FEATURES = {"inputs": [{"name": "features", "shape": [1, 30], "datatype": "FP32", "data": [0.5] * 30}]}
# Half a second where what it needs is in the file cache.
FIRST_ANSWER_S = 1.5


def test_a_gateway_answers_soon_and_has_loaded_what_was_called_and_no_more() -> None:
    began = time.perf_counter()
    with gateway(MODELS) as served:
        assert not served.processes("gateway-worker")
        assert served.ask("/v2/models/fraud/ready")[0] == 200
        assert served.ask("/v2/models/digits/ready")[0] == 200
        assert not served.processes("gateway-worker"), "to be asked whether it is ready loads no model"
        assert served.infer("fraud", FEATURES)[0] == 200
        assert time.perf_counter() - began < soon(FIRST_ANSWER_S)
        assert len(served.processes("gateway-worker")) == 1
        assert served.stop() == 0
