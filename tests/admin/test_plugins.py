"""Plugins by the admin API: seen and changed by who may, and only as they were seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.admin import documents
from tests.fakes.admin import TOKEN, FakeServed, application
from tests.fakes.asgi import Answer, call

PATH = "/admin/v1/plugins"


class Desk:
    def __init__(self, root: Path) -> None:
        self.root, self.served = root, FakeServed()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        told = {"authorization": f"Bearer {TOKEN}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return call(application(self.root, served=self.served), method, PATH + path, told, [data])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_those_in_use_are_listed_as_described(desk: Desk) -> None:
    told = documents.Plugins.model_validate_json(desk("GET", "").body)
    assert told.plugins[0].name == "routing"


def test_settings_are_changed_as_they_were_seen(desk: Desk) -> None:
    seen = desk("GET", "/routing/settings")
    assert seen.headers["etag"] == '"tag-1"'
    assert desk("PUT", "/routing/settings", {"rules": []}).status == 428
    assert desk("PUT", "/routing/settings", {"rules": []}, if_match='"other"').status == 412
    done = desk("PUT", "/routing/settings", {"rules": [1, 2]}, if_match='"tag-1"')
    assert (done.status, done.headers["etag"], json.loads(done.body)) == (200, '"tag-2"', {"rules": [1, 2]})


@pytest.mark.parametrize(("path", "body", "status"), [
    ("/routing/settings", {}, 400),
    ("/routing/settings", [1], 400),
    ("/routing/settings", b"{", 400),
    ("/routing/settings", b"[" * 3000, 400),
    ("/routing/settings", b" " * (97 << 10), 400),
    ("/other/settings", {"rules": []}, 404),
])  # fmt: skip
def test_what_fits_nothing_changes_nothing(desk: Desk, path: str, body: Any, status: int) -> None:
    assert desk("PUT", path, body, if_match='"tag-1"').status == status
    assert desk.served.plugins.now == {"rules": [1]}


def test_what_a_plugin_has_of_its_own(desk: Desk) -> None:
    got = desk("GET", "/routing/x/keys?state=valid", b"")
    told = {"method": "GET", "path": "keys", "query": {"state": "valid"}, "body": None, "by": "token"}
    assert (got.status, json.loads(got.body)) == (200, told)
    assert got.headers["cache-control"] == "no-store"
    assert json.loads(desk("POST", "/routing/x/keys", {"owner": "anna"}).body)["body"] == {"owner": "anna"}
    assert json.loads(desk("DELETE", "/routing/x/keys/a/b", b"").body)["path"] == "keys/a/b"
    assert desk("POST", "/routing/x/keys", b"{").status == 400
    assert desk("GET", "/other/x/keys", b"").status == 404
    assert desk("PUT", "/routing/x/keys", {}).status == 405


def test_strangers_are_asked_for_the_token_first(desk: Desk) -> None:
    assert desk("GET", "/routing/x/keys", b"", authorization="Bearer no").status == 401
