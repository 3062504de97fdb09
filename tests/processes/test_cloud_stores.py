"""Models from Google's and Azure's stores and from plain HTTP, through a whole gateway, and without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.serverless import models, stories
from tests.fakes.cloud_stores import CloudStore, cloud_store
from tests.fakes.gateway_process import gateway
from tests.fakes.waiting import until_blocking


def google(store: CloudStore, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Whoever may read is told by a file, as with the real one."""
    told = {"gcs_base_url": store.address, "disable_oauth": True}
    told |= {"client_email": "", "private_key": "", "private_key_id": ""}
    (folder / "account.json").write_text(json.dumps(told))
    return {"url": "gs://bucket/served"}, {"GOOGLE_SERVICE_ACCOUNT": str(folder / "account.json")}


def azure(store: CloudStore, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    options = {"account_name": "account", "endpoint": f"{store.address}/account", "skip_signature": "true"}
    return {"url": "az://container/served", "options": options}, {}


def web(store: CloudStore, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    return {"url": f"{store.address}/dav/served"}, {}


@pytest.mark.parametrize("provider", [google, azure, web], ids=lambda one: one.__name__)
def test_models_come_from_there_and_go_on_without_it(provider: Any, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "local").mkdir()
    with cloud_store() as store:
        told, more = provider(store, tmp_path)
        told = {"name": "far", "allow_http": True, "poll_s": 0.2, "timeout_s": 2.0, **told}
        environment = {
            **more,
            "GATEWAY_REPOSITORY__STORES": json.dumps([told]),
            "GATEWAY_REPOSITORY__CACHE": str(tmp_path / "cache"),
            "GATEWAY_REPOSITORY__POLL_S": "0.2",
            "GATEWAY_SCALING__TICK_S": "0.1",
            "GATEWAY_TELEMETRY__FLUSH_S": "0.1",
            "GATEWAY_SCALING__KEEP_ALIVE_S": "0.3",
        }
        folder = models.add_number(tmp_path / "made", 7.0)
        for file in folder.iterdir():
            store.files[f"served/m/1/{file.name}"] = file.read_bytes()
        store.files["elsewhere/other/1/model.onnx"] = b"not ours"
        with gateway(tmp_path / "local", "--insecure-dev", environment=environment) as served:
            until_blocking(lambda: [one.status for one in stories.together(served, "m", 1)] == [200])
            (outcome,) = stories.together(served, "m", 1)
            assert outcome.value == 7.0
            _, index, _ = served.ask("/v2/repository/index", {})
            assert [one["name"] for one in index] == ["m"]
            until_blocking(lambda: not served.processes("gateway-worker"))
            store.is_down = True
            before = len(store.asked)
            until_blocking(lambda: len(store.asked) > before)
            (outcome,) = stories.together(served, "m", 1)
            assert (outcome.status, outcome.value) == (200, 7.0), "from the cache"
            assert served.stop() == 0
