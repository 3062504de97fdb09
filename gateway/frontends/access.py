"""What a path needs of its caller before the endpoint is asked: every route and every RPC, in two tables.

What is about one model is checked by the service behind the endpoint, which knows the model's name from
wherever the protocol has it; here such a path only needs a caller that is known.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping


class Access(enum.Enum):
    """Of whom a path takes requests."""

    PUBLIC = "public"  # anybody: health
    KNOWN = "known"  # whoever is authenticated
    MODEL = "model"  # so, and the right for the model is checked behind it
    ADMIN = "admin"  # whoever has the right `admin`


_SERVICE = b"/inference.GRPCInferenceService/"
_HEALTH = b"/grpc.health.v1.Health/"

RPCS: Mapping[bytes, Access] = {
    **{_SERVICE + name: Access.PUBLIC for name in (b"ServerLive", b"ServerReady")},
    **{_HEALTH + name: Access.PUBLIC for name in (b"Check", b"List", b"Watch")},
    **{
        _SERVICE + name: Access.MODEL
        for name in (
            *(b"ModelInfer", b"ModelStreamInfer", b"ModelReady", b"ModelMetadata", b"ModelConfig"),
            *(b"ModelStatistics", b"RepositoryIndex", b"RepositoryModelLoad", b"RepositoryModelUnload"),
        )
    },
    **{
        _SERVICE + kind + b"SharedMemory" + name: Access.KNOWN
        for kind in (b"System", b"Cuda")
        for name in (b"Status", b"Register", b"Unregister")
    },
    _SERVICE + b"ServerMetadata": Access.KNOWN,
    _SERVICE + b"TraceSetting": Access.ADMIN,
    _SERVICE + b"LogSettings": Access.ADMIN,
    b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Access.KNOWN,
    b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Access.KNOWN,
}

_MODEL = rb"/v2/models/[^/]+(?:/versions/[^/]+)?"
# The first that matches the whole path.
ROUTES: tuple[tuple[re.Pattern[bytes], Access], ...] = tuple(
    (re.compile(pattern), access)
    for pattern, access in (
        (rb"/v2/health/(?:live|ready)", Access.PUBLIC),
        (rb"/v2", Access.KNOWN),
        (rb"/v2/models/stats", Access.MODEL),
        (_MODEL, Access.MODEL),
        (_MODEL + rb"/(?:infer|generate|generate_stream|config|ready|stats|docs)", Access.MODEL),
        (rb"/v2/models/[^/]+/docs/dataplane\.json", Access.MODEL),
        (rb"/v2/repository(?:/[^/]+)?/(?:index|models/[^/]+/(?:load|unload))", Access.MODEL),
        (rb"/v2/(?:models/[^/]+/)?trace/setting", Access.ADMIN),
        (rb"/v2/logging", Access.ADMIN),
        (
            rb"/v2/(?:system|cuda)sharedmemory/(?:region/[^/]+/)?(?:status|register|unregister)",
            Access.KNOWN,
        ),
    )
)


def access_of(path: bytes) -> Access | None:
    """What the path needs; None for one in no table: that is taken of nobody but those who are known."""
    if (access := RPCS.get(path)) is not None:
        return access
    for pattern, access in ROUTES:
        if pattern.fullmatch(path):
            return access
    return None
