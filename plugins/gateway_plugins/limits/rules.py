"""Which limits a caller meets at a model, and what is said of each.

DESIGN: a request is first held against all its limits, and takes from them only when none refuses: a
refusal has changed nothing, so there is nothing to give back. Taking first and giving back would have to
put a token into a bucket that may have filled up meanwhile, and show other rules a use that never was. It
is safe because nothing waits between the two. Which rules match is remembered for (caller, model): patterns
are compared once, and a request costs one look-up and one look at each of its buckets.

Where callers are not known, the name of a model is whatever they write: a rule per model should have one
per caller beside it, whose refusals keep made-up names from taking its keys.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final, NamedTuple

from gateway.core.caller import Principal, matches
from gateway.core.errors import GatewayError, Overloaded, QuotaExceeded
from gateway_plugins.limits.bucket import Bucket
from gateway_plugins.limits.concurrency import Counters
from gateway_plugins.limits.settings import ALL, LimitsSettings, Patterns, Rule
from gateway_plugins.limits.table import Table

# When a place will be free nobody knows.
_RETRY_S = 1.0
# No model has a longer name (it is a folder's): those that do not exist share one key.
_MAX_NAME = 255


class Limit:
    """What is said of one limit: `kind` is QuotaExceeded where it is about callers, Overloaded where not."""

    __slots__ = ("kind", "name", "refusals", "text")

    def __init__(self, rule: Rule, what: str) -> None:
        self.name: Final = rule.name
        self.refusals = 0
        self.kind: Final = QuotaExceeded if _is_about_callers(rule) else Overloaded
        self.text: Final = f"limit '{rule.name}': no more than {what} {_each(rule)}"

    def refusal(self, retry_after_s: float) -> GatewayError:
        """What is raised; the text says which limit it was, and nothing that the caller may not know."""
        self.refusals += 1
        return self.kind(self.text, retry_after_s=retry_after_s)


class RateLimit(Limit):
    """The rate of one rule in this front: its share of it, for each key."""

    __slots__ = ("table",)

    def __init__(self, rule: Rule, rate: float, fronts: int, keys: int) -> None:
        burst = max(rate, 1.0) if rule.burst is None else rule.burst
        super().__init__(rule, f"{rate:g} requests per second (and {burst:g} at once)")
        # A front has at least one token, or it would never let anybody in.
        self.table: Final = Table(Bucket.of(rate / fronts, max(burst / fronts, 1.0)), keys)


class PlaceLimit(Limit):
    """The concurrency of one rule in this front."""

    __slots__ = ("counters", "most")

    def __init__(self, rule: Rule, most: int, fronts: int) -> None:
        super().__init__(rule, f"{most} requests at a time")
        self.counters: Final = Counters()
        self.most: Final = most // fronts
        if not self.most:
            raise ValueError(f"rules: concurrency {most} of '{rule.name}' is less than one for each front")


class Plan:
    """The limits that one caller meets at one model, each with its key there.

    `places` is where an admitted request is counted.
    """

    __slots__ = ("counts", "places", "priority_floor", "rates")

    def __init__(
        self,
        rates: tuple[tuple[RateLimit, Hashable], ...],
        counts: tuple[tuple[PlaceLimit, Hashable], ...],
        places: tuple[tuple[Counters, Hashable], ...],
        priority_floor: int,
    ) -> None:
        self.rates: Final = rates
        self.counts: Final = counts
        self.places: Final = places
        self.priority_floor: Final = priority_floor

    def check(self, now: float) -> None:
        """Raises the refusal of the limit that has to be waited for longest; changes nothing."""
        longest_s, refusing = 0.0, None
        for rate, key in self.rates:
            wait_s = rate.table.wait_s(key, now)
            if wait_s > longest_s:
                longest_s, refusing = wait_s, rate
        if refusing is not None:
            raise refusing.refusal(longest_s)
        for count, key in self.counts:
            if count.counters.of(key) >= count.most:
                raise count.refusal(_RETRY_S)

    def take(self, now: float) -> None:
        """Takes a token of each rate; must follow a `check` of the same moment."""
        for rate, key in self.rates:
            rate.table.take(key, now)


class _InForce(NamedTuple):
    rule: Rule
    rate: RateLimit | None
    places: PlaceLimit | None


class Rules:
    """All rules in this front. Invariant: no more is remembered than `keys` for each rule and for plans.

    Raises ValueError for rules that say nothing, or two things.
    """

    def __init__(self, settings: LimitsSettings) -> None:
        _check_names(settings.rules)
        fronts, keys = settings.fronts, settings.keys
        self._in_force: Final = [_in_force(rule, fronts, keys) for rule in settings.rules]
        self._keys: Final = keys
        self._plans: dict[tuple[str, str, str], Plan] = {}

    def refusals(self) -> Iterator[tuple[str, str, int]]:
        """How many each limit has refused: the rule's name, which of its limits, the count."""
        for one in self._in_force:
            if one.rate is not None:
                yield one.rate.name, "rate", one.rate.refusals
            if one.places is not None:
                yield one.places.name, "concurrency", one.places.refusals

    def admitted(self, principal: Principal | None, model: str, now: float) -> Plan:
        """What they meet, held against it and taken from; raises the refusal, which has taken nothing."""
        plan = self.plan(principal, model)
        plan.check(now)
        plan.take(now)
        return plan

    def plan(self, principal: Principal | None, model: str) -> Plan:
        """What they meet; callers that are not known are one caller, whose id and tenant are ""."""
        if len(model) > _MAX_NAME:
            model = ""
        asked = ("", "", model) if principal is None else (principal.tenant, principal.id, model)
        plan = self._plans.get(asked)
        if plan is None:
            if len(self._plans) >= self._keys:
                self._plans.clear()
            plan = self._plans[asked] = self._made(*asked)
        return plan

    def _made(self, tenant: str, principal: str, model: str) -> Plan:
        # Two tenants may each have a "batch-1": those are two callers.
        values: dict[str, Hashable] = {
            "principal": (tenant, principal),
            "tenant": tenant,
            "model": model,
            "gateway": "",
        }
        met = [
            (one, tuple([values[subject] for subject in one.rule.per]))
            for one in self._in_force
            if _is_about(one.rule, tenant, principal, model)
        ]
        rates = tuple([(one.rate, key) for one, key in met if one.rate is not None])
        counts = tuple([(one.places, key) for one, key in met if one.places is not None])
        places = tuple([(count.counters, key) for count, key in counts])
        return Plan(rates, counts, places, max([one.rule.priority_floor for one, _ in met], default=0))


