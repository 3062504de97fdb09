"""Weights that stick: a unit (a caller, a session) always lands in one of 10,000 buckets.

DESIGN: the hash of the unit under a salt is the bucket, so that replicas agree without a word, and two
rules with other salts split the same units independently. The last arm of a rule sits at the bottom of the
range and the first takes what is left at the top: raising the last one's weight moves units to it and none
away from it, so that whoever was among the 5 % is among the 25 %. Never Python's own hash: its seed is the
process's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate

BUCKETS = 10_000


# As many callers are dealt with without hashing them again; a fifth of what a rule costs is the hash.
@lru_cache(16_384)
def bucket_of(salt: str, unit: str) -> int:
    """The bucket of `unit`, 0 to 9,999; salts and units are any texts."""
    digest = blake2b(f"{salt}\0{unit}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") * BUCKETS) >> 64


def bounds_of(weights: Sequence[float]) -> tuple[int, ...]:
    """Where the arms end, from the last one to the second; all above belongs to the first.

    Weights are shares of their sum, which must be more than 0; a weight of 0 gets no bucket.
    """
    total = sum(weights)
    ends = accumulate(weight / total * BUCKETS for weight in reversed(weights[1:]))
    return tuple([round(end) for end in ends])


def arm_of(bounds: Sequence[int], bucket: int) -> int:
    """The index, in the order of the rule, of the arm that has the bucket."""
    return len(bounds) - bisect_right(bounds, bucket)
