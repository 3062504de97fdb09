"""A number that a plugin gives to the page of metrics, and what one must be to get there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import Literal, NamedTuple

# Of one plugin in one process; what is more is left out, so that no plugin makes the page endless.
MAX_MEASURES = 2000
MAX_LABELS = 8
# Names of principals and models are shorter; what is longer is cut off.
MAX_VALUE = 256
MAX_TEXT = 200

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED = ("_total", "_created", "_bucket", "_sum", "_count", "_info")

Labels = tuple[tuple[str, str], ...]


class Measure(NamedTuple):
    """`counter` never falls while its process lives; of a `gauge` the page shows the sum over the processes.

    `name` is without the plugin's, and without a counter's `_total`; `labels` are pairs of name and value.
    """

    name: str
    kind: Literal["counter", "gauge"]
    value: float
    labels: Labels = ()
    help: str = ""


def fault_of(measures: Sequence[object]) -> str:
    """What is wrong with the first of them that is no Measure as it must be; "" where all are well."""
    if len(measures) > MAX_MEASURES:
        return f"{len(measures)} measures are more than {MAX_MEASURES}"
    for one in measures:
        if fault := _fault(one):
            return fault
    return ""


def _fault(one: object) -> str:
    if not isinstance(one, Measure):
        return f"a {type(one).__name__} is no Measure"
    if not isinstance(one.name, str) or not _NAME.fullmatch(one.name) or one.name.endswith(_RESERVED):
        return f"the name {one.name!r:.100} is none for a metric"
    if one.kind not in {"counter", "gauge"}:
        return f"{one.name}: the kind is neither counter nor gauge"
    if isinstance(one.value, bool) or not isinstance(one.value, int | float) or not isfinite(one.value):
        return f"{one.name}: the value is no finite number"
    if one.kind == "counter" and one.value < 0:
        return f"{one.name}: a counter is below 0"
    return "" if _are_labels(one.labels) and isinstance(one.help, str) else f"{one.name}: labels or help"


def _are_labels(labels: object) -> bool:
    """Pairs of texts, with names that a metric can have, each once."""
    if not isinstance(labels, tuple) or len(labels) > MAX_LABELS:
        return False
    for pair in labels:
        if not isinstance(pair, tuple) or [type(text) for text in pair] != [str, str]:
            return False
        if not _NAME.fullmatch(pair[0]):
            return False
    return len({name for name, _ in labels}) == len(labels)
