"""Models in S3: a whole gateway against a real S3 API, and what happens when that fails."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from tests.bench.environments import Missing
from tests.bench.serverless import models, stories
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.s3 import KEYS, S3, s3
from tests.fakes.stored_objects import FakeObjects
from tests.fakes.waiting import until_blocking


@pytest.fixture
def store() -> Generator[S3]:
    try:
        with s3() as running:
            yield running
    except Missing as missing:
        pytest.skip(f"moto cannot be installed: {missing}")


def environment(store: S3, cache: Path, **more: str) -> Mapping[str, str]:
    told = {
        "name": "bucket",
        "url": "s3://models/served",
        "options": {"endpoint": store.address},
        "allow_http": True,
        "poll_s": 0.2,
        "timeout_s": 2.0,
    }
    return {
        **KEYS,
        "GATEWAY_REPOSITORY__STORES": json.dumps([told]),
        "GATEWAY_REPOSITORY__CACHE": str(cache),
        "GATEWAY_REPOSITORY__POLL_S": "0.2",
        "GATEWAY_SCALING__TICK_S": "0.1",
        "GATEWAY_TELEMETRY__FLUSH_S": "0.1",
        "GATEWAY_WORKERS__LOAD_FAILURE_MEMORY_S": "0.2",
        **more,
    }


def add_version(store: S3, tmp_path: Path, number: int, *, manifest: bool = False, **digests: str) -> None:
    folder = models.add_number(tmp_path / "made" / str(number), float(number))
    if not manifest:
        store.put_folder(f"served/m/{number}", folder)
        return
    objects = FakeObjects()
    objects.add_folder(f"m/{number}", folder)
    objects.add_manifest(f"m/{number}", **{key.replace("__", "."): value for key, value in digests.items()})
    for path, data in sorted(objects.files.items(), reverse=True):
        store.put(f"served/{path}", data)


def asked(served: Gateway) -> stories.Outcome:
    (outcome,) = stories.together(served, "m", 1)
    return outcome


def knows(served: Gateway, name: str) -> bool:
    status, index, _ = served.ask("/v2/repository/index", {})
    return status == 200 and any(one["name"] == name for one in index)


def reason(served: Gateway, version: str) -> str:
    _, index, _ = served.ask("/v2/repository/index", {})
    return " ".join(one.get("reason", "") for one in index if one["version"] == version)


def test_models_come_from_s3_and_go_on_without_it(store: S3, tmp_path: Path) -> None:
    models.versions(tmp_path / "local", "here", 1)
    add_version(store, tmp_path, 1)
    (tmp_path / "cache").mkdir()
    told = environment(store, tmp_path / "cache", GATEWAY_SCALING__KEEP_ALIVE_S="0.5")
    with gateway(tmp_path / "local", "--insecure-dev", environment=told) as served:
        until_blocking(lambda: knows(served, "m"))
        outcomes = stories.together(served, "m", 50)
        assert {(one.status, one.value) for one in outcomes} == {(200, 1.0)}
        assert stories.loads_of(served, "m") == 1
        page = served.page()
        assert page['gateway_cold_start_phase_seconds_count{model="m",phase="fetch",version="1"}'] == 1
        until_blocking(lambda: not served.processes("gateway-worker"))
        store.stop()
        assert asked(served).value == 1.0, "its files are in the cache"
        until_blocking(lambda: "what is known goes on being served" in served.log.read_text())
        assert asked(served).status == 200
        assert store.address not in served.log.read_text()


def test_a_new_version_appears_when_it_is_whole(store: S3, tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "cache").mkdir()
    add_version(store, tmp_path, 1, manifest=True)
    with gateway(
        tmp_path / "local", "--insecure-dev", environment=environment(store, tmp_path / "cache")
    ) as served:
        until_blocking(lambda: knows(served, "m"))
        assert asked(served).version == "1"
        manifest = json.dumps({"files": {"model.onnx": {"size": 1, "sha256": "ab" * 32}}}).encode()
        store.put("served/m/2/manifest.json", manifest)
        add_version(store, tmp_path, 3, manifest=True)
        until_blocking(lambda: asked(served).version == "3")
        assert asked(served).value == 3.0


def test_files_that_are_not_what_their_manifest_says_are_not_loaded(store: S3, tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "cache").mkdir()
    add_version(store, tmp_path, 1, manifest=True, model__onnx="ab" * 32)
    with gateway(
        tmp_path / "local", "--insecure-dev", environment=environment(store, tmp_path / "cache")
    ) as served:
        until_blocking(lambda: knows(served, "m"))
        outcome = asked(served)
        assert outcome.status == 503
        assert "a file does not have the digest that its manifest says" in outcome.text


def test_a_store_that_is_not_there_yet_holds_nothing_up(store: S3, tmp_path: Path) -> None:
    models.versions(tmp_path / "local", "here", 1)
    (tmp_path / "cache").mkdir()
    told = environment(store, tmp_path / "cache")
    store.stop()
    with gateway(tmp_path / "local", "--insecure-dev", environment=told) as served:
        until_blocking(lambda: knows(served, "here"))
        (outcome,) = stories.together(served, "here", 1)
        assert outcome.value == 1.0
        assert "store 'bucket' cannot be listed: GenericError" in served.log.read_text()


def test_the_payload_log_goes_to_s3(store: S3, tmp_path: Path) -> None:
    """Also what waits when the gateway is told to end."""
    models.versions(tmp_path / "local", "here", 1)
    place = {"url": "s3://models/log", "options": {"endpoint": store.address}, "allow_http": True}
    settings = {"payload_log": {"share": 1.0, "store": {**place, "gather_s": 600}}}
    more = {
        **KEYS,
        "GATEWAY_PLUGINS__USE": '["payload_log"]',
        "GATEWAY_PLUGINS__SETTINGS": json.dumps(settings),
    }
    with gateway(tmp_path / "local", environment=more) as served:
        outcomes = stories.together(served, "here", 3)
        assert all(outcome.status == 200 for outcome in outcomes)
    (lines,) = store.objects("log/").values()
    events = [json.loads(line) for line in lines.splitlines()]
    assert [event["data"]["model"] for event in events] == ["here"] * 3
