"""`manifest.json` of a version: its files, written last, so that a version is whole or not seen.

{"files": {"model.onnx": {"size": 1234, "sha256": "9f86…"}}}
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.repository.stores.objects import StoredObject

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20


class Listed(msgspec.Struct, frozen=True):
    """One file: its bytes, and their SHA-256 in hexadecimal."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """All files of a version but the manifest itself."""

    files: Mapping[str, Listed]


class ManifestRefused(Exception):
    """It cannot be read, or the version is not what it says."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


_decode = msgspec.json.Decoder(Manifest).decode


def parse(data: bytes) -> Manifest:
    """The manifest; raises ManifestRefused."""
    try:
        manifest = _decode(data)
    except msgspec.MsgspecError as error:
        raise ManifestRefused(f"{MANIFEST}: {error}") from None
    for listed in manifest.files.values():
        digest = listed.sha256.lower()
        if listed.size < 0 or len(digest) != 64 or not all(letter in "0123456789abcdef" for letter in digest):
            raise ManifestRefused(f"{MANIFEST}: a file needs its size and 64 hexadecimal digits of SHA-256")
    return manifest


def check(manifest: Manifest, files: Mapping[str, StoredObject]) -> None:
    """Raises ManifestRefused unless exactly the files it lists are there, with their sizes."""
    there = {path: one.size_bytes for path, one in files.items() if path != MANIFEST}
    missing = sorted(manifest.files.keys() - there.keys())
    if missing:
        raise ManifestRefused(f"{len(missing)} of the files in {MANIFEST} are not there yet")
    if there.keys() - manifest.files.keys():
        raise ManifestRefused(f"there are files that are not in {MANIFEST}")
    if any(there[path] != listed.size for path, listed in manifest.files.items()):
        raise ManifestRefused(f"a file has another size than {MANIFEST} says")
