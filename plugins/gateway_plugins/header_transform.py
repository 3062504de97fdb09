"""Headers of a request as parameters for its model, and headers that answers get."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.core.caller import Caller
from gateway.core.messages import InferRequest
from gateway.hooks import Start, hookimpl
from gateway.hooks.values import Headers

HeaderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$")]
# What credentials come in must not reach a model by mistake.
_SECRET = re.compile(r"authorization|cookie|api-key|token|secret", re.IGNORECASE)
_MAX_VALUE = 1024


class HeaderTransformSettings(BaseModel):
    """[plugins.settings.header_transform]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: Mapping[HeaderName, str] = Field(
        {}, description="Of these headers each becomes the request's parameter of that name, as a text."
    )
    answers: Mapping[HeaderName, str] = Field({}, description="These headers are added to every answer.")


class HeaderTransform:
    """Headers of requests become parameters; answers get more headers."""

    Settings = HeaderTransformSettings

    def __init__(self, settings: HeaderTransformSettings, start: Start) -> None:
        for name in settings.parameters:
            if _SECRET.search(name):
                raise ValueError(f"parameters: '{name}' may hold a credential, and those reach no model")
        for name, value in settings.answers.items():
            if not value.isascii() or not value.isprintable():
                raise ValueError(f"answers: the value of '{name}' must be printable ASCII")
        self._parameters = {name.encode(): parameter for name, parameter in settings.parameters.items()}
        self._answers: Headers = tuple(
            (name.encode(), value.encode()) for name, value in settings.answers.items()
        )

    @hookimpl
    def transform_request(self, request: InferRequest, caller: Caller) -> InferRequest | None:
        """What the caller itself says by a parameter of that name stays as it is."""
        found = {
            self._parameters[name]: value.decode("latin-1")[:_MAX_VALUE]
            for name, value in caller.headers
            if name in self._parameters
        }
        return request.with_parameters({**found, **request.parameters}) if found else None

    @hookimpl
    def answer_headers(self, headers: Headers) -> Headers | None:
        """Adds those of the configuration."""
        return headers + self._answers if self._answers else None
