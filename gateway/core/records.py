"""What is known of a request once it is over: the source of metrics, logs, burn rates and verdicts."""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from gateway.core.errors import Reason
from gateway.core.value import Value


@mypyc_attr(free_list_len=1)
class RequestRecord(Value):
    """One request, one record, whatever became of it. Times in seconds.

    `model` is "" where the name was unknown or never understood, so that callers cannot make new
    label values. `reason` None is success. `batch_rows` 0: it never ran.
    `principal` and `tenant` are whoever called, "" where nobody was asked.
    """

    __slots__ = (
        "batch_rows",
        "compute_s",
        "duration_s",
        "is_cold",
        "model",
        "principal",
        "protocol",
        "queue_s",
        "reason",
        "rows",
        "tenant",
        "version",
    )

    def __init__(  # ruff: ignore[too-many-arguments] - a parameter a field
        self,
        model: str,
        version: int,
        protocol: str,
        reason: Reason | None,
        duration_s: float,
        queue_s: float = 0.0,
        compute_s: float = 0.0,
        rows: int = 0,
        batch_rows: int = 0,
        is_cold: bool = False,
        principal: str = "",
        tenant: str = "",
    ) -> None:
        self.model: Final = model
        self.version: Final = version
        self.protocol: Final = protocol
        self.reason: Final = reason
        self.duration_s: Final = duration_s
        self.queue_s: Final = queue_s
        self.compute_s: Final = compute_s
        self.rows: Final = rows
        self.batch_rows: Final = batch_rows
        self.is_cold: Final = is_cold
        self.principal: Final = principal
        self.tenant: Final = tenant

    def values(self) -> tuple[object, ...]:
        return (
            self.model,
            self.version,
            self.protocol,
            self.reason,
            self.duration_s,
            self.queue_s,
            self.compute_s,
            self.rows,
            self.batch_rows,
            self.is_cold,
            self.principal,
            self.tenant,
        )