def _in_force(rule: Rule, fronts: int, keys: int) -> _InForce:
    if "gateway" in rule.per and len(rule.per) > 1:
        raise ValueError(f"rules: per of '{rule.name}': gateway is all there is, and goes with nothing else")
    if len(set(rule.per)) < len(rule.per):
        raise ValueError(f"rules: per of '{rule.name}' names something twice")
    if rule.rate is None and rule.burst is not None:
        raise ValueError(f"rules: burst of '{rule.name}' needs a rate")
    if rule.rate is None and rule.concurrency is None and not rule.priority_floor:
        raise ValueError(f"rules: '{rule.name}' needs a rate, a concurrency or a priority_floor")
    rate = None if rule.rate is None else RateLimit(rule, rule.rate, fronts, keys)
    places = None if rule.concurrency is None else PlaceLimit(rule, rule.concurrency, fronts)
    return _InForce(rule, rate, places)


def _check_names(rules: tuple[Rule, ...]) -> None:
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"rules: there are two called '{name}'")


def _is_about(rule: Rule, tenant: str, principal: str, model: str) -> bool:
    of = rule.match
    return _has(of.principals, principal) and _has(of.tenants, tenant) and _has(of.models, model)


def _has(patterns: Patterns, name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)


def _is_about_callers(rule: Rule) -> bool:
    """True where it is a quota of somebody: by what it is per, or by whom it is about."""
    of = rule.match
    return bool({"principal", "tenant"}.intersection(rule.per)) or of.principals != ALL or of.tenants != ALL


def _each(rule: Rule) -> str:
    return "in all" if "gateway" in rule.per else f"for each {' and '.join(rule.per)}"
