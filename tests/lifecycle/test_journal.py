from __future__ import annotations

import logging

import pytest

from gateway.core.model import ModelKey
from gateway.lifecycle.facts import Fact, InstanceFailed, InstanceLoaded, WorkerDied
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


def test_the_end_of_a_front_is_written_down(caplog: pytest.LogCaptureFixture) -> None:
    tell_front_ended(1, 77, "SIGKILL", 0.5)
    (record,) = caplog.records
    assert record.getMessage() == "front 1 (pid 77) ended (SIGKILL); next in 0.5 s"
    assert (record.event, record.front, record.front_pid) == ("front_died", 1, 77)  # type: ignore[attr-defined]
