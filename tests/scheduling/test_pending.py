from math import inf

from gateway.core.errors import Cancelled, GatewayError, Overloaded
from gateway.core.messages import InferResponse
from gateway.scheduling.pending import Pending
from tests.fakes.specs import CountedLease, row_request


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
