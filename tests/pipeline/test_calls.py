"""Calls of a worker's model over a fake pipeline: for whom they are made, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import pytest

from gateway.control.messages import VersionView
from gateway.core.dtypes import DType
from gateway.core.errors import DeadlineExceeded, GatewayError, ModelNotFound, Overloaded, Reason
from gateway.core.messages import Done, InferRequest, InferResponse, StreamSink
from gateway.core.model import ModelKey
from gateway.core.tensor import Tensor
from gateway.pipeline.calls import MAX_PARAMETERS, Calls
from gateway.pipeline.catalogue import VersionSlot
from gateway.pipeline.cold import ColdWaiters
from gateway.scheduling.pending import Pending, PendingStream
from gateway.scheduling.slot import Slot
from gateway.telemetry.executions import Executions
from gateway.workers.call_frames import Asked
from gateway.workers.frames import STREAM_WINDOW_BYTES
from tests.fakes.links import FakeLink
from tests.fakes.loop import FakeClock
from tests.fakes.specs import CountedLease, KeptStream

X = (Tensor("X", DType.INT8, (2,), b"ab"),)


class FakeService:
    """A pipeline whose answers are the test's; the model "gone" is refused at once."""

    def __init__(self) -> None:
        self.asked: list[Pending] = []

    def infer(self, request: InferRequest, done: Done) -> Pending | None:
        return self._begin(Pending(request, done, lambda *_: None, 0.0, request.deadline))

    def stream(self, request: InferRequest, sink: StreamSink) -> PendingStream | None:
        made = PendingStream(request, sink, lambda *_: None, 0.0, 30.0)
        return made if self._begin(made) else None

    def _begin(self, pending: Pending) -> Pending | None:
        self.asked.append(pending)
        if pending.request.model == "gone":
            pending.fail(ModelNotFound("gone"))
            return None
        return pending


