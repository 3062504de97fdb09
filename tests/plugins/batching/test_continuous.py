"""Rows enter and leave at every step: the rules, that all get through, and what it is good for."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.batching import Policy, Queued
from gateway.core.step_batching import Running, Stepped, begun, broken_step
from gateway_plugins.batching.continuous import step_batch
from tests.plugins.batching.waiting import NOW, lines, policies


@st.composite
def runs(draw: st.DrawFn, policy: Policy) -> list[Running]:
    """What may run under `policy`: one compat, no more rows than fit."""
    running: list[Running] = []
    room, compat = policy.max_rows, (draw(st.sampled_from("ab")),)
    while room and draw(st.booleans()):
        rows = draw(st.integers(1, room))
        deadline = NOW + draw(st.sampled_from([-1.0, 0.0, 5.0]))
        running.append(Running(100 + len(running), rows, deadline, compat, draw(st.booleans())))
        room -= rows
    return running


@given(st.data())
def test_the_rules_are_kept(data: st.DataObject) -> None:
    policy = data.draw(policies())
    running, queued = data.draw(runs(policy)), data.draw(lines(policy))
    stepped = step_batch(NOW, running, queued, policy)
    assert broken_step(NOW, running, queued, policy, stepped) == ""
    assert len(stepped.admitted) == len(queued) or not fits(stepped, queued[len(stepped.admitted)], policy)


def fits(stepped: Stepped, one: Queued, policy: Policy) -> bool:
    """Whether one more could have been admitted."""
    together = (*stepped.running, *stepped.admitted)
    rows = sum(each.rows for each in together) + one.rows
    return rows <= policy.max_rows and all(each.compat == one.compat for each in together)


def test_a_request_of_another_kind_is_waited_for() -> None:
    a, other, b = (Queued(place, 0.0, compat=kind) for place, kind in enumerate("aba"))
    first = step_batch(NOW, [], [a, other, b], Policy(4))
    assert first == Stepped((), (a,))
    running = [begun(a)]
    assert step_batch(NOW, running, [other, b], Policy(4)) == Stepped((begun(a),), ())
    done = [begun(a)._replace(is_done=True)]
    assert step_batch(NOW, done, [other, b], Policy(4)) == Stepped((), (other,))


def steps_needed(lengths: list[int], max_rows: int, *, is_continuous: bool) -> int:
    """How many steps it takes until all are done; a batch that is not continuous ends with its longest."""
    left = dict(enumerate(lengths))
    waiting = [Queued(handle, 0.0) for handle in left]
    running: tuple[Running, ...] = ()
    steps = 0
    while waiting or running:
        if is_continuous or all(one.is_done for one in running):
            stepped = step_batch(NOW, running, waiting, Policy(max_rows))
            assert broken_step(NOW, running, waiting, Policy(max_rows), stepped) == ""
            waiting = waiting[len(stepped.admitted) :]
            running = (*stepped.running, *map(begun, stepped.admitted))
        if not running:
            break
        steps += 1
        for one in running:
            left[one.handle] -= 1
        running = tuple(one._replace(is_done=left[one.handle] <= 0) for one in running)
    assert max(left.values()) <= 0, "all have run"
    return steps


def test_where_lengths_differ_it_needs_far_fewer_steps_than_batches_that_end_together() -> None:
    chance = random.Random(4)
    lengths = [chance.randint(1, 64) for _ in range(400)]
    continuous = steps_needed(lengths, 16, is_continuous=True)
    assert continuous < 0.65 * steps_needed(lengths, 16, is_continuous=False)
    assert continuous < 1.1 * sum(lengths) / 16, "hardly a row of any step is empty"
