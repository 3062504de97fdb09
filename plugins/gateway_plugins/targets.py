"""How settings name a model that is to answer, and what is said of settings that fit nothing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.core.errors import GatewayError
from gateway.core.model import check_name, parse_version


class TargetSettings(BaseModel):
    """A model that answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Its name.")
    version: int | str = Field(0, description="Its version or a label; 0 is the one that answers for it.")

    @model_validator(mode="after")
    def _can_exist(self) -> TargetSettings:
        try:
            check_name(self.model)
            if self.version != 0:
                parse_version(str(self.version))
        except GatewayError as error:
            raise ValueError(error.text) from None
        return self


def first_fault(error: ValidationError) -> str:
    """Where the first fault is and what it is; never what was given."""
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])
