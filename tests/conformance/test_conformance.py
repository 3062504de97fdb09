"""The same case, the same answer, the same reason for failure, whatever door it came by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from gateway.core.dtypes import BY_NAME
from tests.conformance.cases import CASES, DATATYPES, DOORS, GRPC, REST_BINARY, Case
from tests.conformance.content_types import CONTENT_TYPES
from tests.conformance.doors import Door, Outcome, Told
from tests.conformance.models import BEHIND
from tests.conformance.optional_inputs import OPTIONAL
from tests.conformance.streams import UNARY

# Reason to what each protocol makes of it; written down here, not taken from the tables under test.
CONTRACT = {
    "INVALID_INPUT": ("400", "INVALID_ARGUMENT"),
    "NOT_FOUND": ("404", "NOT_FOUND"),
    "TOO_LARGE": ("413", "RESOURCE_EXHAUSTED"),
    "UNSUPPORTED": ("501", "UNIMPLEMENTED"),
    "MODEL_UNAVAILABLE": ("503", "FAILED_PRECONDITION"),
    "MODEL_FAILED": ("500", "INTERNAL"),
    "DEADLINE_EXCEEDED": ("504", "DEADLINE_EXCEEDED"),
    "QUEUE_TIMEOUT": ("503", "UNAVAILABLE"),
}

# Those that are about a model, and not about what a gateway has or lets in.
THROUGH = [case for case in CASES if case.model in BEHIND and not case.garbage and case.version in {"", "1"}]


ALL = (*CASES, *OPTIONAL, *UNARY, *CONTENT_TYPES)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_every_door_leads_to_the_same(doors: Mapping[str, Door], case: Case) -> None:
    outcomes = {name: doors[name].ask(case) for name in DOORS if name in case.doors}
    for name, outcome in outcomes.items():
        if case.failure is None:
            check_answer(name, case, outcome)
        else:
            check_failure(name, case, outcome)
    if case.failure is not None and case.failure.same_text:
        assert len({outcome.text for outcome in outcomes.values()}) == 1, outcomes


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("case", THROUGH, ids=lambda case: case.id)
def test_a_remote_model_is_no_other(behind: Door, case: Case, protocol: str) -> None:
    """Who asks a gateway before another one hears the same; which of the two refuses is nobody's matter."""
    asked = case._replace(model=f"{protocol}.{case.model}")
    outcome = behind.ask(asked)
    if case.failure is None:
        check_answer(REST_BINARY, asked, outcome)
    else:
        assert (outcome.status, outcome.code) == (CONTRACT[case.failure.code][0], case.failure.code), outcome
        assert outcome.text


def check_answer(name: str, case: Case, outcome: Outcome) -> None:
    """The tensors of the answer to their bytes, and whose answer it is."""
    assert outcome.status == ("OK" if name in GRPC else "200"), (name, outcome)
    assert (outcome.model, outcome.version, outcome.id) == (case.model, "1", case.id), name
    assert {told: tensor.raw for told, tensor in outcome.outputs.items()} == case.answer, name
    shape, datatype = case.inputs[0].shape, case.inputs[0].datatype
    for told in outcome.outputs.values():  # as all models here that answer
        assert told == Told(datatype, shape, told.raw), name


def check_failure(name: str, case: Case, outcome: Outcome) -> None:
    """The reason, in the protocol's own terms, and words that tell a caller what to mend."""
    assert case.failure is not None
    http, grpc = CONTRACT[case.failure.code]
    assert outcome.status == (grpc if name in GRPC else http), (name, outcome)
    assert name in GRPC or outcome.code == case.failure.code, (name, outcome)
    assert case.failure.words in outcome.text, (name, outcome)
    assert outcome.text, name
    assert "/tmp" not in outcome.text, "a path is nobody's business"


def test_the_table_leaves_no_datatype_out_and_no_name_twice() -> None:
    assert {case.inputs[0].datatype for case in DATATYPES} == set(BY_NAME)
    assert not [name for name, count in Counter(case.id for case in ALL).items() if count > 1]
    for case in ALL:
        assert (case.answer is None) != (case.failure is None), case.id
