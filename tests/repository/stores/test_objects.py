"""A store through obstore, here over a local folder; the S3 API itself is tried in tests/processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.repository.settings import StoreSettings
from gateway.repository.stores.objects import ObstoreObjects, StoredObject, StoreFailed


def opened(url: str, **options: str) -> ObstoreObjects:
    return ObstoreObjects(StoreSettings(name="here", url=url, options=options, timeout_s=1.0))


def folder(tmp_path: Path) -> ObstoreObjects:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(bytes(range(256)) * 10_000)
    (tmp_path / "m" / "config.pbtxt").write_bytes(b"small")
    return opened(f"file://{tmp_path}")


def test_listing_reading_and_downloading(tmp_path: Path) -> None:
    objects = folder(tmp_path)
    listed = {one.path: one for one in objects.list()}
    assert {path: one.size_bytes for path, one in listed.items()} == {
        "m/1/model.onnx": 2_560_000,
        "m/config.pbtxt": 5,
    }
    assert all(one.tag for one in listed.values())
    assert objects.read("m/config.pbtxt", 5) == b"small"
    parts = list(objects.download(listed["m/1/model.onnx"]))
    assert b"".join(parts) == bytes(range(256)) * 10_000


def test_what_changes_between_listing_and_download_does_not_come(tmp_path: Path) -> None:
    objects = folder(tmp_path)
    (one,) = [found for found in objects.list() if found.path == "m/config.pbtxt"]
    (tmp_path / "m" / "config.pbtxt").write_bytes(b"other words")
    with pytest.raises(StoreFailed, match="store 'here' cannot be read: PreconditionError"):
        list(objects.download(one))


def test_failures_name_the_store_and_nothing_of_it(tmp_path: Path) -> None:
    objects = folder(tmp_path)
    with pytest.raises(StoreFailed, match="more than 4 bytes"):
        objects.read("m/config.pbtxt", 4)
    for call in (
        lambda: objects.read("m/nothing", 10),
        lambda: list(objects.download(StoredObject("m/nothing", 1, ""))),
    ):
        with pytest.raises(StoreFailed) as caught:
            call()
        assert caught.value.text.startswith("store 'here' cannot be read: ")
        assert str(tmp_path) not in caught.value.text
    with pytest.raises(StoreFailed, match="store 'here' cannot be opened: "):
        opened("nothing://like/this")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket/prefix", {"region": "eu-central-1"}),
        ("gs://bucket/prefix", {}),
        ("az://container/prefix", {"account_name": "somebody"}),
        ("https://127.0.0.1:1/models", {}),
    ],
)
def test_every_kind_of_store_can_be_opened(url: str, options: dict[str, str]) -> None:
    opened(url, **options)


def test_without_obstore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(StoreFailed, match="need the extra 'stores'"):
        opened("s3://bucket")
