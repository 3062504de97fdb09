from __future__ import annotations

import msgspec
import pytest

from gateway.control.messages import ModelView, VersionView
from gateway.control.snapshots import STEP_BYTES, Delta, steps
from gateway.control.views import shared, unshared
from gateway.core.model import ModelSpec
from tests.fakes.specs import doubling_spec

WORDS = {"y": tuple(f"class {number}" for number in range(2000))}


def spec(number: int, labels: dict[str, tuple[str, ...]] = WORDS) -> ModelSpec:
    return msgspec.structs.replace(doubling_spec(version=number), class_labels=labels)


def version(number: int, made: ModelSpec | None, config: bytes = b"words") -> VersionView:
    return VersionView(number, "ready", made, config=config)


VIEWS = {
    "nothing to serve": (),
    "nothing in common": (version(1, spec(1, {}), b""), version(2, None, b"")),
    "all the same": (version(1, spec(1)), version(2, spec(2))),
    "not all are known": (version(1, None), version(2, spec(2)), version(3, spec(3))),
    "the highest is not known": (version(1, spec(1)), version(2, None)),
    "an older configuration": (version(1, spec(1), b"old"), version(2, spec(2))),
    "older labels": (version(1, spec(1, {"y": ("a",)})), version(2, spec(2))),
    "labels that are gone": (version(1, spec(1)), version(2, spec(2, {}))),
    "labels and no configuration": (version(1, spec(1), b""), version(2, spec(2), b"")),
}


@pytest.mark.parametrize("case", VIEWS)
def test_what_is_shared_comes_back(case: str) -> None:
    view = ModelView("m", VIEWS[case], "", {"stable": 1})
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(shared(view)), type=ModelView)
    assert unshared(sent) == view


def test_a_hundred_versions_fit_into_a_packet() -> None:
    view = ModelView("m", tuple(version(n, spec(n), b"c" * 1000) for n in range(1, 101)))
    encode = msgspec.msgpack.encode
    assert len(encode(view)) > STEP_BYTES
    (step,) = steps(1, Delta((shared(view),), ()))
    assert step.changed[0].broken == ""
    assert unshared(step.changed[0]) == view
