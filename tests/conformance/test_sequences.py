"""A series of requests of one sequence, the same answers whatever door it came by: with one front each."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

import grpc
import numpy as np
import pytest

from tests.conformance.cases import DOORS, GRPC, GRPCIO, NATIVE, REST_BINARY, REST_JSON, Case, int32
from tests.conformance.doors import Door, Grpc, RestBinary, RestJson
from tests.conformance.test_conformance import CONTRACT
from tests.fakes.gateway_process import gateway
from tests.fakes.sequences import DIRECT, add_accumulator, add_own_sums, add_triton_sums, oldest


class Asked(NamedTuple):
    """One request: the value, the flags, and the sum that comes of it or the words of a refusal."""

    value: int
    expected: int | str
    start: bool = False
    end: bool = False
    rows: int = 1


_STATELESS = "must specify the START flag"
SERIES = (
    Asked(1, _STATELESS),
    Asked(5, 5, start=True),
    Asked(7, 12),
    Asked(1, "must specify batch-size 1", rows=2),
    Asked(0, 12),
    Asked(2, 2, start=True),
    Asked(3, 5, end=True),
    Asked(1, _STATELESS),
    Asked(9, 9, start=True, end=True),
    Asked(1, _STATELESS, end=True),
)
# The datatypes of ids that each model takes.
MODELS = (("direct", 77), ("direct", "a text"), ("oldest", 2**40), ("own", 3), ("triton", "an id"))


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mapping[str, Door]]:
    root = tmp_path_factory.mktemp("models")
    add_accumulator(root, "direct", DIRECT)
    add_accumulator(root, "oldest", oldest(3))
    add_own_sums(root, "own", DIRECT)
    add_triton_sums(root, "triton")
    with ExitStack() as stack:
        running = {
            engine: stack.enter_context(
                gateway(root, environment={"GATEWAY_FRONTENDS__GRPC__ENGINE": engine})
            )
            for engine in ("native", "grpcio")
        }
        channels = {
            engine: stack.enter_context(grpc.insecure_channel(one.grpc)) for engine, one in running.items()
        }
        yield {
            REST_JSON: RestJson(REST_JSON, running["native"].http),
            REST_BINARY: RestBinary(REST_BINARY, running["native"].http),
            NATIVE: Grpc(NATIVE, channels["native"]),
            GRPCIO: Grpc(GRPCIO, channels["grpcio"]),
        }
        for one in running.values():
            assert one.stop() == 0, one.log.read_text()


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize(("model", "identity"), MODELS)
def test_every_door_leads_through_the_same_sequence(
    doors: Mapping[str, Door], name: str, model: str, identity: int | str
) -> None:
    for asked in SERIES:
        parameters = {
            "sequence_id": identity,
            "sequence_start": asked.start,
            "sequence_end": asked.end,
        }
        given = int32("INPUT", np.full((asked.rows, 1), asked.value))
        outcome = doors[name].ask(Case("step", model, (given,), parameters=parameters))
        if isinstance(asked.expected, str):
            assert outcome.status == CONTRACT["INVALID_INPUT"][name in GRPC], (asked, outcome)
            assert asked.expected in outcome.text
        else:
            assert outcome.status == ("OK" if name in GRPC else "200"), (asked, outcome)
            assert np.frombuffer(outcome.outputs["OUTPUT"].raw, "<i4").tolist() == [asked.expected], asked


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize(
    ("model", "identity", "words"),
    [
        ("direct", 0, "must specify a non-zero or non-empty correlation ID"),
        ("direct", "", "must specify a non-zero or non-empty correlation ID"),
        ("own", "a text", "model 'own' takes a number"),
    ],
)
def test_an_id_that_cannot_be_one(
    doors: Mapping[str, Door], name: str, model: str, identity: int | str, words: str
) -> None:
    parameters = {"sequence_id": identity, "sequence_start": True}
    given = int32("INPUT", np.ones((1, 1)))
    outcome = doors[name].ask(Case("step", model, (given,), parameters=parameters))
    assert outcome.status == CONTRACT["INVALID_INPUT"][name in GRPC], outcome
    assert words in outcome.text
