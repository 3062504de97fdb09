"""One store: what it offers, as a local folder in the same layout would.

What lies beside a model's configuration is small, and mirrored to this machine, where it is read as that of
a local model. Versions are told from the listing alone; their files come when they are to be loaded.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.repository.catalogue import (
    Catalogue,
    ConfigFile,
    ModelEntry,
    PartialConfig,
    RefusedVersion,
    StoredFile,
    VersionEntry,
)
from gateway.repository.folder import FolderRefused, Stamp, fingerprint
from gateway.repository.index import refuse_clashes
from gateway.repository.reading import choose, choose_file, read_config
from gateway.repository.settings import StoreSettings
from gateway.repository.stores import manifest
from gateway.repository.stores.listing import StoredModel, lost_share, models_of
from gateway.repository.stores.manifest import MANIFEST, Manifest, ManifestRefused
from gateway.repository.stores.objects import Objects, StoredObject, StoreFailed

log = logging.getLogger("gateway.repository")

# Of one file beside a configuration, and of all files beside one: labels, warm-up data, initial states.
MAX_BESIDE_BYTES = 16 << 20
# More than this share of models gone in one look must be seen in a second one.
_BELIEVED_SHARE = 0.5


class Source:
    """Invariant: `catalogue` is what the last look that could be believed has found."""

    def __init__(self, settings: StoreSettings, objects: Objects, mirror: Path) -> None:
        self.settings = settings
        self.catalogue = Catalogue()
        self._objects = objects
        self._mirror = mirror
        self._tags: dict[str, str] = {}  # of mirrored files, by their paths
        self._manifests: dict[str, tuple[str, Manifest | ManifestRefused]] = {}
        self._is_doubting = False

    def look(self) -> Catalogue:
        """What there is now; blocks; raises StoreFailed, and then `catalogue` stays as it was."""
        models = models_of(self._objects.list())
        before = sorted(self.catalogue.entries)
        if lost_share(before, sorted(models)) > _BELIEVED_SHARE and not self._is_doubting:
            self._is_doubting = True
            log.warning(
                "store '%s': more than half of its models are gone at once: not believed yet", self.name
            )
            return self.catalogue
        self._is_doubting = False
        entries = {name: self._entry(name, model) for name, model in models.items()}
        self.catalogue = Catalogue(refuse_clashes(entries))
        return self.catalogue

    @property
    def name(self) -> str:
        """What the store is called."""
        return self.settings.name

    @property
    def objects(self) -> Objects:
        """Where its files are read from."""
        return self._objects

    def _entry(self, name: str, model: StoredModel) -> ModelEntry:
        known = self.catalogue.entries.get(name)
        try:
            folder = self._mirrored(name, model.beside)
            config_file = read_config(
                str(folder), name, str(self._mirror), known.config_file if known else ConfigFile(), None
            )
        except (FolderRefused, StoreFailed) as error:
            return ModelEntry(name, (), broken=error.text)
        if config_file.problem:
            return ModelEntry(name, (), config_file, broken=config_file.problem)
        found = [self._version(name, number, model, config_file.config) for number in sorted(model.versions)]
        return choose(name, config_file, found)

    def _mirrored(self, name: str, beside: Mapping[str, StoredObject]) -> Path:
        """The local folder with the model's small files, brought up to date."""
        folder = self._mirror / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sum(one.size_bytes for one in beside.values()) > MAX_BESIDE_BYTES:
            raise FolderRefused(f"the files beside its configuration have more than {MAX_BESIDE_BYTES} bytes")
        for path, one in beside.items():
            target = folder / path
            if self._tags.get(one.path) == one.tag and target.is_file():
                continue
            data = self._objects.read(one.path, MAX_BESIDE_BYTES)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.part")
            part.write_bytes(data)
            part.replace(target)
            self._tags[one.path] = one.tag
        for root, _, names in os.walk(folder):
            for found in names:
                left = Path(root, found)
                if str(left.relative_to(folder)) not in beside:
                    with contextlib.suppress(FileNotFoundError):
                        left.unlink()
        return folder

    def _version(
        self, name: str, number: int, model: StoredModel, config: PartialConfig
    ) -> VersionEntry | RefusedVersion:
        if fault := model.faults.get(number):
            return RefusedVersion(number, fault)
        files = model.versions[number]
        try:
            listed = self._manifest(files)
            stamps = {path: Stamp(path, one.size_bytes, 0, 0) for path, one in files.items()}
            chosen, file = choose_file(stamps, config)
        except (ManifestRefused, FolderRefused, StoreFailed) as error:
            return RefusedVersion(number, error.text)
        if chosen.carries_code and not self.settings.trusted_code:
            return RefusedVersion(
                number, f"'{file}' is code, and store '{self.name}' is not marked trusted_code"
            )
        digests = {} if listed is None else {path: one.sha256 for path, one in listed.files.items()}
        stored = tuple(
            StoredFile(path, one.path, one.size_bytes, one.tag, digests.get(path, ""))
            for path, one in sorted(files.items())
            if path != MANIFEST
        )
        mark = fingerprint(msgspec.json.encode((self.name, stored)))
        size_bytes = sum(one.size_bytes for one in stored)
        return VersionEntry(
            *(number, "", mark, file, chosen.platform, chosen.backend, size_bytes),
            source=self.name,
            files=stored,
        )

    def _manifest(self, files: Mapping[str, StoredObject]) -> Manifest | None:
        """The version's manifest, checked against what is there; None without one."""
        one = files.get(MANIFEST)
        if one is None:
            return None
        tag, known = self._manifests.get(one.path, ("", ManifestRefused("")))
        if tag != one.tag:
            try:
                known = manifest.parse(self._objects.read(one.path, manifest.MAX_MANIFEST_BYTES))
            except ManifestRefused as refused:
                known = refused
            self._manifests[one.path] = one.tag, known
        if isinstance(known, ManifestRefused):
            raise known
        manifest.check(known, files)
        return known
