"""Callers with API keys before a real gateway: who is let in where, how soon a revoked key is worthless."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import GENEROUS_S, until_blocking

ROOT = Path(__file__).parents[2]
SAMPLE = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 30], "data": [0.5] * 30}]}


class Served(NamedTuple):
    """A gateway with two fronts, whose keys lie in a folder."""

    gateway: Gateway
    folder: Path
    keys: dict[str, str]

    def rest(self, path: str, key: str = "", body: Any = None, method: str | None = None) -> tuple[int, Any]:
        return ask(self.gateway.http + path, key, body, method)

    def rpc(self, name: str, message: Any, answer: Any, key: str = "") -> grpc.StatusCode:
        with grpc.insecure_channel(self.gateway.grpc, options=[("grpc.enable_retries", 0)]) as channel:
            call = channel.unary_unary(
                f"/inference.GRPCInferenceService/{name}", type(message).SerializeToString, answer.FromString
            )
            metadata = [("authorization", f"Bearer {key}")] if key else []
            try:
                call(message, metadata=metadata, timeout=GENEROUS_S)
            except grpc.RpcError as error:
                return error.code()  # type: ignore[no-any-return]
        return grpc.StatusCode.OK


def ask(url: str, key: str = "", body: Any = None, method: str | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"x-api-key": key} if key else {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=GENEROUS_S) as answer:
            text, status = answer.read(), answer.status
    except urllib.error.HTTPError as error:
        with error:
            text, status = error.read(), error.code
    return status, json.loads(text) if text else None


def keys(folder: Path, *arguments: str) -> str:
    """`gateway keys`, as an operator types it; what it says on standard output."""
    environment = {
        **os.environ,
        "GATEWAY_KEYS_FILE": str(folder / "keys.db"),
        "GATEWAY_KEYS_PEPPER_FILE": str(folder / "pepper"),
    }
    command = [sys.executable, "-m", "gateway", "keys", *arguments]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def settings(folder: Path) -> dict[str, str]:
    told = {"api_keys": {"file": str(folder / "keys.db"), "pepper_file": str(folder / "pepper")}}
    return {
        "GATEWAY_PLUGINS__USE": '["api_keys"]',
        "GATEWAY_PLUGINS__SETTINGS": json.dumps(told),
        "GATEWAY_TELEMETRY__ACCESS_LOG": "true",
        "GATEWAY_TELEMETRY__LOG_LEVEL": "debug",
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    folder = tmp_path_factory.mktemp("keys")
    grants = {"caller": "infer:fraud", "loader": "load:*", "operator": "*:*", "nobody": "infer:other"}
    made = {
        owner: keys(folder, "create", "--owner", owner, "--grant", grant) for owner, grant in grants.items()
    }
    repository = folder / "models"
    repository.mkdir()
    for model in ("fraud", "simple"):
        shutil.copytree(ROOT / "model_repo" / model, repository / model)
    environment = {
        **settings(folder),
        "GATEWAY_ADMIN__UPLOADS": str(repository),
        "GATEWAY_ADMIN__PORT": "0",
        "GATEWAY_TELEMETRY__TRACE_LEVEL": '["TIMESTAMPS", "TENSORS"]',
        "GATEWAY_TELEMETRY__TRACE_RATE": "1",
    }
    flags = ("--fronts", "2", "--trace-file", str(folder / "trace.json"))
    with gateway(repository, *flags, environment=environment) as running:
        yield Served(running, folder, made)


def infer(served: Served, key: str = "") -> tuple[int, str]:
    status, told = served.rest("/v2/models/fraud/infer", key, SAMPLE)
    return status, "" if status == 200 else told["code"]


@pytest.mark.parametrize(
    ("owner", "status", "code"),
    [
        ("", 401, "UNAUTHENTICATED"),
        ("caller", 200, ""),
        ("operator", 200, ""),
        ("loader", 403, "FORBIDDEN"),
        ("nobody", 404, "NOT_FOUND"),
    ],
)
def test_inference_over_rest_and_grpc(served: Served, owner: str, status: int, code: str) -> None:
    key = served.keys.get(owner, "")
    assert infer(served, key) == (status, code)
    tensor = pb.ModelInferRequest.InferInputTensor(name="features", datatype="FP32", shape=[1, 30])
    tensor.contents.fp32_contents.extend([0.5] * 30)
    message = pb.ModelInferRequest(model_name="fraud", inputs=[tensor])
    expected = {
        200: grpc.StatusCode.OK,
        401: grpc.StatusCode.UNAUTHENTICATED,
        403: grpc.StatusCode.PERMISSION_DENIED,
        404: grpc.StatusCode.NOT_FOUND,
    }
    assert served.rpc("ModelInfer", message, pb.ModelInferResponse, key) is expected[status]


@pytest.mark.parametrize(
    ("path", "body", "statuses"),
    [
        ("/v2/health/ready", None, {"": 200, "nobody": 200}),
        ("/v2", None, {"": 401, "nobody": 200}),
        ("/v2/models/fraud", None, {"": 401, "nobody": 404, "caller": 200, "loader": 200}),
        ("/v2/models/fraud/ready", None, {"": 401, "nobody": 404, "caller": 200}),
        ("/v2/models/fraud/versions/1", None, {"nobody": 404, "caller": 200}),
        ("/v2/repository/models/fraud/load", {}, {"": 401, "caller": 403, "nobody": 404, "loader": 200}),
        ("/v2/logging", None, {"": 401, "loader": 403, "operator": 200}),
        ("/v2/trace/setting", None, {"": 401, "caller": 403, "operator": 200}),
    ],
)
def test_other_routes(served: Served, path: str, body: Any, statuses: dict[str, int]) -> None:
    got = {owner: served.rest(path, served.keys.get(owner, ""), body)[0] for owner in statuses}
    assert got == statuses


def test_other_rpcs(served: Served) -> None:
    code = grpc.StatusCode
    for name, message, answer, codes in (
        ("ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse, {"": code.OK}),
        ("ServerMetadata", pb.ServerMetadataRequest(), pb.ServerMetadataResponse, {"": code.UNAUTHENTICATED}),
        (
            "ModelMetadata",
            pb.ModelMetadataRequest(name="fraud"),
            pb.ModelMetadataResponse,
            {"nobody": code.NOT_FOUND, "caller": code.OK},
        ),
        (
            "RepositoryModelUnload",
            pb.RepositoryModelUnloadRequest(model_name="fraud"),
            pb.RepositoryModelUnloadResponse,
            {"caller": code.PERMISSION_DENIED, "nobody": code.NOT_FOUND, "": code.UNAUTHENTICATED},
        ),
        (
            "LogSettings",
            pb.LogSettingsRequest(),
            pb.LogSettingsResponse,
            {"caller": code.PERMISSION_DENIED, "operator": code.OK},
        ),
    ):
        for owner, expected in codes.items():
            assert served.rpc(name, message, answer, served.keys.get(owner, "")) is expected, (name, owner)


def test_the_index_and_the_statistics_have_what_exists_for_the_caller(served: Served) -> None:
    for owner, names in (("operator", {"fraud", "simple"}), ("caller", {"fraud"}), ("nobody", set())):
        _, index = served.rest("/v2/repository/index", served.keys[owner], {})
        assert {one["name"] for one in index} == names
        _, told = served.rest("/v2/models/stats", served.keys[owner])
        assert {one["name"] for one in told["model_stats"]} == names


def test_the_admin_api_takes_keys_and_writes_who_it_was(served: Served) -> None:
    line = next(one for one in served.gateway.out.read_text().splitlines() if "  admin " in one)
    base = line.split()[-1]
    assert ask(f"{base}/models")[0] == 401
    _, told = ask(f"{base}/models", served.keys["caller"])
    assert [one["name"] for one in told["models"]] == ["fraud"]
    assert ask(f"{base}/models/fraud/load", served.keys["caller"], {}, "POST")[0] == 403
    assert ask(f"{base}/models/fraud/load", served.keys["loader"], {}, "POST")[0] == 204
    assert "audit: load_model fraud by loader: 204" in served.gateway.log.read_text()
    assert "audit: load_model fraud by caller: 403" in served.gateway.log.read_text()


def test_a_revoked_key_is_worthless_within_five_seconds_in_every_front(served: Served) -> None:
    key = keys(served.folder, "create", "--owner", "late", "--grant", "infer:fraud")
    until_blocking(lambda: all(infer(served, key)[0] == 200 for _ in range(8)), GENEROUS_S)
    keys(served.folder, "revoke", key.split("_")[1])
    revoked = time.perf_counter()
    until_blocking(lambda: infer(served, key)[0] == 401, GENEROUS_S)
    until_blocking(lambda: all(infer(served, key)[0] == 401 for _ in range(12)), GENEROUS_S)
    assert time.perf_counter() - revoked < 5 * float(os.environ.get("GATEWAY_TESTS_PATIENCE", "3"))


def test_keys_are_made_and_revoked_by_the_admin_api(served: Served) -> None:
    line = next(one for one in served.gateway.out.read_text().splitlines() if "  admin " in one)
    at = f"{line.split()[-1]}/plugins/api_keys/x/keys"
    body = {"owner": "made", "tenant": "shop", "grants": ["infer:fraud"]}
    assert ask(at, served.keys["caller"])[0] == 403
    assert ask(at, served.keys["caller"], body, "POST")[0] == 403
    status, made = ask(at, served.keys["operator"], body, "POST")
    assert status == 201
    served.keys["made"] = made["key"]  # no output has its secret either
    until_blocking(lambda: all(infer(served, made["key"])[0] == 200 for _ in range(8)), GENEROUS_S)
    _, told = ask(at, served.keys["operator"])
    assert made["id"] in {one["id"] for one in told["keys"]}
    assert ask(f"{at}/{made['id']}", served.keys["operator"], None, "DELETE")[0] == 200
    until_blocking(lambda: all(infer(served, made["key"])[0] == 401 for _ in range(12)), GENEROUS_S)
    assert (
        f"audit: delete_of_plugin api_keys/keys/{made['id']} by operator: 200"
        in served.gateway.log.read_text()
    )


def test_no_secret_is_in_any_output(served: Served) -> None:
    """After all of the above: logs, access log, traces, metrics, and what callers were told."""
    served.rest("/v2/models/fraud/infer", served.keys["caller"] + "x", SAMPLE)
    traced = served.folder.glob("trace.json*")
    outputs = [served.gateway.log.read_text(), served.gateway.out.read_text(), str(served.gateway.page())]
    outputs += [path.read_text() for path in traced]
    assert any('"timestamps"' in one for one in outputs[3:])
    for key in served.keys.values():
        secret = key.split("_")[2]
        assert not any(secret in one for one in outputs)


def test_beyond_loopback_only_those_with_a_key(served: Served) -> None:
    flags = ("--host", "0.0.0.0", "--behind-proxy")
    with gateway(ROOT / "model_repo", *flags, environment=settings(served.folder)) as running:
        assert ask(f"{running.http}/v2/health/live")[0] == 200
        assert ask(f"{running.http}/v2/models/fraud")[0] == 401
        assert ask(f"{running.http}/v2/models/fraud", served.keys["caller"])[0] == 200


def test_rules_are_changed_while_it_runs_in_every_front_and_in_those_that_start_later(
    served: Served, tmp_path: Path
) -> None:
    told = {**json.loads(settings(served.folder)["GATEWAY_PLUGINS__SETTINGS"]), "routing": {"rules": []}}
    environment = {
        **settings(served.folder),
        "GATEWAY_PLUGINS__USE": '["api_keys", "routing"]',
        "GATEWAY_PLUGINS__SETTINGS": json.dumps(told),
        "GATEWAY_ADMIN__UPLOADS": str(ROOT / "model_repo"),
        "GATEWAY_ADMIN__PORT": "0",
    }
    operator, caller = served.keys["operator"], served.keys["caller"]
    with gateway(ROOT / "model_repo", "--fronts", "2", environment=environment) as running:
        line = next(one for one in running.out.read_text().splitlines() if "  admin " in one)
        url = f"{line.split()[-1]}/plugins/routing/settings"
        assert ask(url, caller)[0] == 403
        with urllib.request.urlopen(urllib.request.Request(url, headers={"x-api-key": operator})) as answer:
            tag = answer.headers["etag"]

        def put(document: Any) -> int:
            headers = {"x-api-key": operator, "if-match": tag}
            request = urllib.request.Request(url, json.dumps(document).encode(), headers, method="PUT")
            try:
                with urllib.request.urlopen(request) as done:
                    return int(done.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code

        def routed() -> bool:
            asked = [ask(f"{running.http}/v2/models/any/infer", caller, SAMPLE)[0] for _ in range(8)]
            return asked == [200] * 8

        assert not routed()
        assert put({"rules": [{"name": "broken"}]}) == 400
        rule = {"name": "all", "match": {"models": ["any"]}, "target": {"model": "fraud"}}
        assert put({"rules": [rule]}) == 200
        assert put({"rules": []}) == 412
        until_blocking(routed, GENEROUS_S)
        running.kill(running.processes("front")[0])
        running.wait_for_replacement("front")
        until_blocking(lambda: running.is_healthy() and routed(), GENEROUS_S)
        assert "audit: put_plugin routing by operator: 200" in running.log.read_text()


def test_a_version_that_cannot_be_loaded_is_answered_by_its_fallback(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "model_repo" / "fraud", tmp_path / "fraud")
    with (tmp_path / "fraud" / "config.pbtxt").open("a") as config:
        config.write("version_policy { all {} }\n")
    (tmp_path / "fraud" / "2").mkdir()
    (tmp_path / "fraud" / "2" / "model.onnx").write_bytes(b"broken")
    two, one = {"model": "fraud", "version": 2}, {"model": "fraud", "version": 1}
    rule = {"name": "new", "match": {"models": ["new"]}, "target": two, "fallback": one}
    environment = {
        "GATEWAY_PLUGINS__USE": '["routing"]',
        "GATEWAY_PLUGINS__SETTINGS": json.dumps({"routing": {"rules": [rule]}}),
    }
    with gateway(tmp_path, environment=environment) as running:
        # Nobody knows that it is broken before it was tried.
        assert running.infer("new", SAMPLE)[0] in (200, 503)
        until_blocking(lambda: running.infer("new", SAMPLE)[0] == 200, GENEROUS_S)
        status, answer, _ = running.infer("new", SAMPLE)
        assert (status, answer["model_version"]) == (200, "1")
