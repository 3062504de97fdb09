"""Manifests: what they must say, and what must then be there."""

from __future__ import annotations

import pytest

from gateway.repository.stores.manifest import Listed, Manifest, ManifestRefused, check, parse
from gateway.repository.stores.objects import StoredObject

DIGEST = "ab" * 32
MANIFEST = Manifest({"model.onnx": Listed(5, DIGEST)})


def files(**sizes: int) -> dict[str, StoredObject]:
    named = {path.replace("__", "."): size for path, size in sizes.items()}
    return {path: StoredObject(path, size, "t") for path, size in named.items()}


def test_one_that_is_sound() -> None:
    text = b'{"files": {"model.onnx": {"size": 5, "sha256": "%s"}}}' % DIGEST.encode()
    assert parse(text) == MANIFEST
    check(MANIFEST, files(model__onnx=5, manifest__json=9))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"files": {"a": {"size": 5}}}',
        b'{"files": {"a": {"size": -5, "sha256": "%s"}}}' % DIGEST.encode(),
        b'{"files": {"a": {"size": 5, "sha256": "abc"}}}',
        b'{"files": {"a": {"size": 5, "sha256": "%s"}}}' % (b"xy" * 32),
    ],
)
def test_those_that_are_not(text: bytes) -> None:
    with pytest.raises(ManifestRefused, match=r"manifest\.json: "):
        parse(text)


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (files(manifest__json=9), "1 of the files in manifest.json are not there yet"),
        (files(model__onnx=5, more__bin=1), "there are files that are not in manifest.json"),
        (files(model__onnx=4), "a file has another size than manifest.json says"),
    ],
)
def test_what_must_be_there(there: dict[str, StoredObject], reason: str) -> None:
    with pytest.raises(ManifestRefused) as caught:
        check(MANIFEST, there)
    assert caught.value.text == reason
