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
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from gateway.core.device import Device
from gateway.core.placement import Kind
from gateway.runtimes.gpus import fault_of
from gateway.core.placement import Place

Policy = Literal["spread", "pack"]

_WORDS = re.compile(r"[\s-]+")


class Room(msgspec.Struct, frozen=True):
    """A device and what is on it.

    `free_bytes` are those that nobody has reserved; `usable_bytes` are free once nobody is there, -1 for
    all the memory of the device. `occupants` has one label for each instance, as `Want.apart_from` names
    them.
    """

    device: Device
    free_bytes: int
    occupants: tuple[str, ...] = ()
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
    that is possible.
    """

    needs_bytes: int = 0
    kind: Kind = "auto"
    number: int = 0
    compute_share: float = 0.0
    classes: tuple[str, ...] = ()
    not_on: frozenset[str] = frozenset()
    apart_from: frozenset[str] = frozenset()


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
    raise NotImplementedError


def candidates(want: Want, rooms: Sequence[Room]) -> list[Room]:
    """Those rooms that `want` may be in, however full they are; the ones to make room in."""
    raise NotImplementedError


def is_of_class(device: Device, told: str) -> bool:
    """Whether a device is of a class: its kind, its id, or a word of its name such as A100 or 1g.5gb."""
    return told in {device.kind, device.id} or told.lower() in _WORDS.split(device.name.lower())
