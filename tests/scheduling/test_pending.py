from collections.abc import Callable
from math import inf

import pytest

from gateway.core.errors import Cancelled, GatewayError, ModelFailed, Overloaded
from gateway.core.messages import InferResponse, StreamTicket
from gateway.scheduling.pending import Pending, PendingStream, as_stream
from gateway.telemetry.executions import Executions
from gateway.telemetry.series import ResponseSums
from gateway.workers.frames import STREAM_WINDOW_BYTES
from tests.fakes.loop import FakeClock
from tests.fakes.specs import CountedLease, KeptStream, row_request


class Caller:
    def __init__(self, lease: CountedLease | None = None) -> None:
        self.answers: list[InferResponse | GatewayError] = []
        self.records: list[GatewayError | None] = []
        self.pending = Pending(
            row_request(1.0, lease=lease),
            self.answers.append,
            lambda _, error: self.records.append(error),
            0.0,
            inf,
        )


def test_one_end_and_one_record_whatever_comes_later() -> None:
    caller = Caller()
    caller.pending.fail(Overloaded("full"))
    caller.pending.fail(Overloaded("again"))
    caller.pending.cancel()
    late = CountedLease()
    caller.pending.answer(InferResponse("m", 1, (), lease=late))
    assert [str(answer) for answer in caller.answers] == ["full"]
    assert len(caller.records) == 1
    assert late.holds == 0, "a dropped answer gives its memory back"


def test_a_cancelled_request_is_recorded_and_told_nothing() -> None:
    caller = Caller()
    caller.pending.cancel()
    assert caller.answers == []
    assert isinstance(caller.records[0], Cancelled)


def test_the_inputs_are_held_while_a_worker_may_read_them() -> None:
    lease = CountedLease()
    caller = Caller(lease)
    caller.pending.in_batch = True
    caller.pending.cancel()
    assert lease.holds == 1
    caller.pending.leave_batch()
    assert lease.holds == 0


def test_the_inputs_are_given_back_once_answered() -> None:
    lease = CountedLease()
    caller = Caller(lease)
    caller.pending.in_batch = True
    caller.pending.answer(InferResponse("m", 1, ()))
    caller.pending.leave_batch()
    assert lease.holds == 0


# ---- any number of answers ----------------------------------------------------------------------


class Link:
    """What a stream asks of its link."""

    def __init__(self) -> None:
        self.granted: list[tuple[int, int]] = []
        self.stopped: list[int] = []

    def grant(self, batch_id: int, size: int) -> None:
        self.granted.append((batch_id, size))

    def stop(self, batch_id: int) -> None:
        self.stopped.append(batch_id)


class Stream:
    """A stream that a model is at."""

    def __init__(self, deadline: float = inf) -> None:
        self.sink = KeptStream()
        self.link = Link()
        self.records: list[GatewayError | None] = []
        self.clock = FakeClock(100.0)
        self.executions = Executions("m", 1, self.clock)
        self.pending = PendingStream(
            row_request(1.0, deadline=deadline),
            self.sink,
            lambda _, error: self.records.append(error),
            100.0,
            60.0,
        )
        self.pending.run_as(self.link, 9, self.executions, self.clock)  # type: ignore[arg-type]
        self.pending.in_batch = True

    def responses(self) -> dict[int, ResponseSums]:
        return self.executions.parts()[-1].responses


RESPONSE = InferResponse("m", 1, ())


def test_parts_and_an_end() -> None:
    stream = Stream()
    ticket: StreamTicket = stream.pending
    stream.pending.part(RESPONSE, 1, 100.0)
    stream.pending.part(RESPONSE, 1, 100.0)
    assert (len(stream.sink.responses), stream.sink.ends, stream.records) == (2, [], [])
    stream.pending.end()
    stream.pending.end()
    ticket.cancel()
    assert (stream.sink.ends, stream.records, stream.link.stopped) == ([None], [None], [])


