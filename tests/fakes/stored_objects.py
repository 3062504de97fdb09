"""A store in memory, which fails and lies when it is told to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.repository.stores.objects import StoredObject, StoreFailed


class FakeObjects:
    """Invariant: `files` is what a listing tells."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files: dict[str, bytes] = dict(files or {})
        self.fault = ""  # for every call
        self.truncated: set[str] = set()
        self.downloads: list[str] = []
        self.reads: list[str] = []

    def add_folder(self, name: str, folder: Path) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                self.files[f"{name}/{path.relative_to(folder)}"] = path.read_bytes()

    def add_manifest(self, version: str, **changed: str) -> None:
        """Of all files of "model/version", with digests as they are but for those changed."""
        inside = {
            path.removeprefix(f"{version}/"): data
            for path, data in self.files.items()
            if path.startswith(version)
        }
        files = {
            path: {"size": len(data), "sha256": changed.get(path, hashlib.sha256(data).hexdigest())}
            for path, data in inside.items()
        }
        self.files[f"{version}/manifest.json"] = json.dumps({"files": files}).encode()

    def list(self) -> list[StoredObject]:
        self._may_fail()
        return [self.object(path) for path in sorted(self.files)]

    def object(self, path: str) -> StoredObject:
        data = self.files[path]
        return StoredObject(path, len(data), hashlib.md5(data).hexdigest())

    def read(self, path: str, limit: int) -> bytes:
        self._may_fail()
        self.reads.append(path)
        if len(self.files[path]) > limit:
            raise StoreFailed("too large")
        return self.files[path]

    def download(self, one: StoredObject) -> Iterator[bytes]:
        self._may_fail()
        self.downloads.append(one.path)
        if self.object(one.path) != one:
            raise StoreFailed("store 'fake' cannot be read: PreconditionError")
        data = self.files[one.path]
        end = len(data) // 2 if one.path in self.truncated else len(data)
        for start in range(0, end, 1000):
            yield data[start : min(end, start + 1000)]

    def _may_fail(self) -> None:
        if self.fault:
            raise StoreFailed(self.fault)
