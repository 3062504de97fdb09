"""What a rule can say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from gateway_plugins.routing.windows import parse_time
from gateway_plugins.targets import TargetSettings

HeaderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArmSettings(TargetSettings):
    """One of several that share a rule's requests."""

    weight: float = Field(ge=0, description="Its share of the sum of all weights.")


class WindowSettings(_Settings):
    """A time of the week."""

    days: tuple[Day, ...] = Field(
        ("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
        min_length=1,
        description="Of the week; all, if left out.",
    )
    begins: str = Field("00:00", description="HH:MM.")
    ends: str = Field("00:00", description="HH:MM; at or before `begins`: on the next day.")
    timezone: str = Field("UTC", description="By whose clocks, such as Europe/Berlin.")

    @field_validator("begins", "ends")
    @classmethod
    def _is_time(cls, text: str) -> str:
        parse_time(text)
        return text

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, text: str) -> str:
        try:
            ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"'{text}' is no time zone that is known here") from None
        return text


class MatchSettings(_Settings):
    """All that is given must fit; patterns, in which * stands for any text."""

    models: tuple[str, ...] = Field(("*",), min_length=1, description="The name that was asked for.")
    versions: tuple[str, ...] = Field((), description="The version or label that was asked for; '0' is none.")
    headers: Mapping[HeaderName, str] = Field({}, description="Of REST, or the metadata of gRPC.")
    parameters: Mapping[str, str] = Field({}, description="Of the request, as texts.")
    principals: tuple[str, ...] = Field((), description="Who calls.")
    tenants: tuple[str, ...] = Field((), description="To whom they belong.")
    protocol: Literal["", "rest", "grpc"] = Field("", description="Over which they call.")
    windows: tuple[WindowSettings, ...] = Field((), description="When; one of them must hold.")

    @property
    def is_unconditional(self) -> bool:
        """True where nothing but the model's name counts."""
        return self.model_copy(update={"models": ("*",)}) == MatchSettings()


class RuleSettings(_Settings):
    """[[plugins.settings.routing.rules]] One of target, arms and by_tenant says who answers."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = Field(
        description="Its own name."
    )
    match: MatchSettings = Field(MatchSettings(), description="Which requests it is for.")
    target: TargetSettings | None = Field(None, description="The one that answers.")
    arms: tuple[ArmSettings, ...] = Field((), description="Several, by weight; a new one belongs at the end.")
    by_tenant: Mapping[str, TargetSettings] = Field(
        {}, description="By the caller's tenant; for others the rule does not match."
    )
    sticky: Annotated[str, StringConstraints(pattern=r"^(none|principal|tenant|(header|parameter):.+)$")] = (
        Field(
            "none",
            description="What always leads to one arm: principal, tenant, header:<name>, parameter:<name>.",
        )
    )
    salt: str = Field("", description="Another one deals the arms anew; the rule's name, if left out.")
    fallback: TargetSettings | None = Field(None, description="Who answers while the one chosen is down.")

    @model_validator(mode="after")
    def _is_whole(self) -> RuleSettings:
        outcomes = [bool(self.target), bool(self.arms), bool(self.by_tenant)]
        if sum(outcomes) != 1:
            raise ValueError(f"rule '{self.name}' must have exactly one of target, arms and by_tenant")
        if self.arms and not sum(arm.weight for arm in self.arms):
            raise ValueError(f"rule '{self.name}': all weights are 0")
        if self.sticky != "none" and not self.arms:
            raise ValueError(f"rule '{self.name}': sticky is for arms")
        return self


class RoutingSettings(_Settings):
    """[plugins.settings.routing]"""

    rules: tuple[RuleSettings, ...] = Field((), description="The first that matches a request decides.")
    aliases: bool = Field(
        False,
        description="mm-vmodel-id, mm-model-id and serve_multiplexed_model_id, as headers, name the model.",
    )

    @model_validator(mode="after")
    def _can_be_reached(self) -> RoutingSettings:
        seen: dict[str, str] = {}
        names = set[str]()
        for rule in self.rules:
            if rule.name in names:
                raise ValueError(f"two rules are called '{rule.name}'")
            names.add(rule.name)
            hidden = [seen.get(model) or seen.get("*") for model in rule.match.models]
            if all(hidden):
                raise ValueError(f"rule '{rule.name}' is never reached: '{hidden[0]}' takes all of it")
            if rule.match.is_unconditional and not rule.by_tenant:
                seen.update(dict.fromkeys(rule.match.models, rule.name))
        return self
