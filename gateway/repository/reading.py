"""What files of a model mean, wherever they lie: its configuration, a version's model file, its entry."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.repository import pbtxt
from gateway.repository.beside import read_beside
from gateway.repository.catalogue import ConfigFile, ModelEntry, PartialConfig, RefusedVersion, VersionEntry
from gateway.repository.folder import FolderRefused, Stamp, fingerprint, read_whole
from gateway.repository.formats import REMOTE, Format, matching
from gateway.repository.refusal import ConfigRefused
from gateway.repository.versions import Specific, select

CONFIG_NAME = "config.pbtxt"


def read_config(folder: str, name: str, root: str, known: ConfigFile, given: bytes | None) -> ConfigFile:
    """The configuration given, or the folder's; `known` again where it is the same.

    Raises FolderRefused, OSError.
    """
    data = read_whole(f"{folder}/{CONFIG_NAME}", root, pbtxt.MAX_CONFIG_BYTES) if given is None else given
    if data is None:
        return _beside(folder, root, ConfigFile())
    mark = fingerprint(data)
    try:
        read = known if mark == known.fingerprint else ConfigFile(mark, pbtxt.parse(data, name))
    except ConfigRefused as error:
        return ConfigFile(mark, PartialConfig(), error.text)
    return _beside(folder, root, read)


def _beside(folder: str, root: str, read: ConfigFile) -> ConfigFile:
    try:
        beside = read_beside(folder, root, read.config)
    except ConfigRefused as error:
        return ConfigFile("", PartialConfig(), error.text)
    return read if beside == read.beside else msgspec.structs.replace(read, beside=beside)


def choose_file(stamps: Mapping[str, Stamp], config: PartialConfig) -> tuple[Format, str]:
    """The model file and its format; raises FolderRefused where it is not there or has nothing in it.

    An ensemble has none, nor has what is served elsewhere: the folder may hold anything, most often nothing.
    """
    if config.ensemble is not None:
        return Format(config.platform, config.backend, ""), ""
    formats = matching(config.platform, config.backend)
    if formats == (REMOTE,):
        return REMOTE, ""
    for candidate in formats:
        file = config.model_filename or candidate.file_name
        if file in stamps:
            if not stamps[file].size_bytes:
                raise FolderRefused(f"'{file}' is empty")
            if candidate.carries_code and config.isolation == "inline":
                raise FolderRefused(f"'{file}' is code and never runs in a front: gateway.isolation inline")
            return candidate, file
    names = [f"'{config.model_filename or candidate.file_name}'" for candidate in formats]
    raise FolderRefused(f"there is no {' or '.join(dict.fromkeys(names))} in it")


def choose(name: str, config_file: ConfigFile, found: list[VersionEntry | RefusedVersion]) -> ModelEntry:
    """The entry of a model with these version folders and a sound configuration."""
    usable = {entry.version: entry for entry in found if isinstance(entry, VersionEntry)}
    refused = [entry for entry in found if isinstance(entry, RefusedVersion)]
    policy = config_file.config.version_policy
    versions = tuple(usable[version] for version in select(policy, usable))
    if isinstance(policy, Specific):
        there = {entry.version for entry in found}
        absent = [version for version in policy.versions if version not in there]
        refused += [
            RefusedVersion(version, "version_policy names it, and it is not there") for version in absent
        ]
    refused.sort(key=lambda entry: entry.version)
    broken = "" if versions else _why_none(refused, has_usable=bool(usable))
    return ModelEntry(name, versions, config_file, tuple(refused), broken)


def _why_none(refused: list[RefusedVersion], *, has_usable: bool) -> str:
    if has_usable:
        return "version_policy chooses none of the versions there are"
    if refused:
        return f"no version can be loaded; version {refused[-1].version}: {refused[-1].reason}"
    return "there is no version folder (a positive integer)"
