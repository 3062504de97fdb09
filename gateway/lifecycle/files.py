"""The files of one version: in a local folder at once, or fetched from a store and kept while needed."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.clock import Clock
from gateway.lifecycle.means import Fetching
from gateway.lifecycle.offers import Offer

# Called with a reason, "" for none, when it is known whether the files are there.
Fetched = Callable[[str], None]


class Files:
    """Invariant: what was fetched is released once; `fetch_s` is how long that took, 0 for local files."""

    def __init__(self, fetching: Fetching, clock: Clock) -> None:
        self._fetching = fetching
        self._clock = clock
        self._cancel: Callable[[], None] | None = None
        self._fetched: tuple[str, str] | None = None  # the fingerprint of an offer, and its folder
        self.path = ""
        self.fetch_s = 0.0

    @property
    def is_under_way(self) -> bool:
        """True while they are fetched."""
        return self._cancel is not None

    @property
    def phases_s(self) -> dict[str, float]:
        """The part that fetching has in a load, if any."""
        return {"fetch": self.fetch_s} if self.fetch_s else {}

    def get(self, offer: Offer, then: Fetched) -> None:
        """Has `path` be where the files of `offer` are; calls back, perhaps at once."""
        assert self._cancel is None, "one fetch at a time"
        self.fetch_s = 0.0
        if self._fetched is not None and self._fetched[0] == offer.fingerprint:
            self.path = self._fetched[1]
            then("")
        elif not self._fetching.takes_time(offer):
            self.release()
            self.path = offer.path
            then("")
        else:
            self.release()
            self._fetch(offer, then)

    def _fetch(self, offer: Offer, then: Fetched) -> None:
        began_at = self._clock()

        def done(path: str, reason: str) -> None:
            self._cancel = None
            self.fetch_s = self._clock() - began_at
            if not reason:
                self.path, self._fetched = path, (offer.fingerprint, path)
            then(reason)

        self._cancel = self._fetching.fetch(offer, done)

    def cancel(self) -> None:
        """Stops a fetch that is under way; nobody is called back."""
        if self._cancel is not None:
            cancel, self._cancel = self._cancel, None
            cancel()

    def release(self) -> None:
        """Nobody reads them any more."""
        if self._fetched is not None:
            (_, path), self._fetched = self._fetched, None
            self._fetching.release(path)


class LocalOnly:
    """Implements Fetching where there is no store."""

    def takes_time(self, offer: Offer) -> bool:
        """See means.Fetching."""
        return bool(offer.source)

    def fetch(self, offer: Offer, on_done: Callable[[str, str], None]) -> Callable[[], None]:
        """Must not be called."""
        raise AssertionError(f"{offer.key} is in no folder, and there is no store")

    def release(self, path: str) -> None:
        """Must not be called."""
        raise AssertionError(f"{path} was never fetched")
