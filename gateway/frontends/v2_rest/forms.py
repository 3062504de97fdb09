"""What msgspec reads and keeps for the codec: apart from it, because the codec may be compiled.

msgspec makes its classes from annotations at run time, which mypyc's classes do not have.
"""

from __future__ import annotations

import msgspec

from gateway.frontends.content_types import OutputTypes


class Form(msgspec.Struct, frozen=True):
    """How the caller wants its outputs: those of `binary` as bytes, or all where it named none.

    With `labels` outputs say their content types.
    """

    binary: frozenset[str] = frozenset()
    all_binary: bool = False
    labels: OutputTypes | None = None


class PlainInput(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[int | float]


class PlainRequest(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    inputs: tuple[PlainInput, ...]
    id: str | msgspec.UnsetType = msgspec.UNSET
