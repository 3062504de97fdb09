"""The rules of giving way, one by one and as stories."""

from __future__ import annotations

import pytest

from gateway.lifecycle.succession import Next, Standing, Step, Way, next_step


@pytest.mark.parametrize(
    ("way", "new", "step", "then"),
    [
        (Way.BESIDE, Standing.ABSENT, Step.START, Way.BESIDE),
        (Way.BESIDE, Standing.COMING, Step.WAIT, Way.BESIDE),
        (Way.BESIDE, Standing.READY, Step.FINISH, Way.BESIDE),
        (Way.BESIDE, Standing.GONE, Step.FINISH, Way.BESIDE),
        (Way.BESIDE, Standing.FAILED, Step.KEEP, Way.GIVEN_UP),
        (Way.BESIDE, Standing.LACKS_MEMORY, Step.PUT_OUT, Way.PUT_OUT),
        (Way.PUT_OUT, Standing.COMING, Step.WAIT, Way.PUT_OUT),
        (Way.PUT_OUT, Standing.READY, Step.FINISH, Way.PUT_OUT),
        (Way.PUT_OUT, Standing.FAILED, Step.BRING_BACK, Way.GIVEN_UP),
        (Way.PUT_OUT, Standing.LACKS_MEMORY, Step.BRING_BACK, Way.GIVEN_UP),
        (Way.GIVEN_UP, Standing.ABSENT, Step.WAIT, Way.GIVEN_UP),
        (Way.GIVEN_UP, Standing.FAILED, Step.WAIT, Way.GIVEN_UP),
        (Way.GIVEN_UP, Standing.LACKS_MEMORY, Step.WAIT, Way.GIVEN_UP),
        (Way.GIVEN_UP, Standing.READY, Step.FINISH, Way.GIVEN_UP),
    ],
)
def test_rules(way: Way, new: Standing, step: Step, then: Way) -> None:
    assert next_step(way, new, is_old_loaded=True) == Next(step, then)


@pytest.mark.parametrize("new", Standing)
def test_an_old_one_that_is_not_loaded_has_nothing_to_hand_over(new: Standing) -> None:
    assert next_step(Way.BESIDE, new, is_old_loaded=False).step is Step.FINISH
    assert next_step(Way.GIVEN_UP, new, is_old_loaded=False).step is Step.FINISH


def test_nothing_is_put_out_twice() -> None:
    way = Way.BESIDE
    steps = []
    for _ in range(5):
        step, way = next_step(way, Standing.LACKS_MEMORY, is_old_loaded=True)
        steps.append(step)
    assert steps == [Step.PUT_OUT, Step.BRING_BACK, Step.WAIT, Step.WAIT, Step.WAIT]
