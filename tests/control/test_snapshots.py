"""Worlds cut into steps and put together again."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.control.messages import ModelView, Snapshot, VersionView
from gateway.control.snapshots import TOO_LARGE, Delta, aged, apply, delta, steps

VERSIONS = st.builds(
    VersionView,
    version=st.integers(1, 9),
    state=st.sampled_from(["absent", "loading", "ready", "failed"]),
    reason=st.text(max_size=30),
)
VIEWS = st.tuples(st.lists(VERSIONS, max_size=4).map(tuple), st.sampled_from(["", "broken"]))
WORLDS = st.dictionaries(st.sampled_from([f"model-{n}" for n in range(12)]), VIEWS).map(
    lambda world: {name: ModelView(name, *view) for name, view in world.items()}
)


@settings(max_examples=150)
@given(WORLDS, WORLDS, st.integers(300, 2000), st.integers(1, 1 << 40))
def test_the_steps_of_a_delta_lead_from_the_old_world_to_the_new(
    old: dict[str, ModelView], new: dict[str, ModelView], limit: int, number: int
) -> None:
    made = steps(number, delta(old, new), limit=limit)
    assert [step.number for step in made] == list(range(number, number + len(made)))
    assert [step.complete for step in made] == [False] * (len(made) - 1) + [True]
    world = old
    for step in made:
        assert len(msgspec.msgpack.encode(step)) <= limit + 200
        world = apply(world, step)
    fits = {name: view for name, view in new.items() if len(msgspec.msgpack.encode(view)) <= limit}
    assert {name: world[name] for name in fits} == fits
    assert world.keys() == new.keys()


def test_nothing_changed_is_still_a_step() -> None:
    assert steps(4, Delta((), ())) == (Snapshot(4, (), (), True),)
    assert not steps(4, Delta((), ()), complete=False)[0].complete


def test_a_large_catalogue_is_several_packets() -> None:
    views = tuple(ModelView(f"m{n:05}", (VersionView(1, "absent", reason="r" * 300),)) for n in range(2000))
    made = steps(1, Delta(views, ()))
    assert len(made) > 4
    assert all(len(msgspec.msgpack.encode(step)) <= 128 << 10 for step in made)
    assert sum(len(step.changed) for step in made) == 2000


def test_a_view_no_packet_holds_is_shown_as_broken() -> None:
    huge = ModelView("m", tuple(VersionView(n, "absent", reason="r" * 100) for n in range(1, 2000)))
    assert steps(1, Delta((huge,), ()))[0].changed == (ModelView("m", (), TOO_LARGE),)


def test_a_time_to_wait_grows_less() -> None:
    view = ModelView("m", (VersionView(1, "failed", None, "why", 5.0), VersionView(2, "ready")))
    assert [one.retry_in_s for one in aged(view, 2.0).versions] == [3.0, 0.0]
    assert [one.retry_in_s for one in aged(view, 9.0).versions] == [0.0, 0.0]
    ready = ModelView("m", (VersionView(2, "ready"),))
    assert aged(ready, 2.0) is ready
