"""Plugins in a real gateway: what is promised where they do it wrong, at each hook, over REST and gRPC."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.packages import installed
from tests.fakes.waiting import GENEROUS_S, until_blocking

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "fakes" / "fault_plugins.py"
WAYS = ("raise", "hang", "block", "garbage", "huge")
CLOSED = ("authenticate", "transform_request", "admit", "around_execution", "transform_response")
OPEN = ("route", "reconsider", "answer_headers")
# What is huge and of the right type is no failure, and must do no harm.
HUGE = {"transform_request": "OK", "route": "NOT_FOUND", "transform_response": "OK"}
REFUSED = {"OK": 200, "PLUGIN_FAILED": 503, "NOT_FOUND": 404}
STATUS = {
    "OK": grpc.StatusCode.OK,
    "PLUGIN_FAILED": grpc.StatusCode.UNAVAILABLE,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    folder = tmp_path_factory.mktemp("packages")
    kinds = [way.capitalize() for way in WAYS]
    points = {name.lower(): f"faulty:{name}" for name in (*kinds, "Anna")}
    environment = installed(folder, "faulty", SOURCE.read_text(), points)
    environment["GATEWAY_PLUGINS__USE"] = json.dumps(list(points))
    environment["GATEWAY_PLUGINS__BLOCK_LIMIT_S"] = "0.1"
    with gateway(ROOT / "model_repo", environment=environment) as running:
        yield running


def expected(hook: str, way: str) -> str:
    if way == "huge" and hook in HUGE:
        return HUGE[hook]
    return "OK" if hook in OPEN else "PLUGIN_FAILED"


def sample(model: str = "fraud") -> dict[str, Any]:
    """A request that the model answers."""
    row = [0.5] * 30
    if model == "fraud":
        return {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 30], "data": row}]}
    inputs = [
        {"name": name, "datatype": "INT32", "shape": [1, 16], "data": [1] * 16}
        for name in ("INPUT0", "INPUT1")
    ]
    return {"inputs": inputs}


def over_rest(served: Gateway, fault: str) -> tuple[int, str]:
    request = urllib.request.Request(
        f"{served.http}/v2/models/fraud/infer",
        json.dumps(sample()).encode(),
        {"x-fault": fault} if fault else {},
    )
    try:
        with urllib.request.urlopen(request, timeout=GENEROUS_S) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())["code"]


def over_grpc(served: Gateway, fault: str) -> grpc.StatusCode:
    (told,) = sample()["inputs"]
    tensor = pb.ModelInferRequest.InferInputTensor(name=told["name"], datatype="FP32", shape=told["shape"])
    tensor.contents.fp32_contents.extend(told["data"])
    message = pb.ModelInferRequest(model_name="fraud", inputs=[tensor])
    with grpc.insecure_channel(served.grpc, options=[("grpc.enable_retries", 0)]) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelInferResponse.FromString,
        )
        try:
            call(message, metadata=[("x-fault", fault)] if fault else [], timeout=GENEROUS_S)
        except grpc.RpcError as error:
            return error.code()  # type: ignore[no-any-return]
    return grpc.StatusCode.OK


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("hook", [*CLOSED, *OPEN])
def test_a_fault_at_a_hook_has_the_outcome_that_is_promised(served: Gateway, hook: str, way: str) -> None:
    outcome = expected(hook, way)
    fault = f"{hook}={way}"
    status, code = over_rest(served, fault)
    assert (status, code) == (REFUSED[outcome], "" if outcome == "OK" else outcome)
    assert over_grpc(served, fault) is STATUS[outcome]
    assert over_rest(served, "") == (200, ""), "nothing is left of it for others"


def test_faults_are_counted_by_plugin_hook_and_kind_and_no_secret_is_told(served: Gateway) -> None:
    over_rest(served, "admit=raise")
    name = 'gateway_plugin_failures_total{hook="admit",kind="raised",plugin="raise"}'
    until_blocking(lambda: served.page().get(name, 0) >= 1, GENEROUS_S)
    log = served.log.read_text()
    assert "plugin 'raise' at 'admit': raised: KeyError in fail" in log
    assert "canary-secret" not in log


def test_telemetry_fails_open(served: Gateway) -> None:
    """Each plugin fails when it is told of a request to this model; the answers are there all the same."""
    body = sample("simple")
    for _ in range(3):
        assert served.infer("simple", body)[0] == 200
    name = 'gateway_plugin_failures_total{hook="on_request",kind="raised",plugin="raise"}'
    until_blocking(lambda: served.page().get(name, 0) >= 1, GENEROUS_S)
    assert served.infer("simple", body)[0] == 200


def test_one_that_cannot_be_imported_stops_the_start_or_is_left_out_where_that_is_permitted(
    tmp_path: Path,
) -> None:
    environment = installed(tmp_path, "absent", "import no_such_module\n", {"absent": "absent:Plugin"})
    environment["GATEWAY_PLUGINS__USE"] = '["absent"]'
    with (
        pytest.raises(AssertionError, match="plugin 'absent' cannot be imported: ModuleNotFoundError"),
        gateway(ROOT / "model_repo", environment=environment),
    ):
        pass
    environment["GATEWAY_PLUGINS__OPTIONAL"] = '["absent"]'
    with gateway(ROOT / "model_repo", environment=environment) as running:
        assert over_rest(running, "")[0] == 200
        assert "optional plugin left out: plugin 'absent' cannot be imported" in running.log.read_text()


def test_measures_that_are_none_are_counted_and_those_of_others_are_on_the_page(served: Gateway) -> None:
    """They are asked for every second, so those that fail are soon left alone."""
    kinds = {"raise": "raised", "hang": "garbage", "block": "blocked", "garbage": "garbage"}
    names = [
        f'gateway_plugin_failures_total{{hook="measures",kind="{kind}",plugin="{plugin}"}}'
        for plugin, kind in kinds.items()
    ]
    until_blocking(lambda: all(served.page().get(name, 0) >= 1 for name in names), GENEROUS_S)
    page = served.page()
    (big,) = [name for name in page if name.startswith("gateway_plugin_huge_big")]
    assert len(big) < 400
    assert sum(name.startswith("gateway_plugin_huge_many{") for name in page) == 1999


def test_what_is_not_approved_is_neither_loaded_nor_unloaded(tmp_path: Path) -> None:
    settings = {"load_policy": {"not_models": ["simple"], "keep": ["fraud"]}}
    environment = {
        "GATEWAY_PLUGINS__USE": '["load_policy"]',
        "GATEWAY_PLUGINS__SETTINGS": json.dumps(settings),
    }
    with gateway(ROOT / "model_repo", "--insecure-dev", environment=environment) as running:
        assert running.infer("fraud", sample())[0] == 200
        status, told = running.infer("simple", sample("simple"))[:2]
        assert status == 503
        assert "not approved: load_policy: models of this name are not loaded here" in json.dumps(told)
        status, told, _ = running.ask("/v2/repository/models/fraud/unload", {})
        assert (status, told["code"]) == (403, "FORBIDDEN")
        assert "model 'fraud' is kept loaded" in told["error"]
        assert running.infer("fraud", sample())[0] == 200
        status, told, _ = running.ask("/v2/repository/models/simple/load", {})
        assert status == 400
        assert "not approved" in told["error"]


def test_what_happens_to_models_is_told_to_an_address(tmp_path: Path) -> None:
    """The controller tells it: a load, one that fails, and the death of a worker."""
    got: list[tuple[str, dict[str, Any]]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.headers["webhook-signature"], json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "key").write_text("whsec_" + "A" * 32)
    target = {
        "url": f"http://127.0.0.1:{server.server_port}/",
        "allow_http": True,
        "key_file": str(tmp_path / "key"),
    }
    environment = {
        "GATEWAY_PLUGINS__USE": '["webhooks", "load_policy"]',
        "GATEWAY_PLUGINS__SETTINGS": json.dumps({
            "webhooks": {"targets": [target]},
            "load_policy": {"not_models": ["simple"]},
        }),
    }

    def kinds() -> set[tuple[str, str]]:
        return {(told["type"].rpartition(".")[2], told["data"]["model"]) for _, told in got}

    with gateway(ROOT / "model_repo", environment=environment) as running:
        assert running.infer("fraud", sample())[0] == 200
        assert running.infer("simple", sample("simple"))[0] == 503
        wanted = {("model_loaded", "fraud"), ("model_load_failed", "simple")}
        until_blocking(lambda: kinds() >= wanted, GENEROUS_S)
        for worker in running.processes("gateway-worker"):
            running.kill(worker)
        until_blocking(lambda: ("worker_died", "fraud") in kinds(), GENEROUS_S)
    server.shutdown()
    server.server_close()
    assert all(signature.startswith("v1,") for signature, _ in got)
