"""What an instance asks for: a device, memory, and a worker of its own or a share of one. Pure."""

from __future__ import annotations

from pathlib import Path

from gateway.core.environment import base_of
from gateway.lifecycle.means import Ask, Predicting
from gateway.lifecycle.offers import Offer, is_pinned, place_at
from gateway.workers.settings import WorkerSettings


def asked(
    offer: Offer,
    index: int,
    is_urgent: bool,
    predictions: Predicting,
    shared: bool | None,
    prefers: str = "",
) -> Ask:
    """What the instance of that number asks for; `shared` is what `is_shared` says."""
    needs_bytes = predictions.of(offer, bool(shared))
    # In a heap that others have left room in, a model may seem to take nothing; its weights it has.
    least_bytes = 0 if shared is False else offer.size_bytes
    place, pinned, weight = place_at(offer, index), is_pinned(offer), offer.scale.weight
    base = base_of(offer.options, str(Path(offer.path).parent))
    terms = (needs_bytes, pinned, shared, least_bytes, weight, base, prefers)
    return Ask(offer.key, place, is_urgent, *terms)


def is_shared(offer: Offer, settings: WorkerSettings, deaths: int) -> bool | None:
    """Whether it is to be in a shared worker; None: on a whole GPU only.

    Not one whose worker died, for a while: it may have been its doing, and the others are not to pay again.
    """
    isolation = offer.spec.isolation
    is_able = offer.spec.backend in settings.shareable and isolation != "process"
    if not is_able or settings.share == "none" or deaths:
        return False
    return True if settings.share == "all" or isolation == "shared" else None
