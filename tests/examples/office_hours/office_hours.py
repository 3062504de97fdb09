"""Lets callers in at certain hours only (UTC), and knows how long what it let in took."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.caller import Caller
from gateway.core.errors import Overloaded
from gateway.core.messages import InferRequest
from gateway.hooks import Start, hookimpl

HOUR_S, DAY_S = 3600.0, 86_400.0


class OfficeHoursSettings(BaseModel):
    """[plugins.settings.office_hours]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    opens: int = Field(8, ge=0, le=23, description="The hour at which requests are let in (UTC).")
    closes: int = Field(18, ge=1, le=24, description="The hour from which they are not.")


class OfficeHours:
    """Refuses requests outside office hours."""

    Settings = OfficeHoursSettings

    def __init__(self, settings: OfficeHoursSettings, start: Start) -> None:
        if settings.closes <= settings.opens:
            raise ValueError("closes: must be later than opens")
        self._settings, self._start = settings, start
        self.seconds: Counter[str] = Counter()

    @hookimpl
    def admit(self, request: InferRequest, caller: Caller) -> None:
        """Says when to come back."""
        time_of_day = self._start.wall() % DAY_S
        opens, closes = self._settings.opens * HOUR_S, self._settings.closes * HOUR_S
        if not opens <= time_of_day < closes:
            wait_s = (opens - time_of_day) % DAY_S
            raise Overloaded(f"the office opens at {self._settings.opens}:00 UTC", retry_after_s=wait_s)

    @hookimpl
    @asynccontextmanager
    async def around_execution(self, request: InferRequest) -> AsyncGenerator[None]:
        """Adds up the time that each model was asked for."""
        began = self._start.clock()
        try:
            yield
        finally:
            self.seconds[request.model] += self._start.clock() - began
