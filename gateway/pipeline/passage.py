"""A request on its way through the policies: what it has taken by then, and to whom its end is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from mypy_extensions import mypyc_attr

from gateway.core.caller import Caller
from gateway.core.errors import GatewayError
from gateway.core.messages import Done, InferRequest, InferResponse, StreamSink, StreamTicket, Ticket
from gateway.hooks.values import Release

log = logging.getLogger("gateway.plugins")


@mypyc_attr(free_list_len=1)
class Passage:
    """One request; implements Ticket. `request` is what the policies have made of it so far.

    Invariant: each of `releases` is called once after the passage has ended: by its answer, a refusal, or
    because the caller has gone. Nothing is told once `is_open` is False. A plugin that is being waited for
    is not interrupted by the end: it has its time, and what it gives then is given back.
    """

    __slots__ = (
        *("answer", "caller", "is_handed_over", "is_open", "is_routed", "is_stream", "left", "releases"),
        *("request", "ticket"),
    )

    def __init__(self, request: InferRequest, caller: Caller) -> None:
        self.request = request
        self.caller = caller
        self.releases: list[Release] = []
        self.is_open = True
        self.is_stream = False
        self.answer: InferResponse | None = None  # a plugin's, in place of the model's
        self.is_routed = False  # a plugin has said who answers
        self.is_handed_over = False  # the pipeline has it, and its inputs' lease
        self.ticket: Ticket | None = None
        self.left: asyncio.Future[GatewayError | None] | None = None  # while something is around it

    @property
    def is_free(self) -> bool:
        """True while nothing is to be done at its end."""
        return not self.releases and self.left is None

    def close(self, error: GatewayError | None) -> bool:
        """Ends it: gives back what was taken; False where it had ended before."""
        if not self.is_open:
            return False
        self.is_open = False
        if not self.is_handed_over and self.request.lease is not None:
            self.request.lease.release()
        if self.releases:
            self.release()
        if self.left is not None and not self.left.done():
            self.left.set_result(error)
        return True

    def release(self) -> None:
        """Gives back what was taken; must be called once more where something is taken after the end."""
        releases, self.releases = self.releases, []
        for release in releases:
            try:
                release()
            except Exception as fault:  # ruff: ignore[blind-except] - whatever a plugin raises stays the plugin's
                log.error("a plugin failed to take back what it had given: %s", type(fault).__name__)

    def cancel(self) -> None:
        """See Ticket."""
        if self.ticket is not None:
            self.ticket.cancel()
        self.close(None)


class Answering:
    """Tells one answer, as the policies for responses leave it."""

    __slots__ = ("_change", "_done", "_later", "_passage")

    def __init__(
        self,
        passage: Passage,
        done: Done,
        change: Callable[..., Any] | None,
        later: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._passage = passage
        self._done = done
        self._change = change
        self._later = later

    def __call__(self, result: InferResponse | GatewayError) -> None:
        passage = self._passage
        if isinstance(result, GatewayError) or self._change is None:
            self._tell(result)
            return
        try:
            changed = self._change(result, passage.request, passage.caller)
        except GatewayError as error:
            let_go(result)
            self._tell(error)
            return
        if isinstance(changed, InferResponse):
            self._tell(changed)
        else:
            self._later(self._tell_later(result, changed))

    async def _tell_later(self, response: InferResponse, changed: Awaitable[InferResponse]) -> None:
        try:
            self._tell(await changed)
        except GatewayError as error:
            let_go(response)
            self._tell(error)

    def _tell(self, result: InferResponse | GatewayError) -> None:
        if self._passage.close(result if isinstance(result, GatewayError) else None):
            self._done(result)
        elif isinstance(result, InferResponse):
            let_go(result)


class Streaming:
    """Tells any number of answers; implements StreamSink for the pipeline, StreamTicket for the frontend.

    Answers are changed by plugins that are not async only: an awaited one could be overtaken by the next.
    """

    __slots__ = ("_change", "_passage", "_sink", "_ticket", "version")

    def __init__(self, passage: Passage, sink: StreamSink, change: Callable[..., Any] | None) -> None:
        self._passage = passage
        self._sink = sink
        self._change = change
        self._ticket: StreamTicket | None = None
        self.version = 0  # the one that answers, once that is known

    # ---- the frontend's side ---------------------------------------------------------------------

    def cancel(self) -> None:
        """See Ticket."""
        self._passage.cancel()

    def resume(self) -> None:
        """See StreamTicket."""
        if self._ticket is not None:
            self._ticket.resume()

    def runs(self, ticket: StreamTicket | None) -> None:
        """The pipeline has it."""
        self._ticket = self._passage.ticket = ticket
        if ticket is not None:
            self.version = ticket.version

    # ---- the pipeline's side ---------------------------------------------------------------------

    @property
    def is_writable(self) -> bool:
        """See StreamSink."""
        return self._sink.is_writable

    def on_response(self, response: InferResponse, *, is_last: bool) -> None:
        """See StreamSink."""
        changed: InferResponse = response
        if self._change is not None:
            try:
                changed = self._change(response, self._passage.request, self._passage.caller)
            except GatewayError as error:
                let_go(response)
                self._fault(error, is_last=is_last)
                return
        if is_last:
            self._passage.close(None)
        self._sink.on_response(changed, is_last=is_last)

    def on_fault(self, error: GatewayError) -> None:
        """See StreamSink."""
        self._sink.on_fault(error)

    def on_end(self, error: GatewayError | None) -> None:
        """See StreamSink."""
        self._passage.close(error)
        self._sink.on_end(error)

    def _fault(self, error: GatewayError, *, is_last: bool) -> None:
        if is_last:
            self.on_end(error)
        else:
            self._sink.on_fault(error)


def let_go(response: InferResponse) -> None:
    """Nobody gets this answer."""
    if response.lease is not None:
        response.lease.release()
