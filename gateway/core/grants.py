"""How grants are written in configurations and commands: `infer,preview:fraud*,digits`."""

from __future__ import annotations

import re

from gateway.core.caller import Grant, Operation

_PATTERN = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._*-]{0,127}")


def parse_grant(text: str) -> Grant:
    """The grant that `text` means: operations, a colon, patterns of models; "*" is all operations.

    Raises ValueError naming what is wrong.
    """
    before, colon, after = text.partition(":")
    if not colon:
        raise ValueError(f"grant '{text[:80]}': must be <operation>[,<operation>...]:<model pattern>[,...]")
    models = tuple([one.strip() for one in after.split(",")])
    for model in models:
        if not _PATTERN.fullmatch(model):
            raise ValueError(f"grant '{text[:80]}': '{model}' can match no model's name")
    return Grant(_operations(before, text), models)


def write_grant(grant: Grant) -> str:
    """The text that `parse_grant` reads as `grant`."""
    all_of_them = grant.operations == frozenset(Operation)
    names = "*" if all_of_them else ",".join(sorted(one.value for one in grant.operations))
    return f"{names}:{','.join(grant.models)}"


def _operations(text: str, whole: str) -> frozenset[Operation]:
    if text.strip() == "*":
        return frozenset(Operation)
    try:
        return frozenset(Operation(one.strip()) for one in text.split(","))
    except ValueError:
        known = ", ".join(one.value for one in Operation)
        raise ValueError(f"grant '{whole[:80]}': operations are {known}, or *") from None
