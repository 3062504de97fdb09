"""The plugins of a process: begun before the first request, ended after the last."""

from __future__ import annotations

import asyncio
import signal
from importlib.metadata import EntryPoint

import pytest

from gateway.core.caller import Principal
from gateway.hooks import Start, hookimpl, manager
from gateway.hooks.contract import Process
from gateway.hooks.manager import GROUP, PluginFault
from gateway.hooks.running import Plugins
from gateway.hooks.settings import PluginSettings
from tests.fakes.plugins import still

life: list[str] = []


class Lives:
    def __init__(self, start: Start) -> None:
        life.append(f"made in {start.process}")

    @hookimpl
    async def on_start(self) -> None:
        await asyncio.sleep(0)
        life.append("started")

    @hookimpl
    def on_stop(self) -> None:
        life.append("stopped")


class FailsToStart:
    def __init__(self, start: Start) -> None: ...

    @hookimpl
    async def on_start(self) -> None:
        raise OSError

    @hookimpl
    def authenticate(self) -> Principal:
        return Principal("anna")


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint(name, f"{__name__}:{name}", GROUP) for name in ("Lives", "FailsToStart")]
    monkeypatch.setattr(manager, "entry_points", lambda group: points)
    life.clear()


def made(*use: str) -> Plugins:
    return Plugins(PluginSettings(use=use), Process.CONTROLLER, still(), still())


def test_they_are_told_of_the_start_and_of_the_end() -> None:
    async def run() -> None:
        plugins = made("Lives", "FailsToStart")
        await plugins.start()
        assert life == ["made in controller", "started"]
        await plugins.stop()
        await plugins.stop()
        assert plugins.failures == {("FailsToStart", "on_start", "raised"): 1}

    asyncio.run(run())
    assert life[2:] == ["stopped"]
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN


def test_none_is_as_good_as_any() -> None:
    async def run() -> None:
        plugins = made()
        await plugins.start()
        await plugins.stop()

    asyncio.run(run())


def test_somebody_must_ask_who_calls() -> None:
    made("FailsToStart").require_authentication("0.0.0.0")
    with pytest.raises(PluginFault, match=r"none of plugins.use \(Lives\) does that"):
        made("Lives").require_authentication("0.0.0.0")
