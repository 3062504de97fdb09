"""[plugins.settings.limits]"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Subject = Literal["principal", "tenant", "model", "gateway"]
Patterns = tuple[str, ...]
ALL: Patterns = ("*",)


def _listed(one: Any) -> Any:
    return [one] if isinstance(one, str) else one


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Section):
    """Whom a rule is about; `*` stands for any text, and nobody in particular is ""."""

    principals: Patterns = Field(ALL, description="Ids of callers, one pattern of which must match.")
    tenants: Patterns = Field(ALL, description="Their tenants, one pattern of which must match.")
    models: Patterns = Field(ALL, description="The models they ask, one pattern of which must match.")


class Rule(_Section):
    """One limit, in force for each key of `per` by itself."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="What refusals call it.")
    per: Annotated[tuple[Subject, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="For each of what it holds by itself: principal, tenant, model, or gateway."
    )
    match: Match = Field(Match(), description="Whom it is about; everybody where it is left out.")
    rate: float | None = Field(None, gt=0.0, le=1e9, description="Requests per second, in the long run.")
    burst: float | None = Field(
        None, ge=1.0, description="Requests at once after a pause; a second's worth where it is left out."
    )
    concurrency: int | None = Field(None, ge=1, description="Requests under way at a time.")
    priority_floor: int = Field(
        0, ge=0, le=8, description="What its callers say of priority counts as no more urgent than this."
    )


class AdaptiveSettings(_Section):
    """A limit of requests under way for each model, learnt from how long they take."""

    enabled: bool = Field(False, description="Whether it is learnt and kept.")
    models: Patterns = Field(
        ALL, description="For which models; leave out those that stream, which take as long as they like."
    )
    min: int = Field(4, ge=1, description="The least; at least what all instances run in a batch at a time.")
    max: int = Field(200, ge=1, description="The most.")
    initial: int = Field(20, ge=1, description="From where on it learns.")
    queue: float = Field(4.0, gt=0.0, description="How many may wait, and how fast it grows.")
    smoothing: float = Field(0.2, gt=0.0, le=1.0, description="The part of a change that one window makes.")
    tolerance: float = Field(1.5, ge=1.0, description="How many times the usual latency is in good time.")
    window_s: float = Field(1.0, gt=0.0, description="How often the limit changes.")
    least: int = Field(10, ge=1, description="How many requests a window needs, however long that takes.")
    long_windows: int = Field(60, ge=10, description="Over how many windows the usual latency is averaged.")


class CodelSettings(_Section):
    """Newcomers are shed while a model's shortest wait in an interval is above the target."""

    enabled: bool = Field(False, description="Whether standing queues are shed.")
    models: Patterns = Field(ALL, description="For which models.")
    target_s: float = Field(
        0.1, gt=0.0, description="The wait that is no sign of overload; above what batches wait to fill up."
    )
    interval_s: float = Field(
        0.2, gt=0.0, description="For how long all waits must be above it; some batches should end in that."
    )


class RetryStormSettings(_Section):
    """Callers that try again are refused first while a model refuses too much."""

    enabled: bool = Field(False, description="Whether retries are told apart.")
    share: float = Field(0.1, gt=0.0, lt=1.0, description="The part of requests refused that makes a storm.")
    window_s: float = Field(10.0, gt=0.0, description="Over which time it is counted.")
    least: int = Field(20, ge=1, description="How many requests a window needs for there to be a storm.")


class LimitsSettings(_Section):
    """[plugins.settings.limits]"""

    rules: tuple[Rule, ...] = Field((), description="What callers are held to; all that match count.")
    fronts: int = Field(
        1, ge=1, description="How many fronts serve: each keeps its own count, and gets its share of a rule."
    )
    keys: int = Field(10_000, ge=1, description="How many busy keys a rule tells apart.")
    default_priority: int = Field(1, ge=1, le=8, description="What a request that says none counts as.")
    adaptive: AdaptiveSettings = Field(AdaptiveSettings(), description="Our limit for each model, learnt.")
    codel: CodelSettings = Field(CodelSettings(), description="Shedding for standing queues.")
    retry_storm: RetryStormSettings = Field(RetryStormSettings(), description="Shedding of retries.")
