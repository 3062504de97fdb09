"""Models through the admin API: listed, loaded, configured, labelled, removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.admin import documents
from gateway.lifecycle.overview import ModelOverview, VersionOverview
from gateway.repository.local import scan
from tests.fakes.admin import TOKEN, FakeServed, application
from tests.fakes.asgi import Answer, call

CONFIG = b"max_batch_size: 4\n"


class Bench:
    """One model of two versions in the folder; requests with the token."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for version in ("1", "2"):
            (root / "m" / version).mkdir(parents=True)
            (root / "m" / version / "model.onnx").write_bytes(b"x")
        versions = tuple(VersionOverview(n, "READY", "absent", memory_bytes={"cpu": 5}) for n in (1, 2))
        self.served = FakeServed(ModelOverview("m", {"stable": 1}, versions), ModelOverview("far", {}, ()))

    def __call__(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        told = {"authorization": f"Bearer {TOKEN}"}
        told.update({name.replace("_", "-"): text for name, text in headers.items()})
        app = application(self.root, served=self.served)
        return call(app, method, f"/admin/v1/models{path}", told, [body])

    def labels(self) -> dict[str, int]:
        return dict(scan(self.root).entries["m"].labels)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def decoded(answer: Answer) -> Any:
    return json.loads(answer.body)


def test_all_and_one(bench: Bench) -> None:
    told = bench("GET", "")
    listed = decoded(told)["models"]
    assert len(documents.Models.model_validate_json(told.body).models) == 2, "as it is described"
    assert [one["name"] for one in listed] == ["m", "far"]
    assert listed[0]["versions"][0]["memory_bytes"] == {"cpu": 5}
    one = bench("GET", "/m")
    assert decoded(one) == listed[0]
    assert one.headers["etag"]
    assert "etag" not in bench("GET", "/far").headers, "it lies in no repository that takes changes"
    assert bench("GET", "/nobody").status == 404


def test_load_and_unload(bench: Bench) -> None:
    assert bench("POST", "/m/load").status == 204
    assert bench("POST", "/m/unload").status == 204
    assert bench("POST", "/m/unload", b'{"unload_dependents": true}').status == 204
    assert bench.served.asked == [("m", "load"), ("m", False), ("m", True)]
    assert bench("POST", "/nobody/load").status == 400
    for bad in (b"{", b'{"unload_dependents": 7}', b'{"other": 1}', b"x" * 100_000):
        assert bench("POST", "/m/unload", bad).status == 400


def test_a_configuration_is_checked_and_replaced_by_who_has_seen_it(bench: Bench) -> None:
    assert bench("GET", "/m/config").status == 404
    first = bench("PUT", "/m/config", CONFIG)
    assert first.status == 201
    shown = bench("GET", "/m/config")
    assert (shown.body, shown.headers["etag"]) == (CONFIG, first.headers["etag"])
    assert bench("PUT", "/m/config", b"max_batch_size: 8").status == 428
    assert bench("PUT", "/m/config", b"max_batch_size: 8", if_match='"x"').status == 412
    refused = bench("PUT", "/m/config", b"max_batch_size: many", if_match=first.headers["etag"])
    assert (refused.status, "config.pbtxt" in decoded(refused)["error"]) == (400, True)
    assert bench("GET", "/m/config").body == CONFIG
    assert bench("PUT", "/m/config", b"max_batch_size: 8", if_match=first.headers["etag"]).status == 200
    assert scan(bench.root).entries["m"].config.max_batch_size == 8
    assert list((bench.root / ".uploads").iterdir()) == []


def test_a_configuration_may_come_before_its_versions(bench: Bench) -> None:
    assert bench("PUT", "/new/config", CONFIG).status == 201
    assert "there is no version folder" in scan(bench.root).entries["new"].broken
    assert bench("PUT", "/..%2fnew/config", CONFIG).status in {400, 404}


def test_a_label_moves(bench: Bench) -> None:
    labels = "parameters { key: 'gateway.labels' value { string_value: 'stable=1,old=1' } }"
    (bench.root / "m" / "config.pbtxt").write_text(f"version_policy {{ all {{ }} }} {labels}")
    assert bench.labels() == {"stable": 1, "old": 1}
    moved = bench("PUT", "/m/labels/stable", b'{"version": 2}')
    assert (moved.status, decoded(moved)) == (200, {"labels": {"stable": 2}})
    assert bench.labels() == {"stable": 2, "old": 1}
    tag = moved.headers["etag"]
    assert bench("PUT", "/m/labels/canary", b'{"version": 1}', if_match='"x"').status == 412
    assert bench("PUT", "/m/labels/canary", b'{"version": 1}', if_match=tag).status == 200
    assert bench("DELETE", "/m/labels/stable").status == 428
    tag = bench("GET", "/m/labels").headers["etag"]
    assert bench("DELETE", "/m/labels/stable", if_match=tag).status == 204
    assert bench.labels() == {"stable": 1, "old": 1, "canary": 1}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/m/labels/stable", b'{"version": 3}', 404),
        ("/m/labels/1st", b'{"version": 1}', 400),
        ("/m/labels/stable", b'{"version": 0}', 400),
        ("/m/labels/stable", b'{"version": "one"}', 400),
        ("/nobody/labels/stable", b'{"version": 1}', 404),
    ],
)
def test_labels_that_lead_nowhere_are_refused(bench: Bench, path: str, body: bytes, status: int) -> None:
    assert bench("PUT", path, body).status == status
    assert bench.labels() == {}


def test_a_model_is_removed_by_who_has_seen_all_of_it(bench: Bench) -> None:
    tag = bench("GET", "/m").headers["etag"]
    assert bench("PUT", "/m/labels/stable", b'{"version": 2}').status == 200
    assert bench("DELETE", "/m", if_match=tag).status == 412, "a label has moved since"
    assert bench("DELETE", "/m").status == 428
    tag = bench("GET", "/m").headers["etag"]
    assert bench("DELETE", "/m", if_match=tag).status == 204
    assert not (bench.root / "m").exists()
    assert list((bench.root / ".uploads").iterdir()) == []
    assert bench("DELETE", "/m", if_match=tag).status == 404


def test_links_are_not_followed(bench: Bench, tmp_path: Path) -> None:
    (bench.root / "m" / "labels.json").symlink_to("/etc/hostname")
    assert bench("GET", "/m/labels").status == 409
    (bench.root / "linked").symlink_to(bench.root / "m")
    assert bench("PUT", "/linked/config", CONFIG).status == 400
