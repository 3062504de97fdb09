"""What every route of the admin API has in common: who may, how a refusal looks, what the log is told."""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from gateway.admin.visitors import Visitor, Visitors
from gateway.core.caller import Operation as Right
from gateway.core.errors import GatewayError, InvalidInput, Reason
from gateway.core.model import check_name, parse_version
from gateway.repository.folder import FolderRefused

log = logging.getLogger("gateway.admin")

_STATUS = {
    Reason.INVALID_INPUT: 400,
    Reason.UNAUTHENTICATED: 401,
    Reason.FORBIDDEN: 403,
    Reason.NOT_FOUND: 404,
    Reason.CONFLICT: 409,
    Reason.TOO_LARGE: 413,
    Reason.OVERLOADED: 503,
    Reason.PLUGIN_FAILED: 503,
    Reason.MODEL_UNAVAILABLE: 503,
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_READING = frozenset({"GET", "HEAD"})

Handler = Callable[[Request], Awaitable[Response]]


class Door:
    """Lets in whom the visitors' book knows, to what they may."""

    def __init__(self, visitors: Visitors) -> None:
        self._visitors = visitors

    def behind(self, handler: Handler, right: Right | None = None) -> Handler:
        """`handler` behind this door: who has no right learns nothing of what there is.

        Without `right` whoever is known may, with a model that exists for them.
        """

        async def answer(request: Request) -> Response:
            who, response = "nobody", Response(status_code=500)
            try:
                visitor = request.state.visitor = await self._visitors.of(request)
                who = visitor.name
                await _require(visitor, right, request.path_params.get("model"))
                response = await _handled(handler, request)
            except GatewayError as error:
                response = refusal(_STATUS.get(error.reason, 500), error.reason.value, error.text)
            finally:
                if request.method not in _READING:
                    _tell(request, who, response.status_code)
            return response

        return answer


async def _require(visitor: Visitor, right: Right | None, model: str | None) -> None:
    """Raises what keeps them out; where no path names the model the handler asks when it knows it."""
    if model is None:
        if right is Right.ADMIN:
            await visitor.require(right)
        return
    if right is None:
        await visitor.look(check_name(model))
    else:
        await visitor.require(right, check_name(model))


async def _handled(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except FolderRefused as error:
        return refusal(409, Reason.CONFLICT.value, error.text)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it; the log does
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return refusal(507, "STORAGE_FULL", "the repository's disk is full")


def refusal(status: int, code: str, text: str, headers: dict[str, str] | None = None) -> Response:
    """The body of every refusal."""
    return JSONResponse({"error": text, "code": code}, status, headers)


def unmet(request: Request, tag: str) -> Response | None:
    """The refusal where If-Match is missing, or names another than the one `tag`; None where all is well."""
    condition = request.headers.get("if-match", "")
    if not condition:
        return refusal(428, "PRECONDITION_REQUIRED", "If-Match is needed: the ETag that GET has shown")
    if f'"{tag}"' not in {one.strip() for one in condition.split(",")}:
        return refusal(412, "PRECONDITION_FAILED", "it is not what it was when its ETag was shown")
    return None


def model_of(request: Request) -> str:
    """The model that the path names; raises InvalidInput."""
    return check_name(request.path_params["model"])


def version_of(request: Request) -> int:
    """The version that the path names; raises InvalidInput."""
    version = parse_version(request.path_params["version"])
    if not isinstance(version, int) or not version:
        raise InvalidInput("a version is named by its number here")
    return version


async def small_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body; raises InvalidInput for one that is longer."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit_bytes:
            raise InvalidInput(f"the body may have {limit_bytes} bytes")
    return bytes(body)


def _tell(request: Request, who: str, status: int) -> None:
    """One line for each change that was asked for, done or not; names that are none are shortened."""
    named = {key: ascii(str(value))[1:-1][:128] for key, value in request.path_params.items()}
    operation = getattr(request.scope.get("route"), "name", "")
    subject = "/".join(named.values())
    about = {"event": "audit", "action": request.method, "operation": operation, **named}
    log.info(
        "audit: %s %s by %s: %d",
        *(operation or request.method, subject, who, status),
        extra={**about, "by": who, "status": status},
    )
