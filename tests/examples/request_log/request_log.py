"""One line for each request in a file. The file is written in a thread: no request waits for a disk."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import typer
from pydantic import BaseModel, ConfigDict, Field

from gateway.core.records import RequestRecord
from gateway.hooks import Start, hookimpl

MOST_WAITING = 10_000


class RequestLogSettings(BaseModel):
    """[plugins.settings.request_log]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path = Field(description="Where the lines go.")


class RequestLog:
    """Writes a line for each request."""

    Settings = RequestLogSettings

    def __init__(self, settings: RequestLogSettings, start: Start) -> None:
        self._file = settings.file
        self._wall = start.wall
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(MOST_WAITING)
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    @hookimpl
    def on_request(self, record: RequestRecord) -> None:
        """Drops the line where too many wait: a log must not take the memory of those who write it."""
        line = {
            "at": self._wall(),
            "model": record.model,
            "reason": "OK" if record.reason is None else record.reason.value,
            "seconds": record.duration_s,
        }
        try:
            self._lines.put_nowait(json.dumps(line))
        except asyncio.QueueFull:
            self.dropped += 1

    @hookimpl
    async def on_start(self) -> None:
        self._task = asyncio.create_task(self._write(), name="request_log")

    @hookimpl
    async def on_stop(self) -> None:
        """What waits is written before the process ends."""
        await self._lines.put(None)
        if self._task is not None:
            await self._task

    @staticmethod
    @hookimpl
    def register_commands() -> Mapping[str, typer.Typer]:
        """`gateway request-log count FILE`."""
        return {"request-log": _commands()}

    async def _write(self) -> None:
        while (line := await self._lines.get()) is not None:
            lines = [line]
            while not self._lines.empty():
                more = self._lines.get_nowait()
                if more is None:
                    await asyncio.to_thread(self._append, lines)
                    return
                lines.append(more)
            await asyncio.to_thread(self._append, lines)

    def _append(self, lines: list[str]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


def _commands() -> typer.Typer:
    app = typer.Typer(help="What the plugin request_log has written.")

    @app.callback()
    def _root() -> None:
        """Commands about such a file."""

    @app.command()
    def count(file: Path) -> None:
        """Count requests by model and outcome."""
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for (model, reason), number in sorted(
            Counter((one["model"], one["reason"]) for one in lines).items()
        ):
            typer.echo(f"{model} {reason} {number}")

    return app
