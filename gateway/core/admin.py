"""What a plugin is asked by the admin API, and how it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class AdminRequest(NamedTuple):
    """`path` is what follows /admin/v1/plugins/<plugin>/x/; `body` the JSON that was sent, None for none.

    `by` is who asks, as the audit log has it.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    by: str


class AdminAnswer(NamedTuple):
    """`document` is JSON; errors are raised as GatewayErrors and not answered."""

    document: Any
    status: int = 200
