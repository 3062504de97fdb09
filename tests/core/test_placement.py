from __future__ import annotations

import pytest

from gateway.core.placement import (
    Accelerator,
    Accelerators,
    InstanceGroup,
    Place,
    accelerators_of,
    place_of,
    places,
)

AUTO, CPU, GPU = InstanceGroup(), InstanceGroup("cpu"), InstanceGroup("gpu")


@pytest.mark.parametrize(
    ("groups", "gpus", "expected"),
    [
        ((), 2, ()),
        ((AUTO,), 0, (Place(),)),
        ((AUTO,), 2, (Place(),)),
        ((InstanceGroup(count=3),), 2, (Place(), Place("auto", 1), Place())),
        ((InstanceGroup("cpu", 2),), 2, (Place("cpu"), Place("cpu"))),
        ((GPU,), 2, (Place("gpu", 0), Place("gpu", 1))),
        ((GPU,), 0, (Place("gpu", 0),)),
        ((InstanceGroup("gpu", 2, (1,)),), 0, (Place("gpu", 1), Place("gpu", 1))),
        ((InstanceGroup("gpu", 1, (3, 0)), CPU), 4, (Place("gpu", 3), Place("gpu", 0), Place("cpu"))),
    ],
)
def test_each_instance_has_a_place(
    groups: tuple[InstanceGroup, ...], gpus: int, expected: tuple[Place, ...]
) -> None:
    assert places(groups, gpus) == expected


@pytest.mark.parametrize("place", [Place(), Place("cpu"), Place("gpu", 3), Place("auto", 1)])
def test_a_place_travels(place: Place) -> None:
    assert place_of(place.options()) == place


def test_what_nobody_asked_for_does_not_travel() -> None:
    assert Place().options() == Accelerators().options() == {}


def test_accelerators_travel() -> None:
    told = Accelerators((Accelerator("tensorrt", {"precision_mode": "FP16"}),), (Accelerator("openvino"),))
    assert accelerators_of(told.options()) == told
    assert accelerators_of({}) == Accelerators()
