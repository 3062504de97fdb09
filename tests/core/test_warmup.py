from __future__ import annotations

import msgspec

from gateway.core.dtypes import DType
from gateway.core.warmup import Warmup, WarmupInput


def test_a_warm_up_survives_the_wire() -> None:
    made = Warmup("w", 2, 3, (WarmupInput("x", DType.BYTES, (1, 2), "file", "x.raw"),))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Warmup) == made
