"""Uploads file by file: broken off, gone on with, finished, and everything that is none."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.admin import TOKEN, application
from tests.fakes.asgi import Answer, call

WEIGHTS = os.urandom(50_000)
FILES = {"model.onnx": WEIGHTS, "data/more.bin": b"more"}


class Bench:
    """Each request finds a gateway that was started anew: what an upload has come to lies on the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, method: str, path: str, body: Any = (b"",), **headers: str) -> Answer:
        told = {"authorization": f"Bearer {TOKEN}"}
        told.update({name.replace("_", "-"): text for name, text in headers.items()})
        return call(application(self.root), method, f"/admin/v1/uploads{path}", told, body)

    def begin(self, content: dict[str, bytes] = FILES, **changes: Any) -> Answer:
        plan = {"model": "m", "version": 3, "files": [planned(name, data) for name, data in content.items()]}
        return self("POST", "", [json.dumps({**plan, **changes}).encode()])

    def send(self, upload: str, name: str, data: bytes, offset: int = 0) -> Answer:
        return self("PATCH", f"/{upload}/files/{name}", [data], upload_offset=str(offset))


def planned(name: str, data: bytes) -> dict[str, object]:
    return {"name": name, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def id_of(answer: Answer) -> str:
    assert answer.status == 201, answer.body
    return str(json.loads(answer.body)["id"])


def test_it_goes_on_where_it_broke_off(bench: Bench) -> None:
    begun = bench.begin()
    upload = id_of(begun)
    assert begun.headers["location"] == f"/admin/v1/uploads/{upload}"
    assert bench.send(upload, "model.onnx", WEIGHTS[:20_000]).headers["upload-offset"] == "20000"
    told = json.loads(bench("GET", f"/{upload}").body)
    assert [(one["name"], one["offset"]) for one in told["files"]] == [
        ("model.onnx", 20_000),
        ("data/more.bin", 0),
    ]
    assert told["state"] == "incomplete"
    wrong = bench.send(upload, "model.onnx", WEIGHTS[10_000:], 10_000)
    assert (wrong.status, wrong.headers["upload-offset"]) == (409, "20000")
    assert bench("POST", f"/{upload}/finish").status == 409
    assert bench.send(upload, "model.onnx", WEIGHTS[20_000:], 20_000).status == 204
    assert bench.send(upload, "data/more.bin", b"more").status == 204
    assert not (bench.root / "m").exists()
    done = bench("POST", f"/{upload}/finish")
    assert (done.status, json.loads(done.body)["version"]) == (201, "3")
    assert (bench.root / "m/3/model.onnx").read_bytes() == WEIGHTS
    assert (bench.root / "m/3/data/more.bin").read_bytes() == b"more"
    assert bench("GET", f"/{upload}").status == 404
    assert list((bench.root / ".uploads").iterdir()) == []


def test_the_same_again_is_no_change_and_others_are_a_conflict(bench: Bench) -> None:
    for files, status in ((FILES, 201), (FILES, 200), ({"model.onnx": b"other"}, 409)):
        upload = id_of(bench.begin(files))
        for name, data in files.items():
            assert bench.send(upload, name, data).status == 204
        assert bench("POST", f"/{upload}/finish").status == status


def test_what_is_not_what_was_promised_is_sent_again(bench: Bench) -> None:
    upload = id_of(bench.begin({"model.onnx": b"good"}))
    assert bench.send(upload, "model.onnx", b"baad").status == 204
    assert bench("POST", f"/{upload}/finish").status == 400
    assert json.loads(bench("GET", f"/{upload}").body)["files"][0]["offset"] == 0
    assert bench.send(upload, "model.onnx", b"good").status == 204
    assert bench("POST", f"/{upload}/finish").status == 201


def test_more_than_was_planned_is_refused(bench: Bench) -> None:
    upload = id_of(bench.begin({"model.onnx": b"good"}))
    assert bench.send(upload, "model.onnx", b"goodx").status == 413
    assert bench.send(upload, "model.onnx", b"good").status == 204
    assert bench.send(upload, "model.onnx", b"x", 4).status == 413
    assert bench.send(upload, "other", b"x").status == 404
    assert bench("PATCH", f"/{upload}/files/model.onnx", [b"x"]).status == 400


@pytest.mark.parametrize(
    ("files", "changes", "status"),
    [
        ({}, {}, 400),
        ({"../x": b"x"}, {}, 400),
        ({".hidden": b"x"}, {}, 400),
        ({"a/b/c/d/e": b"x"}, {}, 400),
        ({"model.py": b"x"}, {}, 400),
        ({"a": b"x", "A": b"x"}, {}, 400),
        ({"a": b"x", "a/b": b"x"}, {}, 400),
        ({"a": b"x"}, {"model": "../m"}, 400),
        ({"a": b"x"}, {"version": 0}, 400),
        ({"a": b"x"}, {"version": "latest"}, 400),
        ({"a": b"x"}, {"more": 1}, 400),
        ({f"f{n}": b"x" for n in range(9)}, {}, 400),
        ({}, {"files": [{"name": "a", "size_bytes": 1 << 21, "sha256": "0" * 64}]}, 413),
        ({}, {"files": [{"name": "a", "size_bytes": -1, "sha256": "0" * 64}]}, 400),
        ({}, {"files": [{"name": "a", "size_bytes": 1, "sha256": "0" * 63}]}, 400),
    ],
)
def test_plans_that_are_none(
    bench: Bench, files: dict[str, bytes], changes: dict[str, Any], status: int
) -> None:
    answer = bench.begin(files, **changes)
    assert answer.status == status, answer.body
    assert not list(bench.root.glob(".uploads/*"))


def test_how_many_there_may_be_and_for_how_long(bench: Bench) -> None:
    uploads = [id_of(bench.begin()) for _ in range(3)]
    assert bench.begin().status == 409
    assert bench("DELETE", f"/{uploads[0]}").status == 204
    assert bench("DELETE", f"/{uploads[0]}").status == 404
    id_of(bench.begin())
    old = bench.root / ".uploads" / f"resumable-{uploads[1]}"
    os.utime(old, (0, 0))
    id_of(bench.begin())
    assert bench("GET", f"/{uploads[1]}").status == 404


@pytest.mark.parametrize("upload", ["..", "x", "0" * 31, "0" * 32, "A" * 32])
def test_names_of_no_upload(bench: Bench, upload: str) -> None:
    for method, path in (("GET", ""), ("POST", "/finish"), ("DELETE", ""), ("PATCH", "/files/a")):
        assert bench(method, f"/{upload}{path}", upload_offset="0").status in {404, 405}
