"""An answer that a plugin wants another model's in place of: the request goes there as if it came anew.

DESIGN: the first answer is kept until the other model has answered, and given where that refuses or fails: a
doubtful answer is better than none. Inputs in shared memory are held once more for as long as this may need
them. The policies that follow see the request as it was let in, whoever has answered it in the end: so a
question of the small model is answered from a cache by what the large one said to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from gateway.core.caller import Caller
from gateway.core.errors import GatewayError
from gateway.core.messages import Done, InferRequest, InferResponse, Ticket
from gateway.hooks.calling import Hook
from gateway.hooks.values import Target
from gateway.pipeline.passage import Passage, let_go


class Gates(Protocol):
    """What a request for another model has to pass before it runs."""

    def permitted(self, passage: Passage, request: InferRequest) -> Awaitable[None] | None:
        """Asks rights and `admit`, or gives an awaitable of that; raises what refuses."""

    def refused(self, protocol: str, error: GatewayError, model: str, caller: Caller) -> None:
        """Must be told of a refusal, so that it leaves a record."""


class Cascade:
    """Stands between the pipeline and whoever is answered. Invariant: `_kept` is an answer nobody has yet."""

    __slots__ = ("_asked", "_done", "_gates", "_hook", "_infer", "_kept", "_later", "_passage")

    def __init__(
        self,
        passage: Passage,
        done: Done,
        hook: Hook,
        gates: Gates,
        infer: Callable[..., Ticket | None],
        later: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._passage = passage
        self._done = done
        self._hook = hook
        self._gates = gates
        self._infer = infer
        self._later = later
        self._kept: InferResponse | None = None
        self._asked = [Target(passage.request.model, passage.request.version)]
        if passage.request.lease is not None:
            passage.request.lease.hold()
        passage.releases.append(self._end)

    def begin(self) -> None:
        """Asks the model that the request is for."""
        self._run(self._passage.request)

    def _run(self, request: InferRequest) -> None:
        passage, before = self._passage, len(self._asked)
        ticket = self._infer(request, self, passage.caller)
        if passage.is_open and len(self._asked) == before:  # else a later one is under way, or none
            passage.ticket = ticket

    def __call__(self, result: InferResponse | GatewayError) -> None:
        """See Done: what a model has answered."""
        kept, self._kept = self._kept, None
        if isinstance(result, GatewayError):
            self._done(result if kept is None else kept)
            return
        if kept is not None:
            let_go(kept)
        passage = self._passage
        if not passage.is_open:
            let_go(result)
            return
        self._kept = result
        try:
            target = self._hook.first(result, passage.request, passage.caller)
        except GatewayError as error:
            self._end_with(error)
            return
        if target is None or isinstance(target, Target):
            self._decided(target)
        else:
            self._later(self._decided_later(target))

    async def _decided_later(self, waiting: Awaitable[Target | None]) -> None:
        try:
            target = await waiting
        except GatewayError as error:
            self._end_with(error)
            return
        if self._passage.is_open:
            self._decided(target)

    def _decided(self, target: Target | None) -> None:
        """The answer is given, or the request goes on; nobody is asked twice."""
        if target is None or target in self._asked:
            self._give()
            return
        self._asked.append(target)
        request = self._passage.request.to(target.model, target.version)
        try:
            waiting = self._gates.permitted(self._passage, request)
        except GatewayError as error:
            self._refuse(request, error)
            return
        if waiting is None:
            self._go_on(request)
        else:
            self._later(self._go_on_later(request, waiting))

    async def _go_on_later(self, request: InferRequest, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except GatewayError as error:
            self._refuse(request, error)
            return
        if self._passage.is_open:
            self._go_on(request)
        else:
            self._passage.release()

    def _go_on(self, request: InferRequest) -> None:
        if request.lease is not None:
            request.lease.hold()  # the pipeline gives one back
        self._run(request)

    def _refuse(self, request: InferRequest, error: GatewayError) -> None:
        if self._passage.is_open:
            self._gates.refused(request.protocol, error, request.model, self._passage.caller)
            self._give()

    def _end_with(self, error: GatewayError) -> None:
        """A plugin's decision against the answer."""
        if self._passage.is_open:
            self._done(error)

    def _give(self) -> None:
        kept, self._kept = self._kept, None
        assert kept is not None
        self._done(kept)

    def _end(self) -> None:
        """The passage has ended, however it did."""
        if self._passage.request.lease is not None:
            self._passage.request.lease.release()
        kept, self._kept = self._kept, None
        if kept is not None:
            let_go(kept)
