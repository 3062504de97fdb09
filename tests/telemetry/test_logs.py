from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator

import pytest

from gateway.core.log_settings import LogSettings
from gateway.telemetry.logs import Logs, iso8601

log = logging.getLogger("gateway.test")
ORDINARY = LogSettings()


@pytest.fixture(autouse=True)
def _as_it_was() -> Generator[None]:
    root, ours = logging.getLogger(), logging.getLogger("gateway")
    before = root.handlers, root.level, ours.level
    yield
    root.handlers = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def attached(*, is_json: bool = False, settings: LogSettings = ORDINARY) -> tuple[Logs, io.StringIO]:
    logs, stream = Logs("controller", is_json=is_json, settings=settings), io.StringIO()
    logs.attach(stream)
    return logs, stream


def say() -> None:
    log.debug("a debug line")
    log.info("an info line")
    log.warning("a warning line")
    log.error("an error line")


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        (LogSettings(), "info warning error"),
        (LogSettings(verbose_level=2), "debug info warning error"),
        (LogSettings(info=False, verbose_level=1), "debug warning error"),
        (LogSettings(warning=False), "info error"),
        (LogSettings(info=False, error=False), "warning"),
    ],
)
def test_each_kind_of_line_is_there_where_it_is_wanted(settings: LogSettings, kinds: str) -> None:
    logs, stream = attached()
    logs.apply(settings)
    say()
    assert [line.split()[-2] for line in stream.getvalue().splitlines()] == kinds.split()
    assert logs.settings == settings


def test_lines_for_people_tell_the_time_as_asked_for() -> None:
    logs, stream = attached()
    log.info("first")
    logs.apply(LogSettings(format="ISO8601"))
    log.info("second")
    first, second = stream.getvalue().splitlines()
    assert " controller[" in first
    assert first.endswith("] INFO gateway.test: first")
    assert second[10] == "T"
    assert second[23] == "Z"


def test_lines_for_programs_have_the_fields_of_the_call() -> None:
    logs, stream = attached(is_json=True)
    log.info("%s is ready", "m", extra={"event": "model_loaded", "model": "m"})
    logs.apply(LogSettings(format="ISO8601"))
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        log.exception("it failed")
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["message"], first["event"], first["model"]) == ("m is ready", "model_loaded", "m")
    assert (first["level"], first["process"], first["logger"]) == ("INFO", "controller", "gateway.test")
    assert isinstance(first["time"], float)
    assert second["time"].endswith("Z")
    assert "ValueError: bad\nthing" in second["exception"]


def test_a_time_in_words() -> None:
    assert iso8601(0.25) == "1970-01-01T00:00:00.250Z"
