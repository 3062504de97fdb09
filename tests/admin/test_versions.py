"""The admin API of versions: who may, what is taken, what is answered, and what the log is told."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.doorkeeper import Doorkeeper
from gateway.repository.uploads import Uploads
from tests.fakes.admin import TOKEN, application
from tests.fakes.asgi import Answer, call
from tests.repository.test_archives import PLAIN, packed

PATH = "/admin/v1/models/m/versions/1"
ARCHIVE = packed("tar.gz", PLAIN)


class Desk:
    """The app on a folder, with the token."""

    def __init__(self, root: Path, doorkeeper: Doorkeeper | None = None) -> None:
        self.root = root
        self._doorkeeper = doorkeeper or Doorkeeper(TOKEN, is_open=False)

    def __call__(self, method: str, path: str = PATH, body: Any = (b"",), **headers: str) -> Answer:
        told = {"authorization": f"Bearer {TOKEN}"}
        told.update({name.replace("_", "-"): value for name, value in headers.items()})
        # As the controller makes it, but for each call, since each has a loop of its own.
        return call(application(self.root, self._doorkeeper), method, path, told, body)

    def is_clean(self) -> bool:
        """Whether nothing is staged any more."""
        staging = self.root / ".uploads"
        return not staging.exists() or os.listdir(staging) == []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def code(answer: Answer) -> str:
    return str(json.loads(answer.body)["code"])


def digest_of(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def test_a_version_is_sent_in_parts_and_shown(desk: Desk) -> None:
    sent = desk("PUT", body=[ARCHIVE[:50], b"", ARCHIVE[50:]], content_digest=digest_of(ARCHIVE))
    shown = desk("GET")
    assert (sent.status, shown.status) == (201, 200)
    assert sent.body == shown.body
    assert sent.headers["etag"] == shown.headers["etag"]
    assert json.loads(shown.body)["files"][0] == {"name": "model.onnx", "size_bytes": 7}
    assert (desk.root / "m/1/model.onnx").read_bytes() == b"weights"
    assert desk.is_clean()


def test_the_same_again_is_no_change_and_other_files_are_a_conflict(desk: Desk) -> None:
    first = desk("PUT", body=[ARCHIVE])
    again = desk("PUT", body=[packed("zip", PLAIN)])
    other = desk("PUT", body=[packed("zip", {"model.onnx": b"x"})])
    assert [first.status, again.status, other.status] == [201, 200, 409]
    assert first.headers["etag"] == again.headers["etag"] == desk("GET").headers["etag"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([b"noise" * 200], 400),
        ([packed("tar.gz", {"../x": b"x"})], 400),
        ([packed("tar.gz", {"model.py": b"x"})], 400),
        ([os.urandom(4097)], 413),
        ([ARCHIVE[:-20]], 400),
        ([], 400),
    ],
)
def test_a_refused_body_leaves_nothing(body: list[bytes], status: int, desk: Desk) -> None:
    assert desk("PUT", body=body).status == status
    assert desk("GET").status == 404
    assert not (desk.root / "m").exists()
    assert desk.is_clean()


@pytest.mark.parametrize("field", [digest_of(b"other"), "sha-256=x", "md5=:AA==:"])
def test_a_body_that_is_not_what_its_digest_says_is_refused(field: str, desk: Desk) -> None:
    assert desk("PUT", body=[ARCHIVE], content_digest=field).status == 400
    assert desk("GET").status == 404
    assert desk.is_clean()


def test_a_removal_needs_the_tag_of_what_is_there(desk: Desk) -> None:
    assert desk("DELETE", if_match='"x"').status == 404
    tag = desk("PUT", body=[ARCHIVE]).headers["etag"]
    assert (desk("DELETE").status, desk("DELETE", if_match='"x"').status) == (428, 412)
    assert desk("GET").headers["etag"] == tag
    assert desk("DELETE", if_match=f'"x", {tag}').status == 204
    assert desk("GET").status == 404
    assert desk.is_clean()


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
@pytest.mark.parametrize(
    ("doorkeeper", "status", "reason"),
    [
        (Doorkeeper("another token of it", is_open=True), 401, "UNAUTHENTICATED"),
        (Doorkeeper("", is_open=False), 403, "FORBIDDEN"),
    ],
)
def test_every_route_has_its_right(
    method: str, doorkeeper: Doorkeeper, status: int, reason: str, tmp_path: Path
) -> None:
    Desk(tmp_path)("PUT", body=[ARCHIVE])
    answer = Desk(tmp_path, doorkeeper)(method, "/admin/v1/models/m/versions/1", [ARCHIVE], if_match="*")
    assert (answer.status, code(answer)) == (status, reason)
    assert Desk(tmp_path)("GET").status == 200


@pytest.mark.parametrize(
    "path", ["..%2fx/versions/1", "m/versions/0", "m/versions/stable", "m/versions/-1", "m m/versions/1"]
)
def test_names_that_are_none_are_refused(path: str, desk: Desk) -> None:
    for method in ("PUT", "GET", "DELETE"):
        assert desk(method, f"/admin/v1/models/{path}", [ARCHIVE], if_match="*").status == 400
    assert os.listdir(desk.root) == []


def test_a_full_disk_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Uploads, "publish", full)
    assert desk("PUT", body=[ARCHIVE]).status == 507
    assert desk.is_clean()


def test_each_change_asked_for_is_told_to_the_audit_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.admin")
    desk("PUT", body=[ARCHIVE])
    desk("GET")
    desk("DELETE", if_match='"x"')
    Desk(desk.root, Doorkeeper("", is_open=False))("DELETE")
    told = [vars(one) for one in caplog.records if vars(one).get("event") == "audit"]
    assert [(one["action"], one["model"], one["version"], one["by"], one["status"]) for one in told] == [
        ("PUT", "m", "1", "token", 201),
        ("DELETE", "m", "1", "token", 412),
        ("DELETE", "m", "1", "nobody", 403),
    ]
    assert TOKEN not in caplog.text
