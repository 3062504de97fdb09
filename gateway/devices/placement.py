"""On which device an instance goes: a pure decision over what each has free and who is there already.

DESIGN: `pack` is best fit, the device on which the least stays free, so that big models find room later
and idle devices stay idle; `spread` is the one of whose memory the largest part stays free, so that
models do not share what they need not share. Either way whoever is to be apart from others is put apart
from them first, where that is possible: on another card, or at least on another slice.

"auto" is settled by what the devices are, not by how full they are this minute: a GPU, if one could hold
the instance with nothing else on it, else the CPU. A full GPU thus means waiting or putting others out;
the alternative, the CPU while GPUs are full, would answer many times slower without anybody's having
asked for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from gateway.core.device import Device
from gateway.core.placement import Kind, Place
from gateway.runtimes.gpus import fault_of

Policy = Literal["spread", "pack"]

_WORDS = re.compile(r"[\s-]+")


class Room(msgspec.Struct, frozen=True):
    """A device and what is on it.

    `free_bytes` are those that nobody has reserved; `usable_bytes` are free once nobody is there, -1 for
    all the memory of the device. `occupants` are the `instances` there, counted by the labels that
    `Want.apart_from` has for them.
    """

    device: Device
    free_bytes: int
    occupants: Mapping[str, int] = {}
    instances: int = 0
    usable_bytes: int = -1

    @property
    def most_bytes(self) -> int:
        """What an instance can have here at most, alone."""
        return self.device.memory_bytes if self.usable_bytes < 0 else self.usable_bytes


class Want(msgspec.Struct, frozen=True):
    """What an instance needs.

    `kind` "gpu" is on the GPU of that `number`, counted as the rooms are, whole ones and slices alike;
    the number means nothing to the others. `compute_share` is the least part of a GPU's processors.
    `classes` are those of which the device must be one (see `is_of_class`), () for any; `not_on` are
    ids of devices that it must not have. `apart_from` are labels of occupants to stay away from where
    that is possible; `prefers` is the device that it takes before all others, where there is room.
    """

    needs_bytes: int = 0
    kind: Kind = "auto"
    number: int = 0
    compute_share: float = 0.0
    classes: tuple[str, ...] = ()
    not_on: frozenset[str] = frozenset()
    apart_from: frozenset[str] = frozenset()
    prefers: str = ""


class Placement(msgspec.Struct, frozen=True):
    """The device it goes on."""

    device: Device


class NoRoom(msgspec.Struct, frozen=True):
    """No device can take it now; `free_bytes` are those of the one that has most of all that it may use.

    `may_ever_fit` is whether it would fit on one of them with nobody else there.
    """

    needed_bytes: int
    free_bytes: int
    may_ever_fit: bool
    text: str


def place(want: Want, rooms: Sequence[Room], policy: Policy) -> Placement | NoRoom:
    """Where `want` goes; `rooms` are all the gateway sees, in its order, those that are lost included."""
    permitted = candidates(want, rooms)
    fitting = [room for room in permitted if room.free_bytes >= want.needs_bytes]
    if not fitting:
        return _no_room(want, rooms, permitted)
    crowds = _crowds(want.apart_from, rooms)
    rank = _PREFERENCES[policy]
    best = min(
        fitting,
        key=lambda room: (room.device.id != want.prefers, crowds(room), rank(want.needs_bytes, room)),
    )
    return Placement(best.device)


def candidates(want: Want, rooms: Sequence[Room]) -> list[Room]:
    """Those rooms that `want` may be in, however full they are: the ones to make room in."""
    gpus = [room for room in rooms if room.device.kind != "cpu"]
    on_cpu = [room for room in rooms if room.device.kind == "cpu" and _may_be_on(want, room.device)]
    match want.kind:
        case "cpu":
            return on_cpu
        case "gpu":
            return [room for room in gpus[want.number :][:1] if _may_be_on(want, room.device)]
        case "auto":
            on_gpu = [room for room in gpus if _may_be_on(want, room.device)]
            large = [room for room in on_gpu if room.most_bytes >= want.needs_bytes]
            # Who asks for a part of a GPU must not find itself on the processors beside one.
            needs_gpu = bool(gpus) and want.compute_share > 0
            return large or (on_gpu if needs_gpu or not on_cpu else on_cpu)


def is_of_class(device: Device, told: str) -> bool:
    """Whether a device is of a class: its kind, its id, or a word of its name such as A100 or 1g.5gb."""
    return told in {device.kind, device.id} or told.lower() in _WORDS.split(device.name.lower())


def _may_be_on(want: Want, device: Device) -> bool:
    return _obstacle(want, device) == ""


def _obstacle(want: Want, device: Device) -> str:
    """Why it may not be on this device, whatever is free there; "" if it may."""
    if not device.is_healthy:
        return "is lost"
    if device.id in want.not_on:
        return "is ruled out"
    if want.classes and not any(is_of_class(device, told) for told in want.classes):
        return f"is not of class {' or '.join(want.classes)}"
    if device.kind != "cpu" and device.compute_share < want.compute_share:
        return (
            f"has {device.compute_share:.2f} of a GPU's processors, and {want.compute_share:.2f} are needed"
        )
    return ""


def _crowds(apart_from: frozenset[str], rooms: Iterable[Room]) -> Callable[[Room], tuple[int, int]]:
    """How many instances to stay away from are on a room's device, and how many on the card around it."""
    on_device: Counter[str] = Counter()
    on_card: Counter[str] = Counter()
    for room in rooms:
        there = sum(room.occupants.get(label, 0) for label in apart_from)
        on_device[room.device.id] += there
        on_card[_card(room.device)] += there
    return lambda room: (on_device[room.device.id], on_card[_card(room.device)])


