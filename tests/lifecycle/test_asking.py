"""What an instance asks for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.core.placement import Place
from gateway.lifecycle.asking import asked, is_shared
from gateway.lifecycle.means import Ask
from gateway.lifecycle.predictions import OVERHEAD_BYTES, SHARED_OVERHEAD_BYTES, Predictions
from gateway.workers.settings import WorkerSettings
from tests.fakes.worlds import offer


@pytest.mark.parametrize(
    ("backend", "isolation", "share", "deaths", "expected"),
    [
        ("onnxruntime", "auto", "gpus", 0, None),
        ("onnxruntime", "auto", "all", 0, True),
        ("onnxruntime", "auto", "none", 0, False),
        ("onnxruntime", "shared", "gpus", 0, True),
        ("onnxruntime", "shared", "none", 0, False),
        ("onnxruntime", "process", "all", 0, False),
        ("onnxruntime", "shared", "all", 1, False),
        ("tensorrt", "auto", "all", 0, True),
        ("python", "shared", "all", 0, False),
        ("pytorch", "auto", "all", 0, False),
    ],
)
def test_who_shares_a_worker(
    backend: str, isolation: Any, share: Any, deaths: int, expected: bool | None
) -> None:
    spec = msgspec.structs.replace(offer().spec, backend=backend, isolation=isolation)
    one = msgspec.structs.replace(offer(), spec=spec)
    assert is_shared(one, WorkerSettings(share=share), deaths) is expected


def test_memory_where_it_is_known_and_where_it_is_guessed() -> None:
    predictions = Predictions()
    one = msgspec.structs.replace(offer(), size_bytes=1000)
    own = asked(one, 0, is_urgent=True, predictions=predictions, shared=False)
    assert own == Ask(one.key, Place(), True, 1000 + OVERHEAD_BYTES, is_shared=False)
    shared = asked(one, 0, is_urgent=False, predictions=predictions, shared=True)
    assert (shared.needs_bytes, shared.least_bytes) == (1000 + SHARED_OVERHEAD_BYTES, 1000)
    predictions.learn(one, is_shared=False, measured_bytes=7)
    assert asked(one, 0, is_urgent=True, predictions=predictions, shared=None).needs_bytes == 7
