import pytest

from gateway.core.errors import DeadlineExceeded, GatewayError, ModelLoading, ModelUnavailable, Overloaded
from gateway.pipeline.cold import ColdWaiters


class Waiter:
    def __init__(self, deadline: float = 100.0) -> None:
        self.deadline = deadline
        self.is_open = True
        self.errors: list[GatewayError] = []
        self.went_on = 0

    def fail(self, error: GatewayError) -> None:
        self.is_open = False
        self.errors.append(error)

    def go_on(self) -> None:
        self.went_on += 1


def waiting(count: int, limit: int = 10, wait_s: float = 30.0) -> tuple[ColdWaiters, list[Waiter]]:
    waiters = ColdWaiters(limit, wait_s)
    made = [Waiter() for _ in range(count)]
    for waiter in made:
        waiters.add(waiter, waiter.go_on, 0.0)
    return waiters, made


def test_all_go_on_once_but_for_those_who_left() -> None:
    waiters, made = waiting(3)
    made[1].is_open = False
    waiters.release(1.0)
    waiters.release(1.0)
    assert [waiter.went_on for waiter in made] == [1, 0, 1]
    assert len(waiters) == 0


def test_a_failed_load_fails_all_with_the_one_cause() -> None:
    waiters, made = waiting(3)
    cause = ModelUnavailable("broken")
    waiters.fail(cause)
    assert all(waiter.errors == [cause] for waiter in made)


def test_the_number_of_waiters_is_bounded_and_the_closed_do_not_count() -> None:
    waiters, made = waiting(10)
    with pytest.raises(Overloaded) as refusal:
        waiters.add(Waiter(), lambda: None, 0.0)
    assert refusal.value.retry_after_s == 1.0
    made[0].is_open = False
    waiters.add(Waiter(), lambda: None, 0.0)


def test_own_deadline_and_longest_wait_are_told_apart() -> None:
    waiters, (impatient, patient, gone) = waiting(3, wait_s=5.0)
    impatient.deadline = 1.0
    gone.is_open = False
    waiters.sweep(1.0)
    assert isinstance(impatient.errors[0], DeadlineExceeded)
    assert patient.errors == gone.errors == []
    waiters.sweep(5.0)
    assert isinstance(patient.errors[0], ModelLoading)
    assert patient.errors[0].retry_after_s
    assert len(waiters) == 0


def test_a_load_that_comes_too_late_for_somebody_does_not_run_for_them() -> None:
    waiters, (late, early) = waiting(2)
    late.deadline = 1.0
    waiters.release(1.0)
    assert isinstance(late.errors[0], DeadlineExceeded)
    assert (late.went_on, early.went_on) == (0, 1)
