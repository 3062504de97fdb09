"""What all routes have in common."""

from __future__ import annotations

import logging

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.door import Door, small_body, unmet
from gateway.admin.doorkeeper import Doorkeeper
from gateway.admin.visitors import Visitors
from gateway.core.errors import Overloaded
from gateway.repository.folder import FolderRefused
from tests.fakes.asgi import Answer, call

TOKEN = "0123456789abcdef"


def ask(problem: Exception | None, method: str = "POST", path: str = "/m", **headers: str) -> Answer:
    async def handler(request: Request) -> Response:
        if problem is not None:
            raise problem
        return unmet(request, "tag") or Response(await small_body(request, 4))

    door = Door(Visitors(Doorkeeper(TOKEN, is_open=False)))
    routes = [Route("/{model}", door.behind(handler), methods=["GET", "POST"], name="one")]
    told = {
        "authorization": f"Bearer {TOKEN}",
        **{key.replace("_", "-"): one for key, one in headers.items()},
    }
    return call(Starlette(routes=routes), method, path, told, [b"body"])


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (Overloaded("later", retry_after_s=1.0), 503),
        (FolderRefused("a link"), 409),
        (ClientDisconnect(), 400),
        (OSError(28, "full"), 507),
    ],
)
def test_problems_are_told(problem: Exception, status: int) -> None:
    assert ask(problem).status == status


def test_what_nobody_foresaw_is_raised_for_the_server_to_answer() -> None:
    with pytest.raises(OSError, match="odd"):
        ask(OSError(5, "odd"))


def test_conditions_and_bodies() -> None:
    assert ask(None).status == 428
    assert ask(None, if_match='"other"').status == 412
    assert ask(None, if_match='"other", "tag"').body == b"body"


def test_the_log_is_told_of_changes_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.admin")
    ask(None, path="/a%0Ab" + "c" * 300)
    ask(None, "GET")
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 200
    assert vars(record)["operation"] == "one"
