"""labels.json beside a config.pbtxt: names for versions that operators have moved, over those it has.

One JSON object, {"stable": 3}. A file of its own, because a label moves a hundred times for once that a
configuration is written, and no comment of whoever wrote that may be lost by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from gateway.core.model import LABEL, MAX_VERSION
from gateway.repository.folder import FolderRefused, read_whole, why
from gateway.repository.options import MAX_LABELS
from gateway.repository.refusal import ConfigRefused

NAME = "labels.json"
MAX_BYTES = 16 << 10

_decode = msgspec.json.Decoder(dict[str, int]).decode


def read_moved(folder: str, root: str) -> dict[str, int]:
    """What `folder` has of it, {} without one; raises ConfigRefused."""
    try:
        data = read_whole(f"{folder}/{NAME}", root, MAX_BYTES)
    except FolderRefused as error:
        raise ConfigRefused(NAME, error.text) from None
    except OSError as error:
        raise ConfigRefused(NAME, f"cannot be read: {why(error)}") from None
    return {} if data is None else parse_moved(data)


def parse_moved(data: bytes) -> dict[str, int]:
    """Raises ConfigRefused."""
    try:
        labels = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConfigRefused(NAME, 'is no JSON object of labels and versions, {"stable": 1}') from None
    for label, version in labels.items():
        if not LABEL.fullmatch(label):
            raise ConfigRefused(NAME, "a label is 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter")
        if not 0 < version <= MAX_VERSION:
            raise ConfigRefused(NAME, f"'{label}' needs a version, an integral value > 0")
    if len(labels) > MAX_LABELS:
        raise ConfigRefused(NAME, f"has {len(labels)} labels, at most {MAX_LABELS} are taken")
    return labels


def write_moved(labels: Mapping[str, int]) -> bytes:
    """The file's content."""
    return json.dumps(dict(sorted(labels.items())), indent=1).encode() + b"\n"
