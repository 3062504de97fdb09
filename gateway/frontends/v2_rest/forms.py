"""What msgspec reads and keeps for the codec: apart from it, because the codec may be compiled.

msgspec makes its classes from annotations at run time, which mypyc's classes do not have.
"""

from __future__ import annotations

import msgspec


class Form(msgspec.Struct, frozen=True):
    """How the caller wants its outputs: those of `binary` as bytes, or all where it named none.

    Those of `base64` are JSON, their elements spelled.
    """

    binary: frozenset[str] = frozenset()
    all_binary: bool = False
    base64: frozenset[str] = frozenset()


class PlainInput(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[int | float]


class PlainRequest(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    inputs: tuple[PlainInput, ...]
    id: str | msgspec.UnsetType = msgspec.UNSET
