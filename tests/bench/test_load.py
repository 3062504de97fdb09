from __future__ import annotations

import pytest

from tests.bench import load
from tests.bench.environments import Missing
from tests.bench.load import Shape, require
from tests.bench.outputs import Load


def test_a_missing_generator_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Missing, match=r"wrk is not installed: apt-get install wrk"):
        require("wrk")
    with pytest.raises(Missing, match="nghttp2-client"):
        load.grpc(1, load.GrpcCall(b"", 40), Shape())


@pytest.mark.parametrize(
    ("requests", "data", "failures", "expected"),
    [(10, 400, 0, 0), (10, 360, 0, 1), (10, 0, 0, 10), (10, 0, 3, 10), (10, 410, 2, 2)],
)
def test_answers_without_data_are_failures(requests: int, data: int, failures: int, expected: int) -> None:
    taken = Load(requests, failures, 1.0, data)
    assert load.count_wrong(taken, load.GrpcCall(b"", 40)).failures == expected
