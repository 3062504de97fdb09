"""JSON text to Python values, strictly: no duplicate keys, bounded depth, NaN and Infinity allowed.

orjson keeps the last of two equal keys and knows no NaN; Python's own parser can be told of both and
takes ten times as long. A count of quotation marks decides: every key and string that was kept has
two in the text, so more in the text than in the value means an escaped one or a key that was dropped,
and only then is the text parsed again, strictly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

import orjson

from gateway.core.errors import InvalidInput

MAX_DEPTH: Final = 100

_NESTS = (dict, list)


def load(text: bytes) -> object:
    """The value of JSON `text`, not yet checked for duplicate keys; raises InvalidInput."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if b"NaN" in text or b"Infinity" in text:
            return load_strictly(text)
        raise InvalidInput(f"failed to parse the request JSON: {error}") from None


def load_strictly(text: bytes) -> object:
    """The value of JSON `text` by Python's own parser; raises InvalidInput for a duplicate key too."""
    try:
        return json.loads(text.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"failed to parse the request JSON: {error}") from None


def check_keys(text: bytes, document: object, strings_elsewhere: int) -> None:
    """Raises InvalidInput if `text` has duplicate keys, or `document` is nested too deep.

    `strings_elsewhere`: strings of `text` that are no longer in `document`.
    """
    if text.count(b'"') != 2 * (_count_strings(document, MAX_DEPTH) + strings_elsewhere):
        load_strictly(text)


def _count_strings(value: object, depth: int) -> int:
    """Keys and strings in `value`, which a JSON parser made: its types are exact."""
    kind = type(value)
    if kind is str:
        return 1
    if kind is not dict and kind is not list:
        return 0
    if depth == 0:
        raise InvalidInput(f"the request JSON is nested deeper than {MAX_DEPTH}")
    count = 0
    within: Iterable[object] = value  # type: ignore[assignment] # a dict or a list, see above
    if kind is dict:
        count = len(value)  # type: ignore[arg-type]
        within = value.values()  # type: ignore[attr-defined]
    for inner in within:
        if type(inner) is str:
            count += 1
        elif inner.__class__ in _NESTS:
            count += _count_strings(inner, depth - 1)
    return count


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidInput(f"duplicate key '{key}' in the request JSON")
            seen.add(key)
    return found
