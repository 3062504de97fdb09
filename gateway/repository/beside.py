"""The files that a config.pbtxt names: class labels beside it, other data in folders of their own.

Warm-up data lies in the folder `warmup`, initial states in `initial_state`, as Triton has it.
"""

from __future__ import annotations

import os

from gateway.repository.catalogue import Beside, PartialConfig
from gateway.repository.folder import FolderRefused, check_regular, fingerprint, read_whole, resolve, why
from gateway.repository.moved_labels import read_moved
from gateway.repository.refusal import ConfigRefused
from gateway.repository.sequence_batching import initial_files

# All label files of a model together: they travel in every description of each of its versions.
MAX_LABEL_BYTES = 32 << 10
WARMUP_FOLDER = "warmup"
STATE_FOLDER = "initial_state"

# By name of the file: its path, and what changes when it does.
Found = dict[str, tuple[str, tuple[int, int, int]]]

_NOTHING = Beside()


def read_beside(folder: str, root: str, config: PartialConfig) -> Beside:
    """What lies in the model's `folder`, which is free of links; raises ConfigRefused."""
    states = initial_files(config.sequence)
    moved = read_moved(folder, root)
    if not config.label_files and not config.warmup and not states:
        return Beside(moved_labels=moved) if moved else _NOTHING
    files = {one.file for sample in config.warmup for one in sample.inputs if one.file}
    warmup = _find(folder, WARMUP_FOLDER, root, files, "input_data_file")
    initial = _find(folder, STATE_FOLDER, root, states, "data_file")
    return Beside(
        class_labels=_read_labels(folder, root, config),
        warmup_paths={file: path for file, (path, _) in warmup.items()},
        state_paths={file: path for file, (path, _) in initial.items()},
        fingerprint=fingerprint(repr((warmup, initial)).encode()) if warmup or initial else "",
        moved_labels=moved,
    )


def _read_labels(folder: str, root: str, config: PartialConfig) -> dict[str, tuple[str, ...]]:
    labels: dict[str, tuple[str, ...]] = {}
    left_bytes = MAX_LABEL_BYTES
    for output, file in config.label_files.items():
        field = f"label_filename '{file}'"
        try:
            data = read_whole(f"{folder}/{file}", root, left_bytes)
        except FolderRefused as error:
            raise ConfigRefused(field, error.text) from None
        except OSError as error:
            raise ConfigRefused(field, f"cannot be read: {why(error)}") from None
        if data is None:
            raise ConfigRefused(field, "there is no such file beside config.pbtxt")
        left_bytes -= len(data)
        if left_bytes < 0:
            raise ConfigRefused(field, f"the labels take more than {MAX_LABEL_BYTES} bytes")
        labels[output] = parse_labels(field, data)
    return labels


def parse_labels(field: str, data: bytes) -> tuple[str, ...]:
    """One label a line, empty ones included but for those at the end; raises ConfigRefused."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigRefused(field, f"byte {error.start} is not UTF-8") from None
    lines = [line.rstrip("\r\t ") for line in text.rstrip().split("\n")]
    for number, line in enumerate(lines, 1):
        if not line.isprintable():
            raise ConfigRefused(field, f"line {number} has characters that cannot be printed")
    return tuple(lines)


def _find(folder: str, inner: str, root: str, files: set[str], key: str) -> Found:
    return {file: _find_one(folder, inner, root, file, key) for file in sorted(files)}


def _find_one(folder: str, inner: str, root: str, file: str, key: str) -> tuple[str, tuple[int, int, int]]:
    """The path of a file in the model's folder `inner`, and what changes when it does."""
    field = f"{key} '{file}'"
    try:
        path = resolve(f"{resolve(f'{folder}/{inner}', root)}/{file}", root)
        info = os.lstat(path)
        check_regular(file, info)
    except FolderRefused as error:
        raise ConfigRefused(field, error.text) from None
    except FileNotFoundError:
        raise ConfigRefused(field, f"there is no such file in the model's folder '{inner}'") from None
    except OSError as error:
        raise ConfigRefused(field, f"cannot be read: {why(error)}") from None
    return path, (info.st_size, info.st_mtime_ns, info.st_ino)