class FakeReplies:
    """What the worker is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[int, object]] = []
        self.fault: GatewayError | None = None

    def answer(self, number: int, outputs: tuple[Tensor, ...], *, is_last: bool) -> int:
        if self.fault is not None:
            raise self.fault
        self.told.append((number, (tuple(one.name for one in outputs), is_last)))
        return sum(len(one.data) for one in outputs)

    def refuse(self, number: int, error: GatewayError) -> None:
        self.told.append((number, error.reason))

    def end(self, number: int) -> None:
        self.told.append((number, "end"))


class World:
    """One worker, number 3, that runs batch 5 for some requests."""

    def __init__(self) -> None:
        self.clock = FakeClock(1000.0)
        self.service, self.replies = FakeService(), FakeReplies()
        self.slot = Slot(FakeLink(3, None))
        self.calls = Calls(self.members, self.replies, self.service, self.route, self.clock)
        self.closed: list[Pending] = []

    def members(self, batch: int) -> list[Pending]:
        return self.slot.batches.get(batch, [])

    def route(self, key: tuple[str, int | str]) -> VersionSlot | None:
        model, version = key
        if model == "gone":
            return None
        found = ModelKey(model, version if isinstance(version, int) and version else 1)
        return VersionSlot(found, VersionView(found.version, "ready"), ColdWaiters(1, 1.0))

    def run(self, *requests: InferRequest, batch: int = 5) -> list[Pending]:
        members = [
            Pending(one, lambda _: None, lambda pending, _: self.closed.append(pending), 0.0, one.deadline)
            for one in requests
        ]
        for member in members:
            member.version = 1
        self.slot.batches[batch] = members
        return members

    def call(self, number: int = 1, model: str = "m", version: int | str = 0, **more: object) -> CountedLease:
        lease = CountedLease()
        self.calls.on_call(number, Asked(more.pop("batch", 5), model, version, ("X",), **more), X, lease)
        return lease

    @property
    def request(self) -> InferRequest:
        return self.service.asked[-1].request


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    assert not [one for one in made.service.asked if one.is_open] or made.slot.batches


def outer(**more: object) -> InferRequest:
    return InferRequest("caller", 0, (), **more)


def response(*names: str, size: int = 1) -> InferResponse:
    outputs = tuple(Tensor(name, DType.INT8, (size,), bytes(size)) for name in names)
    return InferResponse("m", 1, outputs, lease=CountedLease())


def test_a_call_is_a_request_for_whom_the_batch_runs(world: World) -> None:
    world.run(outer(deadline=1009.0, priority=4), outer(deadline=1005.0, priority=2), outer(deadline=1001.0))
    lease = world.call(version=-1, outputs=("Y",), id="i", timeout_us=2_000_000, parameters={"a": 1})
    request = world.request
    assert (request.model, request.version, request.inputs, request.id) == ("m", 0, X, "i")
    assert [output.name for output in request.outputs] == ["Y"]
    assert (request.deadline, request.timeout_at, request.protocol) == (1009.0, 1002.0, "call")
    assert (request.priority, dict(request.parameters)) == (2, {"a": 1})
    assert request.chain == (ModelKey("caller", 1),)
    assert request.lease is lease


def test_without_a_timeout_or_a_priority_there_is_none(world: World) -> None:
    world.run(outer(deadline=1001.0))
    world.call(version="stable")
    request = world.request
    assert (request.version, request.timeout_at, request.priority) == ("stable", inf, 0)


@pytest.mark.parametrize("limit", [1500.0, inf])
def test_a_stream_waits_for_its_calls_as_long_as_its_reader_does(world: World, limit: float) -> None:
    """Its deadline is that of the next answer, and moves with each."""
    request = outer(deadline=limit)
    world.slot.batches[5] = [PendingStream(request, KeptStream(), lambda *_: None, 1000.0, 30.0)]
    world.call(several=True)
    assert world.request.deadline == limit


def test_an_answer_goes_back_and_its_memory_too(world: World) -> None:
    world.run(outer())
    world.call()
    answer = response("Y")
    world.service.asked[0].answer(answer)
    assert world.replies.told == [(1, (("Y",), True))]
    assert answer.lease.holds == 0
    world.calls.on_cancel(1)
    world.calls.on_taken(1, 5)


@pytest.mark.parametrize("several", [False, True])
def test_what_fails_is_told(world: World, several: bool) -> None:
    world.run(outer())
    world.call(1, "gone", several=several)
    world.call(2, several=several)
    world.service.asked[1].fail(DeadlineExceeded("late"))
    assert world.replies.told == [(1, Reason.NOT_FOUND), (2, Reason.DEADLINE_EXCEEDED)]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"batch": 6}, Reason.CANCELLED),
        ({"model": "no name"}, Reason.INVALID_INPUT),
        ({"version": -2}, Reason.INVALID_INPUT),
        ({"version": 1 << 63}, Reason.INVALID_INPUT),
        ({"version": "1.5"}, Reason.INVALID_INPUT),
        ({"timeout_us": -1}, Reason.INVALID_INPUT),
        ({"timeout_us": 1 << 62}, Reason.INVALID_INPUT),
        ({"parameters": {str(one): one for one in range(MAX_PARAMETERS + 1)}}, Reason.INVALID_INPUT),
        ({"model": "caller"}, Reason.UNSUPPORTED),
        ({"model": "above"}, Reason.UNSUPPORTED),
    ],
)
def test_what_cannot_be_asked_is_refused_and_holds_nothing(
    world: World, asked: dict[str, object], reason: Reason
) -> None:
    world.run(outer(chain=(ModelKey("above", 1),)))
    lease = world.call(**asked)
    assert world.replies.told == [(1, reason)]
    assert world.service.asked == []
    assert lease.holds == 0


def test_another_version_of_the_caller_may_be_called(world: World) -> None:
    world.run(outer())
    world.call(model="caller", version=2)
    assert world.request.version == 2


def test_nobody_waits_where_all_have_gone_before(world: World) -> None:
    (member,) = world.run(outer())
    member.cancel()
    world.call()
    assert world.replies.told == [(1, Reason.CANCELLED)]


def test_calls_are_given_up_when_nobody_waits_any_more(world: World) -> None:
    first, second = world.run(outer(), outer())
    leases = [world.call(1), world.call(2, several=True)]
    first.cancel()
    assert world.replies.told == []
    second.fail(DeadlineExceeded("late"))
    assert world.replies.told == [(1, Reason.CANCELLED), (2, Reason.CANCELLED)]
    assert not any(one.is_open for one in world.service.asked)
    assert [lease.holds for lease in leases] == [0, 0]
    assert world.closed == [first, second]
    world.service.asked[0].answer(response("Y"))
    assert len(world.replies.told) == 2


def test_thousands_of_calls_in_turn_are_one_batch(world: World) -> None:
    (member,) = world.run(outer())
    for number in range(5000):
        world.call(number)
        world.service.asked[-1].answer(response("Y"))
    world.call(5000)
    member.cancel()
    assert world.replies.told[-1] == (5000, Reason.CANCELLED)


def test_a_request_that_runs_again_calls_anew(world: World) -> None:
    (member,) = world.run(outer())
    world.call(1)
    del world.slot.batches[5]
    world.calls.on_cancel(1)
    world.slot.batches[6] = [member]
    world.call(1, batch=6)
    member.cancel()
    assert world.replies.told == [(1, Reason.CANCELLED)]
    assert world.closed == [member]


@pytest.mark.parametrize("end", ["cancel", "closed"])
def test_the_worker_may_end_them(world: World, end: str) -> None:
    world.run(outer())
    leases = [world.call(1), world.call(2)]
    if end == "closed":
        world.calls.on_closed()
    else:
        world.calls.on_cancel(1)
        world.calls.on_cancel(2)
    assert world.replies.told == []
    assert not any(one.is_open for one in world.service.asked)
    assert [lease.holds for lease in leases] == [0, 0]
    world.calls.on_closed()


def test_a_stream_goes_on_as_it_is_taken(world: World) -> None:
    world.run(outer())
    world.call(several=True)
    pending = world.service.asked[0]
    assert isinstance(pending, PendingStream)
    sink = pending.sink
    link = FakeLink(3, None)
    pending.run_as(link, 9, Executions("lab", 1, world.clock), world.clock)
    pending.in_batch = True
    pending.part(response("Y", size=STREAM_WINDOW_BYTES), STREAM_WINDOW_BYTES, 0.0)
    assert (sink.is_writable, link.granted) == (False, [])
    world.calls.on_taken(1, 10)
    assert sink.is_writable
    assert link.granted == [(9, STREAM_WINDOW_BYTES)]
    world.calls.on_taken(1, 1 << 60)
    pending.end()
    assert world.replies.told == [(1, (("Y",), False)), (1, "end")]
    world.calls.on_taken(1, 1)


def test_an_error_among_the_answers_ends_the_call(world: World) -> None:
    world.run(outer())
    world.call(several=True)
    (pending,) = world.service.asked
    assert isinstance(pending, PendingStream)
    pending.part(Overloaded("not now"), 64, 0.0)
    pending.part(Overloaded("nor later"), 64, 0.0)
    assert world.replies.told == [(1, Reason.OVERLOADED)]
    assert not pending.is_open


def test_a_single_answer_may_be_read_as_a_stream(world: World) -> None:
    world.run(outer())
    world.call(several=True)
    world.service.asked[0].answer(response("Y"))
    assert world.replies.told == [(1, (("Y",), True))]


def test_an_answer_that_cannot_be_told_is_an_error(world: World) -> None:
    world.run(outer())
    world.call(1)
    world.call(2, several=True)
    world.replies.fault = Overloaded("no room")
    single, stream = world.service.asked
    answers = [response("Y"), response("Y")]
    single.answer(answers[0])
    assert isinstance(stream, PendingStream)
    stream.part(answers[1], 1, 0.0)
    assert world.replies.told == [(1, Reason.OVERLOADED), (2, Reason.OVERLOADED)]
    assert not stream.is_open
    assert [answer.lease.holds for answer in answers] == [0, 0]
