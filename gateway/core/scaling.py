"""How many instances of a model there are to be, and for how long without a request; values alone."""

from __future__ import annotations

import msgspec


class ScalePolicy(msgspec.Struct, frozen=True):
    """Bounds and target of a model's instances.

    `min_instances` 0 lets it go to zero; `max_instances` 0 is as many as its instance groups say.
    `keep_alive_s` is how long an unused one stays, None for the gateway's own default, negative for
    ever. `target_concurrency` are the requests an instance is to have at a time, 0 for the default.
    A `pinned` one is never put out for another's sake.
    """

    min_instances: int = 0
    max_instances: int = 0
    keep_alive_s: float | None = None
    target_concurrency: float = 0.0
    pinned: bool = False
