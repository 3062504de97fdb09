"""What plugins decide of a request before and after the pipeline has it: one stage a hook, in this order.

transform_request → route → authorize → admit → answer → around_execution → (pipeline) → reconsider
→ transform_response

DESIGN: a stage that no plugin is in costs a comparison, and where there is none at all frontends talk to the
pipeline itself. A stage is a method that gives nothing, or an awaitable from an async plugin; only then the
request gets a task. The stages are called by name and not from a list: compiled, a call of one's own method
costs a tenth of one through a list. With API keys, a rate limit and weighted
routing, all synchronous, the whole of it costs a request three calls and no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

from gateway.core.caller import ANYBODY, Caller, Operation
from gateway.core.errors import GatewayError
from gateway.core.messages import Done, InferRequest, InferResponse, StreamSink, StreamTicket, Ticket
from gateway.core.statistics import VersionStatistics
from gateway.hooks.manager import Hooks
from gateway.hooks.tasks import Tasks
from gateway.hooks.values import Target
from gateway.pipeline.cascade import Cascade
from gateway.pipeline.passage import Answering, Passage, Streaming
from gateway.pipeline.pipeline import not_found
from gateway.pipeline.rights import Rights, go_on_if
from gateway.pipeline.service import Described, InferenceService
from gateway.pipeline.statistics import Counted

# The hooks that policies call, in their order.
STAGES = (
    *("transform_request", "route", "admit", "answer", "around_execution"),
    *("reconsider", "transform_response"),
)


class Serving(InferenceService, Protocol):
    """What policies stand before: the pipeline."""

    def is_published(self, model: str, version: int | str) -> bool:
        """True for the version that answers for the model, and for those that have a label."""

    def resolve(self, model: str, version: int | str) -> int:
        """The number of the version that would answer; 0 where there is none."""

    def answered(self, request: InferRequest, version: int, caller: Caller) -> None:
        """Must be told of a request that was answered without a model, so that it leaves a record too."""


class Policies:
    """Implements InferenceService over a pipeline; `rights` is None where nobody is asked who they are."""

    def __init__(self, pipeline: Serving, hooks: Hooks, rights: Rights | None, tasks: Tasks) -> None:
        self._pipeline = pipeline
        self._infer: Final = pipeline.infer  # looked up once
        self._rights = rights
        self._tasks = tasks
        self._transform = hooks.get("transform_request")
        self._route = hooks.get("route")
        self._admit = hooks.get("admit")
        self._answer = hooks.get("answer")
        self._around = hooks.get("around_execution")
        self._has_last = self._answer is not None or self._around is not None
        change = hooks.get("transform_response")
        self._change = None if change is None else change.chain
        self._reconsider = hooks.get("reconsider")
        self._is_last = change is None and self._reconsider is None  # the pipeline's answer is the answer
        self._change_now = None if change is None else change.chain_now

    # ---- a request's life -----------------------------------------------------------------------

    def infer(self, request: InferRequest, done: Done, caller: Caller = ANYBODY) -> Ticket | None:
        """See InferenceService."""
        passage = Passage(request, caller)
        try:
            waiting = self._pass(passage, 0)
        except GatewayError as error:
            self._refuse(passage, error, done)
            return None
        if waiting is not None:
            self._begin(self._go_later(passage, *waiting, partial(self._run, passage, done), done))
            return passage
        return self._run(passage, done)

    def _run(self, passage: Passage, done: Done) -> Ticket | None:
        if passage.answer is not None:
            self._tell(passage, passage.answer, done)
            return None
        passage.is_handed_over = True
        if self._is_last and passage.is_free:
            # Nothing depends on its end: the pipeline's own ticket is as good.
            passage.ticket = ticket = self._infer(passage.request, done, passage.caller)
            return ticket
        answering = Answering(passage, done, self._change, self._begin)
        if self._reconsider is None:
            passage.ticket = self._infer(passage.request, answering, passage.caller)
        else:
            Cascade(passage, answering, self._reconsider, self, self._infer, self._begin).begin()
        return passage if passage.is_open else None

    def stream(
        self, request: InferRequest, sink: StreamSink, caller: Caller = ANYBODY
    ) -> StreamTicket | None:
        """See InferenceService."""
        passage = Passage(request, caller)
        passage.is_stream = True
        streaming = Streaming(passage, sink, self._change_now)
        run = partial(self._run_stream, passage, streaming)
        try:
            waiting = self._pass(passage, 0)
        except GatewayError as error:
            self._refuse(passage, error, sink.on_end)
            return None
        if waiting is not None:
            self._begin(self._go_later(passage, *waiting, run, sink.on_end))
        else:
            run()
        return streaming if passage.is_open else None

    def _run_stream(self, passage: Passage, streaming: Streaming) -> None:
        passage.is_handed_over = True
        streaming.runs(self._pipeline.stream(passage.request, streaming, passage.caller))

    def _pass(self, passage: Passage, first: int) -> tuple[Awaitable[None], int] | None:
        """Takes the stages from number `first` on, those that somebody is in.

        Gives what has to be waited for, and the number of the stage that follows then.
        """
        if first < 1 and self._transform is not None:
            waiting = self._transformed(passage)
            if waiting is not None:
                return waiting, 1
        if first < 2 and self._route is not None:
            waiting = self._routed(passage)
            if waiting is not None:
                return waiting, 2
        if first < 3 and self._rights is not None:
            waiting = self._authorized(passage)
            if waiting is not None:
                return waiting, 3
        if first < 4 and self._admit is not None:
            waiting = self._admitted(passage)
            if waiting is not None:
                return waiting, 4
        return self._pass_last(passage, first) if self._has_last else None

    def _pass_last(self, passage: Passage, first: int) -> tuple[Awaitable[None], int] | None:
        """The two stages that few have a plugin in."""
        if first < 5 and self._answer is not None and not passage.is_stream:
            waiting = self._answered(passage)
            if waiting is not None:
                return waiting, 5
        if first < 6 and self._around is not None and passage.answer is None:
            return self._surrounded(passage), 6
        return None

    async def _go_later(
        self,
        passage: Passage,
        waiting: Awaitable[None],
        following: int,
        run: Callable[[], object],
        refused: Callable[[GatewayError], None],
    ) -> None:
        try:
            await waiting
            while passage.is_open and (more := self._pass(passage, following)) is not None:
                waiting, following = more
                await waiting
        except GatewayError as error:
            self._refuse(passage, error, refused)
        if passage.is_open:
            run()
        else:
            passage.release()

    def _refuse(self, passage: Passage, error: GatewayError, refused: Callable[[GatewayError], None]) -> None:
        request = passage.request
        if passage.close(error):
            self._pipeline.refused(request.protocol, error, request.model, passage.caller)
            refused(error)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.begin(work, "policies")

    # ---- the stages -----------------------------------------------------------------------------

    def _transformed(self, passage: Passage) -> Awaitable[None] | None:
        assert self._transform is not None
        changed = self._transform.chain(passage.request, passage.caller)
        if isinstance(changed, InferRequest):
            passage.request = changed
            return None
        return self._transformed_later(passage, changed)

    @staticmethod
    async def _transformed_later(passage: Passage, changed: Awaitable[InferRequest]) -> None:
        passage.request = await changed

    def _routed(self, passage: Passage) -> Awaitable[None] | None:
        assert self._route is not None
        target = self._route.first(passage.request, passage.caller)
        if target is None:
            return None
        if isinstance(target, Target):
            self._turn(passage, target)
            return None
        return self._routed_later(passage, target)

    async def _routed_later(self, passage: Passage, waiting: Awaitable[Target | None]) -> None:
        if (target := await waiting) is not None:
            self._turn(passage, target)

    @staticmethod
    def _turn(passage: Passage, target: Target) -> None:
        passage.is_routed = True
        request, (model, version) = passage.request, target
        if model != request.model or version != request.version:
            passage.request = request.to(model, version)

    def _authorized(self, passage: Passage) -> Awaitable[None] | None:
        request = passage.request
        if passage.is_routed:  # to a version that a rule names, and not the caller
            assert self._rights is not None
            return self._rights.check(passage.caller, Operation.INFER, request.model, request.version)
        return self._check(passage.caller, request.model, request.version)

    def _check(self, caller: Caller, model: str, version: int | str) -> Awaitable[None] | None:
        assert self._rights is not None
        is_published = not version or self._pipeline.is_published(model, version)
        operation = Operation.INFER if is_published else Operation.PREVIEW
        return self._rights.check(caller, operation, model, version)

    def _admitted(self, passage: Passage) -> Awaitable[None] | None:
        assert self._admit is not None
        return self._admit.gate(passage.releases, passage.request, passage.caller)

    def _answered(self, passage: Passage) -> Awaitable[None] | None:
        assert self._answer is not None
        request = passage.request
        version = self._pipeline.resolve(request.model, request.version)
        found = self._answer.first(request, version, passage.caller)
        if found is None or isinstance(found, InferResponse):
            passage.answer = found
            return None
        return self._answered_later(passage, found)

    @staticmethod
    async def _answered_later(passage: Passage, waiting: Awaitable[InferResponse | None]) -> None:
        passage.answer = await waiting

    def _tell(self, passage: Passage, answer: InferResponse, done: Done) -> None:
        """Answers a request that no model was needed for."""
        request = passage.request
        self._pipeline.answered(request, answer.version, passage.caller)
        Answering(passage, done, self._change, self._begin)(answer)

    def _surrounded(self, passage: Passage) -> Awaitable[None]:
        loop = asyncio.get_running_loop()
        entered: asyncio.Future[None] = loop.create_future()
        passage.left = loop.create_future()
        self._tasks.begin(self._surround(passage, entered, passage.left), "around_execution")
        return entered

    async def _surround(
        self,
        passage: Passage,
        entered: asyncio.Future[None],
        left: asyncio.Future[GatewayError | None],
    ) -> None:
        """Is in what the plugins return from before the request runs until it has been answered."""
        assert self._around is not None
        try:
            async with self._around.around(passage.request, passage.caller):
                if not entered.done():
                    entered.set_result(None)
                if (error := await left) is not None:
                    raise error
        except GatewayError as error:
            if not entered.done():
                entered.set_exception(error)
            # else: the caller has its answer, and the guard has told of the plugin.

    # ---- another model in place of the first (Gates) ----------------------------------------------

    def permitted(self, passage: Passage, request: InferRequest) -> Awaitable[None] | None:
        """See Gates."""
        waiting = None
        if self._rights is not None:
            waiting = self._rights.check(passage.caller, Operation.INFER, request.model, request.version)
        if waiting is not None:
            return self._permitted_later(passage, request, waiting)
        if self._admit is None:
            return None
        return self._admit.gate(passage.releases, request, passage.caller)

    async def _permitted_later(
        self, passage: Passage, request: InferRequest, waiting: Awaitable[None]
    ) -> None:
        await waiting
        if self._admit is not None:
            more = self._admit.gate(passage.releases, request, passage.caller)
            if more is not None:
                await more

    # ---- what is there --------------------------------------------------------------------------

    def describe(
        self, model: str, version: int | str, described: Described, caller: Caller = ANYBODY
    ) -> None:
        """See InferenceService."""
        go_on = partial(self._pipeline.describe, model, version, described)
        if self._rights is None:
            go_on()
            return
        go_on_if(partial(self._look, caller, model, version), go_on, described, self._tasks)

    def statistics(
        self, model: str, version: int | str, counted: Counted, caller: Caller = ANYBODY
    ) -> Ticket | None:
        """See InferenceService; of all models those are told that the caller sees."""
        if self._rights is None:
            return self._pipeline.statistics(model, version, counted)
        if not model:
            return self._pipeline.statistics("", 0, partial(self._visible, caller, counted))
        go_on = partial(self._pipeline.statistics, model, version, counted)
        return go_on_if(partial(self._look, caller, model, version), go_on, counted, self._tasks)

    def _visible(
        self, caller: Caller, counted: Counted, result: tuple[VersionStatistics, ...] | GatewayError
    ) -> None:
        if isinstance(result, GatewayError):
            counted(result)
            return
        counted(tuple([one for one in result if self.sees_now(caller, one.name)]))

    def is_model_ready(self, model: str, version: int | str, caller: Caller = ANYBODY) -> bool:
        """See InferenceService; where only an async plugin knows, a model is unknown until it has said so."""
        if not self.sees_now(caller, model):
            raise not_found(model, version)
        return self._pipeline.is_model_ready(model, version)

    def sees_now(self, caller: Caller, model: str) -> bool:
        """Whether the model exists for the caller, as far as that is known without waiting."""
        if self._rights is None:
            return True
        try:
            sees = self._rights.sees(caller, model)
        except GatewayError:
            return False
        if isinstance(sees, bool):
            return sees
        # What it learns it may remember; whoever asks again is told.
        self._tasks.begin_if_room(_awaited(sees), "authorize")
        return False

    def _look(self, caller: Caller, model: str, version: int | str) -> Awaitable[None] | None:
        """Whether it may know that there is such a model."""
        principal = caller.principal
        if principal is not None and principal.sees(model) and self._pipeline.is_published(model, version):
            return None
        return self._check(caller, model, version)

    def refused(self, protocol: str, error: GatewayError, model: str = "", caller: Caller = ANYBODY) -> None:
        """See InferenceService."""
        self._pipeline.refused(protocol, error, model, caller)

    def is_live(self) -> bool:
        """See InferenceService."""
        return self._pipeline.is_live()

    def is_ready(self) -> bool:
        """See InferenceService."""
        return self._pipeline.is_ready()


async def _awaited(work: Awaitable[Any]) -> None:
    try:
        await work
    except GatewayError:
        return  # told by whoever asked
