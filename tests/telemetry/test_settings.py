from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.core.log_settings import LogSettings
from gateway.core.trace_settings import TraceSettings
from gateway.telemetry.settings import TelemetrySettings


def test_nothing_is_traced_until_somebody_says_so() -> None:
    assert TelemetrySettings().trace == TraceSettings()
    settings = TelemetrySettings(trace_level=("TENSORS",), trace_rate=5, trace_count=2, trace_log_frequency=3)
    assert settings.trace == TraceSettings(("TENSORS",), 5, 2, 3)


@pytest.mark.parametrize(
    ("level", "log"),
    [
        ("debug", LogSettings(verbose_level=1)),
        ("info", LogSettings()),
        ("warning", LogSettings(info=False)),
        ("error", LogSettings(info=False, warning=False)),
    ],
)
def test_a_level_and_what_is_above_it_are_logged(level: str, log: LogSettings) -> None:
    assert TelemetrySettings.model_validate({"log_level": level}).log == log


def test_traces_need_a_folder(tmp_path: Path) -> None:
    assert TelemetrySettings(trace_file=tmp_path / "new.json").trace_file == tmp_path / "new.json"
    with pytest.raises(ValidationError, match="there is no folder"):
        TelemetrySettings(trace_file=tmp_path / "missing" / "new.json")
