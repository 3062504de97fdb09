"""The rules of continuous batching, each broken once."""

import pytest

from gateway.core.batching import Policy, Queued
from gateway.core.step_batching import Running, Stepped, begun, broken_step, goes_on

NOW = 10.0
POLICY = Policy(4)
STAYS, DONE = Running(1, 2), Running(2, 1, is_done=True)
A, B, OTHER = Queued(3, 1.0), Queued(4, 2.0), Queued(5, 3.0, compat="other")


@pytest.mark.parametrize(
    ("stepped", "fault"),
    [
        (Stepped((STAYS,), (A, B)), ""),
        (Stepped((STAYS,)), ""),
        (Stepped((STAYS, DONE)), "it did not let go on just those who are not done"),
        (Stepped((), (A,)), "it did not let go on just those who are not done"),
        (Stepped((STAYS,), (B,)), "it let one overtake another, or admitted one that does not wait"),
        (Stepped((STAYS,), (A, A)), "it let one overtake another, or admitted one that does not wait"),
        (Stepped((STAYS,), (A, B, OTHER)), "it let those run together who cannot share a batch"),
    ],
)
def test_each_rule(stepped: Stepped, fault: str) -> None:
    assert broken_step(NOW, [STAYS, DONE], [A, B, OTHER], POLICY, stepped) == fault


def test_rows_and_standing_still() -> None:
    assert broken_step(NOW, [], [A, B], Policy(1), Stepped((), (A, B))) == (
        "it let 2 rows run where 1 are the most"
    )
    assert broken_step(NOW, [DONE], [A], POLICY, Stepped()) == "it let nobody run though one waits"
    assert broken_step(NOW, [DONE], [], POLICY, Stepped()) == ""


def test_who_goes_on() -> None:
    one = begun(Queued(7, 1.0, 3, 20.0, 1, "x"))
    assert one == Running(7, 3, 20.0, "x")
    assert goes_on(one, 19.0)
    assert not goes_on(one, 20.0)
    assert not goes_on(one._replace(is_done=True), 1.0)
