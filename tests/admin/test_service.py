"""The admin API on a socket: large bodies, the token, and what cannot be offered."""

from __future__ import annotations

import asyncio
import http.client
import os
from pathlib import Path

import pytest

from gateway.admin.service import AdminFailed, AdminListener
from gateway.admin.settings import AdminSettings
from gateway.core.clock import monotonic_s
from gateway.wire.settings import WireSettings
from tests.fakes.admin import FakeServed
from tests.repository.test_archives import packed
from tests.wire.test_listener import run

TOKEN = "0123456789abcdef"
SMALL = WireSettings(max_body_bytes=1000)
PATH = "/admin/v1/models/m/versions/1"


def listener(root: Path, *, insecure_dev: bool = False, **settings: object) -> AdminListener:
    chosen = AdminSettings.model_validate({"uploads": root, "port": 0, **settings})
    return AdminListener(chosen, SMALL, insecure_dev, monotonic_s, FakeServed())


def asked(port: int, method: str, body: bytes = b"", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, PATH, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_body_may_be_larger_than_that_of_a_request_and_needs_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    root = tmp_path / "models"
    (root / ".uploads" / "left").mkdir(parents=True)
    admin = listener(root, token_file=tmp_path / "token", insecure_dev=True)
    archive = packed("zip", {"model.onnx": os.urandom(100_000)})

    async def scenario() -> None:
        port = (await admin.start())["admin"]
        assert not (root / ".uploads").exists()  # what was left
        assert await asyncio.to_thread(asked, port, "PUT", archive) == 401
        assert await asyncio.to_thread(asked, port, "PUT", archive, Authorization=f"Bearer {TOKEN}") == 201
        assert (root / "m/1/model.onnx").stat().st_size == 100_000
        await admin.aclose()

    run(scenario())


@pytest.mark.parametrize(("insecure_dev", "status"), [(True, 404), (False, 403)])
def test_without_a_token_it_is_open_for_insecure_dev_alone(
    insecure_dev: bool, status: int, tmp_path: Path
) -> None:
    async def scenario() -> None:
        admin = listener(tmp_path, insecure_dev=insecure_dev)
        port = (await admin.start())["admin"]
        assert await asyncio.to_thread(asked, port, "GET") == status
        await admin.aclose()

    run(scenario())


def test_off_it_does_not_listen() -> None:
    async def scenario() -> None:
        admin = AdminListener(AdminSettings(), SMALL, True, monotonic_s, FakeServed())
        assert await admin.start() == {}
        await admin.aclose()

    run(scenario())


@pytest.mark.parametrize(("content", "told"), [(None, "cannot be read"), ("short", "at least 16")])
def test_a_token_that_cannot_be_used_is_said(content: str | None, told: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)

    async def scenario() -> None:
        with pytest.raises(AdminFailed, match=told):
            await listener(tmp_path, token_file=tmp_path / "token").start()

    run(scenario())


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = listener(tmp_path)
        port = (await first.start())["admin"]
        with pytest.raises(AdminFailed, match=rf"admin\.port = {port}: "):
            await listener(tmp_path, port=port).start()
        await first.aclose()

    run(scenario())
