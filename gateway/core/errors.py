"""Why a request was not answered: one class per reason; the frontends give each reason its status."""

from __future__ import annotations

import enum


class Reason(enum.Enum):
    """The bounded set of reasons; a metric label, the `code` of an error body, and a status at the rim."""

    INVALID_INPUT = "INVALID_INPUT"
    NOT_FOUND = "NOT_FOUND"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    TOO_LARGE = "TOO_LARGE"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    UNSUPPORTED = "UNSUPPORTED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    OVERLOADED = "OVERLOADED"
    QUEUE_TIMEOUT = "QUEUE_TIMEOUT"
    MODEL_LOADING = "MODEL_LOADING"
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    INSTANCE_DIED = "INSTANCE_DIED"
    MODEL_FAILED = "MODEL_FAILED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    CONFLICT = "CONFLICT"
    PLUGIN_FAILED = "PLUGIN_FAILED"
    INTERNAL = "INTERNAL"


class GatewayError(Exception):
    """A refusal with a reason; `text` is for the caller: no paths, no addresses, no stack traces."""

    reason = Reason.INTERNAL

    def __init__(self, text: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.retry_after_s = retry_after_s


class InvalidInput(GatewayError):
    """The request contradicts the protocol or the model's signature; retrying cannot help."""

    reason = Reason.INVALID_INPUT


class ModelNotFound(GatewayError):
    """No such model or version (or it is hidden from this caller)."""

    reason = Reason.NOT_FOUND


class Unauthenticated(GatewayError):
    """No credential, or one that proves nothing."""

    reason = Reason.UNAUTHENTICATED


class Forbidden(GatewayError):
    """A known caller without the right for this operation."""

    reason = Reason.FORBIDDEN


class TooLarge(GatewayError):
    """A body, a message or a decompressed size over its limit."""

    reason = Reason.TOO_LARGE


class RequestTimeout(GatewayError):
    """The request was not received whole within the time allowed for that."""

    reason = Reason.REQUEST_TIMEOUT


class Unsupported(GatewayError):
    """Something the protocol knows and this gateway does not do."""

    reason = Reason.UNSUPPORTED


class QuotaExceeded(GatewayError):
    """This caller's own limit."""

    reason = Reason.QUOTA_EXCEEDED


class Overloaded(GatewayError):
    """Our limit: a full queue, or the gateway is draining."""

    reason = Reason.OVERLOADED


class QueueTimeout(GatewayError):
    """It has waited for as long as its model's queue policy lets a request wait."""

    reason = Reason.QUEUE_TIMEOUT


class ModelLoading(GatewayError):
    """The model is being loaded and was not ready within the time this request could wait."""

    reason = Reason.MODEL_LOADING


class ModelUnavailable(GatewayError):
    """The model is known and cannot be loaded; remembered until `retry_after_s`."""

    reason = Reason.MODEL_UNAVAILABLE


class InstanceDied(GatewayError):
    """The worker died with the request in it, and running it again was not possible."""

    reason = Reason.INSTANCE_DIED


class ModelFailed(GatewayError):
    """The model raised, or answered something other than it had promised."""

    reason = Reason.MODEL_FAILED


class DeadlineExceeded(GatewayError):
    """The caller's time is over."""

    reason = Reason.DEADLINE_EXCEEDED


class Cancelled(GatewayError):
    """The caller has gone."""

    reason = Reason.CANCELLED


class Conflict(GatewayError):
    """The thing to be changed is no longer what the caller saw."""

    reason = Reason.CONFLICT


class PluginFailed(GatewayError):
    """A plugin failed where the request may not go on without it; nothing is told of how."""

    reason = Reason.PLUGIN_FAILED

    def __init__(self, plugin: str, hook: str) -> None:
        super().__init__(f"plugin '{plugin}' failed at '{hook}'", retry_after_s=1.0)
        self.plugin = plugin
        self.hook = hook
