"""A way to an upstream that does what the test has written down for each attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.core.dtypes import DType
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array
from gateway.runtimes.remote.description import Described, RemoteTensor
from gateway.runtimes.remote.faults import Fault
from gateway.runtimes.remote.tensors import Sent

ANSWER = [np.ones(1, np.float32)]
TOLD = Described((RemoteTensor("X", DType.FP32, (1,)),), (RemoteTensor("Y", DType.FP32, (1,)),), 0)


class FakeTransport:
    """Implements transport.Transport. `outcomes` of attempts, then answers; `trouble` of questions."""

    def __init__(self, *outcomes: Fault | None) -> None:
        self.outcomes = list(outcomes)
        self.trouble: Fault | None = None
        self.told = TOLD
        self.attempts: list[float] = []
        self.probes = 0
        self.gate: asyncio.Event | None = None
        self.was_cancelled = False
        self.tokens: list[str] = []

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def describe(self, timeout_s: float) -> Described:
        return self.told

    async def check_ready(self, timeout_s: float) -> None:
        self.probes += 1
        if self.trouble is not None:
            raise self.trouble

    def encode(self, sent: Sent) -> Any:
        return sent

    async def send(self, encoded: Any, wanted: Sequence[TensorSpec], timeout_s: float) -> list[Array]:
        self.attempts.append(timeout_s)
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        return ANSWER

    def use_token(self, token: str) -> None:
        self.tokens.append(token)
