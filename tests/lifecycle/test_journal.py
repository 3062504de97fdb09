from __future__ import annotations

import logging

import pytest

from gateway.core.events import KINDS, Event
from gateway.core.model import ModelKey
from gateway.lifecycle.facts import (
    Fact,
    FellAsleep,
    FirstInference,
    InstanceEvicted,
    InstanceFailed,
    InstanceLoaded,
    WorkerDied,
)
from gateway.lifecycle.journal import Journal, tell_front_ended

KEY = ModelKey("m", 2)


def test_facts_are_written_down_in_words_and_in_fields(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Fact] = []
    facts = [
        InstanceLoaded(KEY, 0.5, 0.25, {}),
        InstanceFailed(KEY, "no file"),
        WorkerDied(KEY, "signal 9", "restart"),
    ]
    with caplog.at_level(logging.INFO, "gateway.lifecycle"):
        for fact in facts:
            Journal(told.append).record(fact)
    assert told == facts
    assert [(record.levelname, record.event) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("INFO", "model_loaded"),
        ("ERROR", "model_load_failed"),
        ("WARNING", "worker_died"),
    ]
    assert "loaded in 0.250 s" in caplog.text
    assert {(record.model, record.version) for record in caplog.records} == {("m", 2)}  # type: ignore[attr-defined]


def test_whoever_is_to_be_notified_is_told_the_same() -> None:
    told: list[Event] = []
    journal = Journal(lambda fact: None, told.append)
    journal.record(InstanceFailed(KEY, "no file"))
    journal.record(FirstInference(KEY, 0.1))
    journal.record(WorkerDied(KEY, "signal 9", "restart"))
    assert told == [
        Event("model_load_failed", "m", 2, {"reason": "no file"}),
        Event("worker_died", "m", 2, {"end": "signal 9", "then": "restart"}),
    ]


def test_each_fact_that_is_told_is_of_a_kind_that_is_known() -> None:
    told: list[Event] = []
    facts = [
        InstanceLoaded(KEY, 0.5, 0.25, {}),
        FellAsleep(KEY, "gpu0", 7),
        InstanceFailed(KEY, "no file"),
        InstanceEvicted(KEY, "cpu", 1.0),
        WorkerDied(KEY, "signal 9", "restart"),
    ]
    for fact in facts:
        Journal(lambda fact: None, told.append).record(fact)
    assert tuple([event.kind for event in told]) == KINDS


def test_the_end_of_a_front_is_written_down(caplog: pytest.LogCaptureFixture) -> None:
    tell_front_ended(1, 77, "SIGKILL", 0.5)
    (record,) = caplog.records
    assert record.getMessage() == "front 1 (pid 77) ended (SIGKILL); next in 0.5 s"
    assert (record.event, record.front, record.front_pid) == ("front_died", 1, 77)  # type: ignore[attr-defined]