def test_an_error_in_place_of_an_answer_ends_nothing() -> None:
    stream = Stream()
    stream.pending.part(ModelFailed("x"), STREAM_WINDOW_BYTES // 4, 100.0)
    stream.pending.part(RESPONSE, 1, 100.0)
    assert ([str(one) for one in stream.sink.faults], len(stream.sink.responses)) == (["x"], 1)
    assert (stream.sink.ends, stream.link.stopped, stream.pending.parts) == ([], [], 2)
    assert stream.link.granted == [(9, STREAM_WINDOW_BYTES // 4)]
    stream.pending.cancel()
    stream.pending.part(ModelFailed("x"), 1, 100.0)
    assert len(stream.sink.faults) == 1


def test_an_answer_is_the_last() -> None:
    stream = Stream()
    stream.pending.part(RESPONSE, 1, 100.0)
    stream.pending.answer(RESPONSE)
    assert (len(stream.sink.responses), stream.sink.ends, stream.records) == (2, [None], [None])


def test_a_failure_is_an_end() -> None:
    stream = Stream()
    stream.pending.leave_batch()
    stream.pending.fail(ModelFailed("x"))
    assert [str(end) for end in stream.sink.ends] == ["x"]
    assert stream.link.stopped == []


def test_whoever_goes_stops_the_model_and_is_told_nothing() -> None:
    stream, late = Stream(), CountedLease()
    stream.pending.cancel()
    stream.pending.part(InferResponse("m", 1, (), lease=late), 1, 100.0)
    stream.pending.end()
    assert (stream.link.stopped, stream.sink.ends, late.holds) == ([9], [], 0)


def test_a_deadline_stops_the_model_too() -> None:
    stream = Stream()
    stream.pending.fail(Overloaded("late"))
    assert (stream.link.stopped, len(stream.sink.ends)) == ([9], 1)


def test_the_worker_is_granted_what_was_taken_off_it() -> None:
    stream = Stream()
    stream.pending.part(RESPONSE, STREAM_WINDOW_BYTES // 8, 100.0)
    assert stream.link.granted == []
    stream.pending.part(RESPONSE, STREAM_WINDOW_BYTES // 8, 100.0)
    assert stream.link.granted == [(9, STREAM_WINDOW_BYTES // 4)]


def test_and_nothing_while_its_reader_is_slow() -> None:
    stream = Stream()
    stream.sink.is_writable = False
    for _ in range(4):
        stream.pending.part(RESPONSE, STREAM_WINDOW_BYTES // 4, 100.0)
    assert stream.link.granted == []
    stream.sink.is_writable = True
    stream.pending.resume()
    stream.pending.resume()
    assert stream.link.granted == [(9, STREAM_WINDOW_BYTES)]
    stream.pending.part(RESPONSE, 1, 100.0)
    stream.pending.cancel()
    stream.pending.resume()
    assert len(stream.link.granted) == 1


def test_patience_begins_anew_with_each_answer_but_for_a_deadline_of_its_own() -> None:
    stream = Stream()
    assert stream.pending.deadline == 160.0
    stream.pending.part(RESPONSE, 1, 150.0)
    assert stream.pending.deadline == 210.0
    stream = Stream(deadline=170.0)
    stream.pending.part(RESPONSE, 1, 150.0)
    assert stream.pending.deadline == 160.0 + 10.0


def test_an_answer_that_cannot_be_translated_is_the_end() -> None:
    stream = Stream()
    done = stream.pending.done
    stream.pending.done = lambda result: done(ModelFailed("no classes"))
    stream.pending.part(RESPONSE, 1, 100.0)
    assert ([str(end) for end in stream.sink.ends], stream.link.stopped) == (["no classes"], [9])


def test_answers_are_counted_with_the_time_since_the_one_before() -> None:
    stream = Stream()
    stream.pending.part(RESPONSE, 1, 100.25)
    stream.pending.part(RESPONSE, 1, 100.75)
    stream.clock.now = 101.0
    stream.pending.end()
    assert stream.responses() == {0: ResponseSums(1, 250_000_000), 1: ResponseSums(1, 500_000_000)}


@pytest.mark.parametrize(
    ("close", "sums"),
    [
        (lambda pending: pending.end(), ResponseSums(empties=1, empty_ns=500_000_000)),
        (lambda pending: pending.answer(RESPONSE), ResponseSums(1, 500_000_000)),
        (
            lambda pending: pending.part(Overloaded(""), 1, 100.5),
            ResponseSums(failures=1, failure_ns=500_000_000),
        ),
        (lambda pending: pending.cancel(), ResponseSums(cancels=1, cancel_ns=500_000_000)),
        (lambda pending: pending.fail(Overloaded("")), ResponseSums(failures=1, failure_ns=500_000_000)),
    ],
)
def test_what_comes_last_or_in_place_of_an_answer_is_counted(
    close: Callable[[PendingStream], None], sums: ResponseSums
) -> None:
    stream = Stream()
    stream.clock.now = 100.5
    close(stream.pending)
    assert stream.responses() == {0: sums}


def test_only_streams_are_streams() -> None:
    with pytest.raises(AssertionError):
        as_stream(Caller().pending)
