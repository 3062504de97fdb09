"""One process's log on standard error: lines for people or JSON objects, and what may be in it.

Log calls say what happened in words, and in `extra` what programs look for; in a JSON line those are
keys of their own.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TextIO

import orjson

from gateway.core.log_settings import LogSettings

# What every record has; whatever else it has, a log call gave it.
_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Logs:
    """Owns what a process logs as `process`; `attach` it once, then `apply` settings at any time."""

    def __init__(self, process: str, *, is_json: bool, settings: LogSettings) -> None:
        self.settings = settings
        self._process = process
        self._is_json = is_json

    def attach(self, stream: TextIO) -> None:
        """From now on everything of this process is logged on `stream`."""
        handler = logging.StreamHandler(stream)
        handler.addFilter(self._is_wanted)
        handler.setFormatter(_Json(self) if self._is_json else _Text(self))
        logging.getLogger().handlers = [handler]
        self.apply(self.settings)

    def apply(self, settings: LogSettings) -> None:
        """Logs as `settings` say from the next line on."""
        self.settings = settings
        logging.getLogger().setLevel(logging.INFO)
        logging.getLogger("gateway").setLevel(logging.DEBUG if settings.verbose_level else logging.INFO)

    @property
    def process(self) -> str:
        """Who logs."""
        return self._process

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        settings = self.settings
        if record.levelno >= logging.ERROR:
            return settings.error
        if record.levelno >= logging.WARNING:
            return settings.warning
        return settings.info if record.levelno >= logging.INFO else settings.verbose_level > 0


class _Text(logging.Formatter):
    def __init__(self, logs: Logs) -> None:
        super().__init__(f"%(asctime)s {logs.process}[%(process)d] %(levelname)s %(name)s: %(message)s")
        self._logs = logs

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """See logging.Formatter."""
        if self._logs.settings.format == "ISO8601":
            return iso8601(record.created)
        return super().formatTime(record, datefmt)


class _Json(logging.Formatter):
    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        is_iso = self._logs.settings.format == "ISO8601"
        line: dict[str, object] = {
            "time": iso8601(record.created) if is_iso else round(record.created, 6),
            "level": record.levelname,
            "process": self._logs.process,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _KNOWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def iso8601(seconds: float) -> str:
    """A time since 1970 in UTC, to the millisecond."""
    told = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")
