"""Who may what by the admin API: the operator's token everything, keys what they grant."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.doorkeeper import Doorkeeper
from gateway.admin.operations import OPERATIONS, RIGHTS
from gateway.admin.visitors import Visitors
from gateway.core.caller import Credentials, Grant, Operation, Principal
from gateway.core.errors import Unauthenticated
from gateway.hooks import hookimpl
from gateway.hooks.contract import Process
from gateway.lifecycle.overview import ModelOverview
from gateway.pipeline.rights import Rights
from tests.fakes.admin import TOKEN, FakeServed, application
from tests.fakes.asgi import Answer, call
from tests.fakes.plugins import hooks

INFER, LOAD, UPLOAD, ROLLOUT = Operation.INFER, Operation.LOAD, Operation.UPLOAD, Operation.ROLLOUT


class Keys:
    """Knows the names of operations as keys, each with that right for models a*."""

    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal | None:
        assert credentials.protocol == "admin"
        key = credentials.header("x-key")
        if key == "forged":
            raise Unauthenticated("forged")
        return None if key is None else Principal(key, grants=(Grant(frozenset({Operation(key)}), ("a*",)),))


class KeysLater(Keys):
    @hookimpl
    async def authenticate(self, credentials: Credentials) -> Principal | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().authenticate(credentials)


def ask(root: Path, method: str, path: str, key: str = "", body: bytes = b"", **how: Any) -> Answer:
    plugin = how.pop("plugin", Keys())
    made = hooks(plugin, process=Process.CONTROLLER)
    visitors = Visitors(
        Doorkeeper(how.pop("token", ""), is_open=True),
        made.get("authenticate"),
        Rights(made.get("authorize")),
    )
    headers = {"host": "localhost", **({"x-key": key} if key else {}), **how}
    served = FakeServed(ModelOverview("a", {}, ()), ModelOverview("b", {}, ()))
    app = application(root, visitors=visitors, served=served)
    return call(app, method, "/admin/v1" + path, headers, [body])


PLAN = json.dumps({"model": "a", "version": 1, "files": []}).encode()


@pytest.mark.parametrize("plugin", [Keys(), KeysLater()])
@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/models", "", 401),
        ("GET", "/models", "forged", 401),
        ("GET", "/models", "infer", 200),
        ("GET", "/openapi.json", "infer", 200),
        ("POST", "/models/a/load", "infer", 403),
        ("POST", "/models/a/load", "load", 204),
        ("POST", "/models/b/load", "load", 404),
        ("GET", "/models/b", "load", 404),
        ("GET", "/models/b/config", "upload", 404),
        ("PUT", "/models/a/versions/1", "load", 403),
        ("PUT", "/models/a/labels/stable", "upload", 403),
        ("DELETE", "/models/a", "rollout", 403),
    ],
)
def test_rights(tmp_path: Path, plugin: object, method: str, path: str, key: str, status: int) -> None:
    assert ask(tmp_path, method, path, key, plugin=plugin).status == status


@pytest.mark.parametrize(("key", "status"), [("load", 403), ("upload", 400)])
def test_where_the_body_names_the_model_its_right_is_looked_at_then(
    tmp_path: Path, key: str, status: int
) -> None:
    assert ask(tmp_path, "POST", "/uploads", key, PLAN).status == status


def test_an_upload_of_somebody_else_is_nobody_elses(tmp_path: Path) -> None:
    files = [{"name": "model.onnx", "size_bytes": 1, "sha256": "0" * 64}]
    plan = json.dumps({"model": "a", "version": 1, "files": files}).encode()
    begun = ask(tmp_path, "POST", "/uploads", "upload", plan)
    assert begun.status == 201
    path = f"/uploads/{json.loads(begun.body)['id']}"
    for method, rest in (("GET", ""), ("PATCH", "/files/model.onnx"), ("POST", "/finish"), ("DELETE", "")):
        assert ask(tmp_path, method, path + rest, "load", b"x", **{"upload-offset": "0"}).status == 403
    assert ask(tmp_path, "GET", path, "upload").status == 200


def test_the_list_has_what_exists_for_them(tmp_path: Path) -> None:
    everything = json.loads(
        ask(tmp_path, "GET", "/models", token=TOKEN, authorization=f"Bearer {TOKEN}").body
    )
    visible = json.loads(ask(tmp_path, "GET", "/models", "infer").body)
    names = [one["name"] for one in everything["models"]]
    assert names == ["a", "b"]
    assert [one["name"] for one in visible["models"]] == ["a"]


def test_every_change_needs_a_right() -> None:
    assert {one.name for one in OPERATIONS} >= set(RIGHTS)
    assert {one.name for one in OPERATIONS if one.method != "GET"} <= set(RIGHTS)
