"""What operators change of a model in the repository they send to: its configuration, its labels, its end.

Every file is replaced by one rename, so whoever reads it has the old one or the new one; what is asked to
be changed must be what the asker has seen (a tag), or the change is refused. All methods block on the disk.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateway.core.errors import Conflict, InvalidInput, ModelNotFound
from gateway.core.model import LABEL, check_name
from gateway.repository import pbtxt
from gateway.repository.folder import FolderRefused, fingerprint, read_whole
from gateway.repository.moved_labels import NAME as LABELS
from gateway.repository.moved_labels import parse_moved, write_moved
from gateway.repository.reading import CONFIG_NAME
from gateway.repository.refusal import ConfigRefused
from gateway.repository.uploads import Uploads, sync
from gateway.repository.versions import parse_folder

NOTHING = ""  # the tag of what is not there


class Editing:
    """One gateway at a time; `uploads` is of the same repository."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._root = uploads.root

    def config(self, model: str) -> tuple[bytes, str]:
        """config.pbtxt and its tag, b"" and NOTHING without one; raises ModelNotFound."""
        data = self._read(model, CONFIG_NAME, pbtxt.MAX_CONFIG_BYTES)
        return data or b"", NOTHING if data is None else fingerprint(data)

    def put_config(self, model: str, data: bytes) -> str:
        """Raises InvalidInput for what would not be served; returns the tag. Makes the model's folder."""
        if len(data) > pbtxt.MAX_CONFIG_BYTES:
            raise InvalidInput(f"{CONFIG_NAME} may have {pbtxt.MAX_CONFIG_BYTES} bytes")
        try:
            pbtxt.parse(data, check_name(model))
        except ConfigRefused as error:
            raise InvalidInput(f"{CONFIG_NAME}: {error.text}") from None
        self._folder(model).mkdir(exist_ok=True)
        self._write(model, CONFIG_NAME, data)
        return fingerprint(data)

    def labels(self, model: str) -> tuple[dict[str, int], str]:
        """Those that were moved, and their tag; raises ModelNotFound."""
        data = self._read(model, LABELS, pbtxt.MAX_CONFIG_BYTES)
        if data is None:
            return {}, NOTHING
        try:
            return parse_moved(data), fingerprint(data)
        except ConfigRefused as error:
            raise Conflict(error.text) from None

    def move_label(self, model: str, label: str, version: int) -> str:
        """The label names that version from now on; raises InvalidInput, ModelNotFound. Returns the tag."""
        if not LABEL.fullmatch(label):
            raise InvalidInput("a label is 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter")
        labels, _ = self.labels(model)
        self._uploads.look(model, version)
        return self._put_labels(model, {**labels, label: version})

    def drop_label(self, model: str, label: str) -> str:
        """It names what config.pbtxt says again, or nothing; raises ModelNotFound. Returns the tag."""
        labels, _ = self.labels(model)
        if label not in labels:
            raise ModelNotFound(f"'{model}' has no label of that name that was moved")
        del labels[label]
        return self._put_labels(model, labels)

    def tag(self, model: str) -> str:
        """Changes with every version, configuration and label of the model; raises ModelNotFound."""
        versions = [self._uploads.look(model, version).tag for version in self._versions(model)]
        return fingerprint(repr((versions, self.config(model)[1], self.labels(model)[1])).encode())

    def remove(self, model: str) -> None:
        """All of it, in one step; workers that have files open keep them. Raises ModelNotFound."""
        folder = self._existing(model)
        staged = self._uploads.new_folder()
        try:
            os.rename(folder, staged / "removed")
            sync(self._root)
        finally:
            self._uploads.discard(staged)

    def _versions(self, model: str) -> list[int]:
        found = [parse_folder(name) for name in os.listdir(self._existing(model))]
        return sorted(version for version in found if version)

    def _put_labels(self, model: str, labels: dict[str, int]) -> str:
        data = write_moved(labels)
        try:
            parse_moved(data)
        except ConfigRefused as error:
            raise InvalidInput(error.text) from None
        self._write(model, LABELS, data)
        return fingerprint(data)

    def _read(self, model: str, name: str, limit: int) -> bytes | None:
        folder = self._existing(model)
        try:
            return read_whole(str(folder / name), str(self._root), limit)
        except FolderRefused as error:
            raise Conflict(error.text) from None

    def _write(self, model: str, name: str, data: bytes) -> None:
        folder, staged = self._existing(model), self._uploads.new_folder()
        try:
            place = staged / name
            place.write_bytes(data)
            os.chmod(place, 0o644)
            sync(place)
            os.rename(place, folder / name)
            sync(folder)
        finally:
            self._uploads.discard(staged)

    def _existing(self, model: str) -> Path:
        folder = self._folder(model)
        if not folder.is_dir():
            raise ModelNotFound(f"there is no model '{model}' in this repository")
        return folder

    def _folder(self, model: str) -> Path:
        return self._uploads.folder_of(model)
