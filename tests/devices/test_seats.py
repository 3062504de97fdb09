"""Which worker an instance needs, and what that worker sees."""

from __future__ import annotations

import pytest

from gateway.core.device import CPU, Device, Seat
from gateway.core.placement import Place
from gateway.devices.seats import place_within, seat_of
from gateway.runtimes import gpus

HOST = Device()
GPU = Device("GPU-1", "gpu")
SLICE = Device("MIG-1", "mig", parent="GPU-1")


@pytest.mark.parametrize(
    ("device", "has_gpus", "is_shared", "seat", "told"),
    [
        (HOST, False, None, Seat(), None),
        (HOST, True, None, Seat(CPU), ""),
        (GPU, True, None, Seat("GPU-1", is_shared=True), "GPU-1"),
        (SLICE, True, None, Seat("MIG-1"), "MIG-1"),
        (HOST, True, True, Seat(CPU, is_shared=True), ""),
        (HOST, False, True, Seat(is_shared=True), None),
        (GPU, True, False, Seat("GPU-1"), "GPU-1"),
        (SLICE, True, True, Seat("MIG-1", is_shared=True), "MIG-1"),
    ],
)
def test_a_seat_sees_its_device_and_no_other(
    device: Device, has_gpus: bool, is_shared: bool | None, seat: Seat, told: str | None
) -> None:
    assert seat_of(device, has_gpus=has_gpus, is_shared=is_shared) == seat
    assert gpus.told_to(seat.device) == told


@pytest.mark.parametrize(("device", "seen"), [(HOST, 0), (GPU, 1), (SLICE, 1)])
def test_a_worker_finds_as_many_gpus_as_its_seat_has(device: Device, seen: int) -> None:
    assert gpus.visible(8, gpus.told_to(seat_of(device, has_gpus=True).device)) == seen


def test_an_environment_is_part_of_the_seat() -> None:
    assert seat_of(GPU, has_gpus=True, environment="/e").environment == "/e"
    assert seat_of(HOST, has_gpus=False, environment="/e") == Seat("", "/e")


@pytest.mark.parametrize(
    ("place", "seat", "within"),
    [
        (Place("gpu", 3), Seat("GPU-1"), Place("gpu", 0)),
        (Place("auto", 3), Seat("GPU-1"), Place("auto", 0)),
        (Place("cpu", 3), Seat(CPU), Place("cpu", 0)),
        (Place("gpu", 3), Seat(), Place("gpu", 3)),
    ],
)
def test_the_only_device_seen_has_number_0(place: Place, seat: Seat, within: Place) -> None:
    assert place_within(place, seat) == within
