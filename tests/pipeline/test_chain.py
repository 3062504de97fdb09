from __future__ import annotations

import pytest

from gateway.core.errors import GatewayError, Unsupported
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.model import ModelKey
from gateway.pipeline.chain import MAX_DEPTH, chain_of, refuse_circle
from gateway.scheduling.pending import Pending

A, B, C = ModelKey("a", 1), ModelKey("b", 1), ModelKey("c", 1)


def nothing(result: InferResponse | GatewayError) -> None:
    """Nobody waits."""


def pending(*chain: ModelKey, model: str = "m", version: int = 2) -> Pending:
    made = Pending(InferRequest(model, 0, (), chain=chain), nothing, lambda *_: None, 0.0, 1.0)
    made.version = version
    return made


def test_the_version_that_runs_is_the_last_of_the_chain() -> None:
    assert chain_of([pending()]) == (ModelKey("m", 2),)
    assert chain_of([pending(A, B)]) == (A, B, ModelKey("m", 2))


def test_a_batch_waits_for_all_its_members() -> None:
    assert chain_of([pending(A, B), pending(), pending(B, C)]) == (A, B, C, ModelKey("m", 2))


def test_chains_end() -> None:
    keys = [ModelKey("m", version) for version in range(MAX_DEPTH)]
    assert len(chain_of([pending(*keys[1:], version=99)])) == MAX_DEPTH
    with pytest.raises(Unsupported, match=f"{MAX_DEPTH} deep, and no deeper"):
        chain_of([pending(), pending(*keys)])


def test_a_circle_is_named_and_another_version_is_none() -> None:
    refuse_circle(ModelKey("a", 2), (A, B))
    with pytest.raises(Unsupported, match="from within its own execution: a/1 calls b/1 calls a/1"):
        refuse_circle(A, (A, B))
