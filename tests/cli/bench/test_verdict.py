from __future__ import annotations

import pytest

from gateway.cli.bench.verdict import Block, verdict


@pytest.mark.parametrize(
    ("block", "received", "http", "said"),
    [
        (Block("", "0", ""), 5, None, ("", "")),
        (Block("", "0", ""), 0, None, ("grpc no message", "")),
        (Block("", "", ""), 5, None, ("grpc no status", "")),
        (Block("404", "", ""), 0, None, ("http 404", "")),
        (Block("", "", ""), 9, "502", ("http 502", "")),
        (Block("200", "5", "not%20here"), 0, None, ("grpc 5 NOT_FOUND", "not here")),
        (Block("", "14", ""), 0, None, ("grpc 14 UNAVAILABLE", "")),
        (Block("", "99", ""), 0, None, ("grpc 99 UNKNOWN", "")),
        (Block("", "²", ""), 0, None, ("grpc ² UNKNOWN", "")),
    ],
)
def test_the_kind_of_an_end(block: Block, received: int, http: str | None, said: tuple[str, str]) -> None:
    assert verdict(block, received, http) == said
