"""Which of the cards CUDA_VISIBLE_DEVICES leaves to the gateway, and in which order: a pure rule.

As CUDA reads it: numbers, and UUIDs or as much of one as tells it from all others, up to the first entry
that names nothing; "" and "-1" name nothing, and a device named twice means none at all. Beyond CUDA, of
which a process sees one slice at most: a card in MIG mode that is named, or seen because nothing is said,
stands for all its slices, and several may be named, for each worker is given one of them.

Numbers are the driver's, in the order of the bus. CUDA_DEVICE_ORDER is not looked at: what workers are
told are UUIDs, so that the order in which CUDA would count cards of different kinds means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.devices.nvml import Card, Reading


def visible(cards: Sequence[Card], told: str | None) -> list[Reading]:
    """What is left of `cards` by the variable's value `told`, None where it is not set."""
    if told is None:
        return [reading for card in cards for reading in devices_of(card)]
    seen: list[Reading] = []
    for entry in told.split(","):
        named = _named(cards, entry.strip())
        if named is None:
            break
        seen += named
    ids = [reading.device.id for reading in seen]
    return seen if len(set(ids)) == len(ids) else []


def devices_of(card: Card) -> Sequence[Reading]:
    """What instances can run on: the card as a whole, or its slices."""
    if card.is_mig:
        return card.slices
    return () if card.whole is None else (card.whole,)


def _named(cards: Sequence[Card], entry: str) -> Sequence[Reading] | None:
    """What an entry names; None where it names nothing, or more than one."""
    if entry.isascii() and entry.isdigit():
        card = cards[int(entry)] if int(entry) < len(cards) else None
        return None if card is None or card.whole is None else devices_of(card)
    if entry.startswith("GPU-"):
        found = [card for card in cards if card.whole and card.whole.device.id.startswith(entry)]
        return devices_of(found[0]) if len(found) == 1 else None
    if entry.startswith("MIG-"):
        slices = [one for card in cards for one in card.slices if one.device.id.startswith(entry)]
        return slices if len(slices) == 1 else None
    return None
