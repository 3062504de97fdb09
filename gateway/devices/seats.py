"""Which seat an instance gets on the device it was placed on, and what its place is as seen from there.

DESIGN: a worker sees one device, and nothing can change that once it lives: CUDA reads its variable when
it is first used. So what is on a GPU has the UUID for its seat, and there its number is 0, whatever it is
outside. What is on the CPU beside GPUs has the seat "cpu", which hides them all: an engine that takes a
GPU where it finds one must not take what was placed elsewhere, nor half a gigabyte for a context. Where
no GPU is known there is nothing to hide, and the seat is "", the one that every worker has.
"""

from __future__ import annotations

from gateway.core.device import CPU, Device, Seat
from gateway.core.placement import Place


def seat_of(device: Device, *, has_gpus: bool, environment: str = "", is_shared: bool | None = None) -> Seat:
    """The seat of an instance on `device`; `has_gpus` is whether the gateway knows of any.

    `is_shared` None leaves it to the device: instances on a whole GPU share a worker, for each one's
    context would take memory and processors of all; a slice is as good as a card of its own, and the CPU
    has no context.
    """
    shared = device.kind == "gpu" if is_shared is None else is_shared
    if device.kind == "cpu":
        return Seat(CPU if has_gpus else "", environment, shared)
    return Seat(device.id, environment, shared)


def place_within(place: Place, seat: Seat) -> Place:
    """What the worker must be told of the place: the one device it sees has the number 0."""
    return Place(place.kind, 0) if seat.device else place