def _card(device: Device) -> str:
    return device.parent or device.id


def _tightest(needs_bytes: int, room: Room) -> tuple[float, float]:
    # Of equally tight ones that with the fewest processors: the others are for those who need them.
    return room.free_bytes - needs_bytes, room.device.compute_share


def _emptiest(needs_bytes: int, room: Room) -> tuple[float, float]:
    # Of equally empty ones that with the fewest instances for its processors, which tells them apart
    # where nobody knows how large instances are.
    free_part = (room.free_bytes - needs_bytes) / max(1, room.most_bytes)
    return -free_part, room.instances / max(room.device.compute_share, 1e-6)


_PREFERENCES: Mapping[Policy, Callable[[int, Room], tuple[float, float]]] = {
    "pack": _tightest,
    "spread": _emptiest,
}


def _no_room(want: Want, rooms: Sequence[Room], permitted: Sequence[Room]) -> NoRoom:
    needs = want.needs_bytes
    if not permitted:
        return NoRoom(needs, 0, False, _why_nowhere(want, rooms))
    free = max(room.free_bytes for room in permitted)
    most = max(room.most_bytes for room in permitted)
    told = f"{needs} bytes are needed on {_named(permitted)}, and"
    if needs > most:
        return NoRoom(needs, free, False, f"{told} there are {most} at most")
    return NoRoom(needs, free, True, f"{told} {free} are free")


def _named(permitted: Sequence[Room]) -> str:
    if len(permitted) > 1:
        return f"one of {len(permitted)} devices"
    device = permitted[0].device
    return "the CPU" if device.kind == "cpu" else f"{device.kind.upper()} {device.id}"


def _why_nowhere(want: Want, rooms: Sequence[Room]) -> str:
    gpus = [room.device for room in rooms if room.device.kind != "cpu"]
    match want.kind:
        case "gpu":
            asked = gpus[want.number :][:1]
            if fault := fault_of(Place("gpu", want.number), len(gpus)):
                return fault
        case "cpu":
            asked = [room.device for room in rooms if room.device.kind == "cpu"]
        case "auto":
            asked = [room.device for room in rooms]
    obstacles = [f"{device.id} {_obstacle(want, device)}" for device in asked]
    return "; ".join(obstacles) if obstacles else "there is no such device"
