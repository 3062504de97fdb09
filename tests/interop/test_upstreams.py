"""Remote models of the servers that people have: a real Triton, MLServer and KServe behind a gateway.

Marked `bench`, for their environments take minutes to make: `make bench` has them.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench import calls, models
from tests.bench.environments import Missing
from tests.bench.peers import PEERS, serving
from tests.bench.servers import Server, triton
from tests.fakes.gateway_process import gateway
from tests.fakes.remote_models import add_remote

ALL = frozenset({0, 1})
# KServe's own helper for answers names them so.
SCORE = {"kserve": "output-0"}
FRAUD = """
    max_batch_size: 64
    input { name: "features" data_type: TYPE_FP32 dims: [ 30 ] }
    output { name: "%s" data_type: TYPE_FP32 dims: [ 1 ] }
"""


@contextmanager
def upstream(name: str, folder: Path) -> Generator[Server]:
    """The server, with the fraud model; skips where it cannot be installed."""
    try:
        if name == "triton":
            models.write_triton_repository(folder)
            with triton(folder, cpus=ALL) as server:
                yield server
        else:
            (peer,) = (one for one in PEERS if one.name == name)
            with serving(peer, ALL) as server:
                yield server
    except Missing as error:
        pytest.skip(str(error))


@pytest.mark.bench
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["triton", "mlserver", "kserve"])
def test_its_answers_are_ours(tmp_path: Path, name: str) -> None:
    with upstream(name, tmp_path / "theirs") as server:
        urls = {"by_http": f"http://127.0.0.1:{server.http_port}"}
        if server.grpc_port:
            urls["by_grpc"] = f"grpc://127.0.0.1:{server.grpc_port}"
        for model, url in urls.items():
            add_remote(tmp_path / "ours", model, url, FRAUD % SCORE.get(name, "score"), model_name="fraud")
            add_remote(tmp_path / "ours", f"{model}_completed", url, model_name="fraud")
        # Models of the other two need not tell of their tensors, and these do not.
        is_told = name == "triton"
        rows = calls.fraud_rows()
        tensor = {
            "name": "features",
            "datatype": "FP32",
            "shape": list(rows.shape),
            "data": rows.ravel().tolist(),
        }
        with gateway(tmp_path / "ours") as running:
            for model in urls:
                for asked in (model, f"{model}_completed") if is_told else (model,):
                    status, told, _ = running.infer(asked, {"inputs": [tensor]})
                    assert status == 200, (asked, told)
                    assert told["outputs"][0]["data"][0] == pytest.approx(calls.fraud_score(), abs=1e-5)
                    assert running.ask(f"/v2/models/{asked}/ready")[0] == 200
                if not is_told:
                    status, told, _ = running.infer(f"{model}_completed", {"inputs": [tensor]})
                    assert (status, "config.pbtxt must name them" in told["error"]) == (503, True)
