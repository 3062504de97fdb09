"""A guess by the size of the files, and what was measured once."""

from __future__ import annotations

import msgspec

from gateway.lifecycle.predictions import MAX_MEASURED, OVERHEAD_BYTES, Predictions
from tests.fakes.worlds import offer


def test_a_guess_until_it_was_measured() -> None:
    predictions = Predictions()
    sized = msgspec.structs.replace(offer(), size_bytes=1000)
    assert predictions.of(sized) == 1000 + OVERHEAD_BYTES
    predictions.learn(sized, 0)
    assert predictions.of(sized) == 1000 + OVERHEAD_BYTES
    predictions.learn(sized, 77)
    assert predictions.of(sized) == 77
    assert predictions.of(msgspec.structs.replace(sized, fingerprint="another")) == 1000 + OVERHEAD_BYTES


def test_what_is_remembered_is_bounded() -> None:
    predictions = Predictions()
    for number in range(MAX_MEASURED + 1):
        predictions.learn(offer(fingerprint=str(number)), 5)
    assert predictions.of(offer(fingerprint="0")) == OVERHEAD_BYTES
    assert predictions.of(offer(fingerprint="1")) == 5
