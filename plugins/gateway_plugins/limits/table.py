"""The buckets of many keys, in bounded memory.

DESIGN: keys come from callers (a principal, the name of a model that need not exist), so the table must not
grow with them, and forgetting a bucket must not fill it: whoever makes up a million keys would else get
its burst back by pushing itself out. So only full buckets are forgotten, which are as good as new ones.
Where none is, a key without a bucket takes from one bucket that all such keys share, and a bucket of its
own begins at the level of that: no order of events gives a key more than its rate and one burst. Those who
pay are keys that come for the first time while more than `capacity` others are busy. Evicting the least
recently used regardless is the usual way, and gives a burst to whoever asks for it. Keys are looked at in
the order they came, eight a new key, and go to the end where their bucket is not full: a stamp at each
use (an LRU proper) costs every request 20 ns and says little more of which buckets are full.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from gateway_plugins.limits.bucket import FULL, Bucket

_LOOKS = 8


class Table:
    """Buckets of one kind by key. Invariant: len(table) <= capacity."""

    __slots__ = ("_bucket", "_capacity", "_full_at", "_shared")

    def __init__(self, bucket: Bucket, capacity: int) -> None:
        self._bucket = bucket
        self._capacity = capacity
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()
        self._shared = FULL

    def __len__(self) -> int:
        return len(self._full_at)

    def wait_s(self, key: Hashable, now: float) -> float:
        """How long until `key` has a token; takes none."""
        return self._bucket.wait_s(self._full_at.get(key, self._shared), now)

    def take(self, key: Hashable, now: float) -> None:
        """Takes a token; must be called only where `wait_s` is 0."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            self._full_at[key] = self._bucket.taken(full_at, now)
        elif len(self._full_at) < self._capacity or self._has_evicted(now):
            self._full_at[key] = self._bucket.taken(self._shared, now)
        else:
            self._shared = self._bucket.taken(self._shared, now)

    def _has_evicted(self, now: float) -> bool:
        """Forgets what is full of the next few; False where none is."""
        before = len(self._full_at)
        for _ in range(min(_LOOKS, before)):
            key, full_at = self._full_at.popitem(last=False)
            if full_at > now:
                self._full_at[key] = full_at
        return len(self._full_at) < before
