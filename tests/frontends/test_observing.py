from __future__ import annotations

import pytest
from msgspec import UNSET

from gateway.core.errors import InvalidInput
from gateway.core.log_settings import LogChange
from gateway.core.trace_settings import TraceChange
from gateway.frontends.observing import read_log, read_trace, tell_log, tell_trace
from gateway.pipeline.observing import Observing


def test_what_is_there_is_told_by_its_names() -> None:
    assert tell_trace(Observing(), "m") == {
        "trace_level": ["OFF"],
        "trace_rate": ["1000"],
        "trace_count": ["-1"],
        "log_frequency": ["0"],
        "trace_file": [""],
        "trace_mode": ["triton"],
    }
    assert tell_log(Observing()) == {
        "log_file": "",
        "log_info": True,
        "log_warning": True,
        "log_error": True,
        "log_verbose_level": 0,
        "log_format": "default",
    }


def test_trace_settings_are_read() -> None:
    assert read_trace({}) == TraceChange()
    assert read_trace({"trace_level": ["TENSORS", "TIMESTAMPS"], "trace_rate": ["5"]}) == TraceChange(
        ("TIMESTAMPS", "TENSORS"), 5, UNSET, UNSET
    )
    assert read_trace({"trace_level": ["OFF"], "trace_count": [], "trace_file": []}) == TraceChange(
        (), UNSET, None, UNSET
    )


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("trace_file", ["/tmp/x"]),
        ("trace_mode", ["opentelemetry"]),
        ("trace_config", ["x"]),
        ("trace_level", ["MAX"]),
        ("trace_level", ["OFF", "TENSORS"]),
        ("trace_rate", ["0"]),
        ("trace_rate", ["1", "2"]),
        ("trace_rate", ["1.5"]),
        ("trace_rate", ["\u0661"]),
        ("trace_rate", ["9" * 5000]),
        ("trace_count", ["-2"]),
        ("trace_count", ["--1"]),
        ("log_frequency", ["-1"]),
        ("colour", ["red"]),
    ],
)
def test_trace_settings_are_refused_by_name(name: str, texts: list[str]) -> None:
    with pytest.raises(InvalidInput, match=f"'{name}'"):
        read_trace({name: texts})


def test_log_settings_are_read() -> None:
    assert read_log({"log_file": None}) == LogChange()
    assert read_log({"log_info": False, "log_format": "ISO8601", "log_verbose_level": None}) == LogChange(
        False, UNSET, UNSET, None, "ISO8601"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_file", "/tmp/x"),
        ("log_info", 1),
        ("log_error", "true"),
        ("log_verbose_level", True),
        ("log_verbose_level", -1),
        ("log_verbose_level", 1 << 31),
        ("log_format", "json"),
        ("log_format", []),
        ("colour", None),
    ],
)
def test_log_settings_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=f"'{name}'"):
        read_log({name: value})
