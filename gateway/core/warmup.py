"""Requests that are run before a model counts as ready."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.core.dtypes import DType

# zero: zeros, empty texts. random: any values, the same at every start. file: a file's bytes.
Source = Literal["zero", "random", "file"]


class WarmupInput(msgspec.Struct, frozen=True):
    """One input of a warm-up request; `shape` has no free dimension and leaves the batch axis out.

    `file` is, for the source "file", its name in the model's folder `warmup`, or by the time it
    reaches a worker the path of it. It holds one row.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    source: Source
    file: str = ""


class Warmup(msgspec.Struct, frozen=True):
    """One request, run `count` times with `rows` rows; without a batch axis `rows` is 1."""

    name: str
    rows: int
    count: int
    inputs: tuple[WarmupInput, ...]
