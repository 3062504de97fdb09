"""Trace and log settings as the protocols know them: what they are, and that no caller changes them.

Requests are not traced, and what is logged is the operator's choice: every process of the gateway
would have to follow a change, and no file name may come from a caller. Reading tells the truth;
writing is refused by the setting's name. Setting one to nothing asks for its default, which it has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.core.errors import InvalidInput, Unsupported

TRACE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "trace_file": ("",),
    "trace_level": ("OFF",),
    "trace_rate": ("1000",),
    "trace_count": ("-1",),
    "log_frequency": ("0",),
})

_LOG = frozenset({"log_file", "log_info", "log_warning", "log_error", "log_verbose_level", "log_format"})


def log_settings() -> dict[str, bool | int | str]:
    """What this process logs now; all processes of a gateway log alike."""
    is_enabled = logging.getLogger("gateway").isEnabledFor
    return {
        "log_file": "",
        "log_info": is_enabled(logging.INFO),
        "log_warning": is_enabled(logging.WARNING),
        "log_error": is_enabled(logging.ERROR),
        "log_verbose_level": int(is_enabled(logging.DEBUG)),
        "log_format": "default",
    }


def refuse_trace_changes(names: Iterable[str]) -> None:
    """Raises Unsupported for the first of `names`, those of settings to be given a value."""
    for name in names:
        if name not in TRACE:
            raise InvalidInput(f"unknown trace setting '{name}', there are {', '.join(TRACE)}")
        raise Unsupported(f"trace setting '{name}' can not be changed: requests are not traced")


def refuse_log_changes(names: Iterable[str]) -> None:
    """Raises Unsupported for the first of `names`, those of settings to be given a value."""
    for name in names:
        if name not in _LOG:
            raise InvalidInput(f"unknown log setting '{name}', there are {', '.join(sorted(_LOG))}")
        raise Unsupported(f"log setting '{name}' can not be changed while the gateway runs")
