"""Trace and log settings by the names, and in the words, that the protocols have for them.

What a protocol could read arrives as plain values: of a trace setting a list of texts (none: take it
back), of a log setting whatever was given (None: take it back).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from msgspec import UNSET, UnsetType

from gateway.control.budget import MAX_COUNT
from gateway.core.errors import InvalidInput
from gateway.core.log_settings import LogChange, TimeFormat
from gateway.core.trace_settings import LEVELS, Level, TraceChange
from gateway.pipeline.observing import Observing

# A file, or what would name one, is the operator's alone.
_TRACE_FIXED: Final = frozenset({"trace_file", "trace_mode", "trace_config"})
_FORMATS: Final[Mapping[str, TimeFormat]] = MappingProxyType({"default": "default", "ISO8601": "ISO8601"})
_MAX_VERBOSE = (1 << 31) - 1

_T = TypeVar("_T")


def tell_trace(observing: Observing, model: str) -> dict[str, list[str]]:
    """The settings of `model` ("" all), each a list of texts."""
    settings = observing.trace(model)
    return {
        "trace_level": list(settings.levels) or ["OFF"],
        "trace_rate": [str(settings.rate)],
        "trace_count": [str(settings.count)],
        "log_frequency": [str(settings.log_frequency)],
        "trace_file": [observing.trace_file],
        "trace_mode": ["triton"],
    }


def read_trace(changes: Mapping[str, list[str]]) -> TraceChange:
    """What is to be changed; raises InvalidInput."""
    known = {"trace_level", "trace_rate", "trace_count", "log_frequency"}
    for name, texts in changes.items():
        if name in _TRACE_FIXED:
            if texts:
                raise InvalidInput(f"trace setting '{name}' is read-only: it is the operator's")
        elif name not in known:
            raise InvalidInput(f"unknown trace setting '{name}'")

    def read(name: str, reads: Callable[[str, list[str]], _T]) -> _T | UnsetType | None:
        if name not in changes:
            return UNSET
        return reads(name, changes[name]) if changes[name] else None

    return TraceChange(
        read("trace_level", _levels),
        read("trace_rate", lambda name, texts: _number(name, texts, 1)),
        read("trace_count", lambda name, texts: _number(name, texts, -1)),
        read("log_frequency", lambda name, texts: _number(name, texts, 0)),
    )


def _levels(name: str, texts: Iterable[str]) -> tuple[Level, ...]:
    wanted = [*texts]
    if wanted == ["OFF"]:
        return ()
    if not set(wanted) <= set(LEVELS):
        raise InvalidInput(f"trace setting '{name}' must be OFF, or {' and '.join(LEVELS)} or one of them")
    return tuple(level for level in LEVELS if level in wanted)


def _number(name: str, texts: list[str], least: int) -> int:
    text = texts[0]
    digits = text.removeprefix("-")
    # Longer ones are no numbers that are meant, and Python takes a long time to read them.
    if len(texts) == 1 and digits.isascii() and digits.isdigit() and len(digits) < 20:
        number = int(text)
        if least <= number <= MAX_COUNT:
            return number
    raise InvalidInput(f"trace setting '{name}' must be a whole number, {least} to {MAX_COUNT}")


def tell_log(observing: Observing) -> dict[str, bool | int | str]:
    """The settings by their names."""
    log = observing.log
    return {
        "log_file": "",
        "log_info": log.info,
        "log_warning": log.warning,
        "log_error": log.error,
        "log_verbose_level": log.verbose_level,
        "log_format": log.format,
    }


def read_log(changes: Mapping[str, object]) -> LogChange:
    """What is to be changed; raises InvalidInput."""
    for name, value in changes.items():
        if name == "log_file":
            if value is not None:
                raise InvalidInput("log setting 'log_file' is read-only: it is the operator's")
        elif name not in _LOG:
            raise InvalidInput(f"unknown log setting '{name}'")

    def read(name: str, reads: Callable[[str, object], _T]) -> _T | UnsetType | None:
        if name not in changes:
            return UNSET
        value = changes[name]
        return None if value is None else reads(name, value)

    return LogChange(
        read("log_info", _flag),
        read("log_warning", _flag),
        read("log_error", _flag),
        read("log_verbose_level", _verbose),
        read("log_format", _format),
    )


_LOG: Final = frozenset({"log_info", "log_warning", "log_error", "log_verbose_level", "log_format"})


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"log setting '{name}' must be true or false")
    return value


def _verbose(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_VERBOSE:
        raise InvalidInput(f"log setting '{name}' must be a whole number, 0 to {_MAX_VERBOSE}")
    return value


def _format(name: str, value: object) -> TimeFormat:
    if not isinstance(value, str) or value not in _FORMATS:
        raise InvalidInput(f"log setting '{name}' must be {' or '.join(_FORMATS)}")
    return _FORMATS[value]
