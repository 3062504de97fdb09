"""What becomes of an exception at the rim."""

from __future__ import annotations

import logging

from gateway.core.errors import GatewayError

_log = logging.getLogger(__name__)


def as_gateway_error(error: Exception) -> GatewayError:
    """`error` if it has a reason; else it is a bug of ours: logged, and told without its text."""
    if isinstance(error, GatewayError):
        return error
    _log.error("a request could not be translated", exc_info=error)
    return GatewayError("internal error")
