"""How a model of gateway.model calls others: `context.gateway`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence

from gateway.model import Outputs
from gateway.runtimes.calls import Desk, Question, wait_for_one, wait_for_one_async
from gateway.runtimes.contract import Array


class DeskGateway:
    """Implements model.Gateway at `desk`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | str = 0,
        outputs: Sequence[str] = (),
    ) -> Outputs:
        """See model.Gateway."""
        question = Question(model, inputs, version, outputs)
        return wait_for_one(question, self._desk.ask(question))

    def infer_async(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | str = 0,
        outputs: Sequence[str] = (),
    ) -> asyncio.Future[Outputs]:
        """See model.Gateway."""
        question = Question(model, inputs, version, outputs)
        loop = asyncio.get_running_loop()
        return asyncio.ensure_future(wait_for_one_async(question, self._desk.ask(question)), loop=loop)

    def stream(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | str = 0,
        outputs: Sequence[str] = (),
    ) -> Generator[Outputs]:
        """See model.Gateway."""
        call = self._desk.ask(Question(model, inputs, version, outputs, several=True))
        try:
            while (answer := call.wait()) is not None:
                yield answer
        finally:
            call.close()

    async def stream_async(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | str = 0,
        outputs: Sequence[str] = (),
    ) -> AsyncGenerator[Outputs]:
        """See model.Gateway."""
        call = self._desk.ask(Question(model, inputs, version, outputs, several=True))
        try:
            while (answer := await call.wait_async()) is not None:
                yield answer
        finally:
            call.close()
