"""A guess by the size of the files and by others of the engine, and what was measured once."""

from __future__ import annotations

import msgspec

from gateway.lifecycle.predictions import (
    MAX_MEASURED,
    OVERHEAD_BYTES,
    SHARED_OVERHEAD_BYTES,
    Predictions,
)
from tests.fakes.worlds import offer

SIZED = msgspec.structs.replace(offer(), size_bytes=1000)


def test_a_guess_until_it_was_measured() -> None:
    predictions = Predictions()
    assert predictions.of(SIZED, is_shared=False) == 1000 + OVERHEAD_BYTES
    predictions.learn(SIZED, is_shared=False, measured_bytes=None)
    assert predictions.of(SIZED, is_shared=False) == 1000 + OVERHEAD_BYTES
    predictions.learn(SIZED, is_shared=False, measured_bytes=77)
    assert predictions.of(SIZED, is_shared=False) == 77
    assert predictions.of(SIZED, is_shared=True) == 1000 + SHARED_OVERHEAD_BYTES


def test_others_of_the_engine_teach_what_comes_beside_the_files() -> None:
    predictions = Predictions()
    for number in range(200):
        one = msgspec.structs.replace(SIZED, fingerprint=str(number))
        predictions.learn(one, is_shared=True, measured_bytes=41_000)
    another = msgspec.structs.replace(SIZED, fingerprint="another", size_bytes=5_000)
    assert 45_000 <= predictions.of(another, is_shared=True) < 46_000
    assert predictions.of(another, is_shared=False) == 5_000 + OVERHEAD_BYTES
    elsewhere = msgspec.structs.replace(another, runtime="other:Engine")
    assert predictions.of(elsewhere, is_shared=True) == 5_000 + SHARED_OVERHEAD_BYTES


def test_what_is_remembered_is_bounded() -> None:
    predictions = Predictions()
    for number in range(MAX_MEASURED + 1):
        predictions.learn(offer(fingerprint=str(number)), is_shared=False, measured_bytes=5 + number)
    assert predictions.of(offer(fingerprint="0"), is_shared=False) != 5
    assert predictions.of(offer(fingerprint="1"), is_shared=False) == 6
