"""From a request to who answers it: pure, with time and chance as arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from gateway.core.caller import Caller, matches
from gateway.core.messages import InferRequest
from gateway.hooks.values import IsUp, Target
from gateway_plugins.routing.buckets import BUCKETS, arm_of, bounds_of, bucket_of
from gateway_plugins.routing.settings import MatchSettings, RuleSettings, WindowSettings
from gateway_plugins.routing.windows import DAYS, Window, any_holds, parse_time
from gateway_plugins.targets import TargetSettings


class Choice(NamedTuple):
    """Who answers, by which rule, and as which of its arms (0 where it has none).

    `number` counts the arms of all rules; an arm of a rule by tenant is the rule.
    """

    target: Target
    rule: str
    arm: int
    number: int


class Rule:
    """A rule made ready: `is_plain` where nothing but the model's name has to fit."""

    __slots__ = ("bounds", "by_tenant", "choices", "fallback", "is_plain", "match", "salt", "unit", "windows")

    def __init__(self, settings: RuleSettings, number: int) -> None:
        name, targets = settings.name, settings.arms
        self.match: Final = settings.match
        self.is_plain: Final = self.match.model_copy(update={"models": ("*",)}) == MatchSettings()
        self.windows: Final = tuple([_window(one) for one in self.match.windows])
        self.by_tenant: Final = {
            tenant: Choice(_target(one), name, 0, number) for tenant, one in settings.by_tenant.items()
        }
        only = () if settings.target is None else (settings.target,)
        self.choices: Final = tuple([
            Choice(_target(one), name, arm, number + arm) for arm, one in enumerate(targets or only)
        ])
        self.bounds: Final = bounds_of([arm.weight for arm in targets]) if targets else ()
        self.salt: Final = settings.salt or name
        self.unit: Final = _unit(settings.sticky)
        self.fallback: Final = None if settings.fallback is None else _target(settings.fallback)


class Rules:
    """A list of rules: those for one model's name by that name, those with patterns for all others too.

    Invariant: for each name the rules stand in the order of the list.
    """

    def __init__(self, settings: Sequence[RuleSettings]) -> None:
        # Each arm of each rule, by its number.
        self.arms: Final = [(one.name, arm) for one in settings for arm in range(max(1, len(one.arms)))]
        rules = [Rule(one, self.arms.index((one.name, 0))) for one in settings]
        names = {model for one in settings for model in one.match.models if "*" not in model}
        self._by_name: Mapping[str, tuple[Rule, ...]] = {
            name: tuple([rule for rule in rules if _fits(rule.match.models, name)]) for name in names
        }
        self._others = tuple([rule for rule in rules if any("*" in one for one in rule.match.models)])

    def choose(
        self,
        request: InferRequest,
        caller: Caller,
        wall: float,
        draw: Callable[[], float],
        is_up: IsUp,
    ) -> Choice | None:
        """Who answers; None where no rule is for this request. `draw` gives 0 to below 1."""
        name = request.model
        rules = self._by_name.get(name)
        for rule in self._others if rules is None else rules:
            if not rule.is_plain and not _matches(rule, request, caller, wall):
                continue
            if rules is None and not _fits(rule.match.models, name):
                continue
            choice = _chosen(rule, request, caller, draw)
            if choice is not None:
                return choice if rule.fallback is None else _standing(choice, rule.fallback, is_up)
        return None


def _matches(rule: Rule, request: InferRequest, caller: Caller, wall: float) -> bool:
    match, principal = rule.match, caller.principal
    if match.protocol and match.protocol != request.protocol:
        return False
    if match.versions and not _fits(match.versions, str(request.version)):
        return False
    if match.principals and (principal is None or not _fits(match.principals, principal.id)):
        return False
    if match.tenants and (principal is None or not _fits(match.tenants, principal.tenant)):
        return False
    for name, pattern in match.headers.items():
        value = caller.header(name)
        if value is None or not matches(pattern, value):
            return False
    for name, pattern in match.parameters.items():
        parameter = request.parameters.get(name)
        if parameter is None or not matches(pattern, str(parameter)):
            return False
    return any_holds(rule.windows, wall)


def _chosen(rule: Rule, request: InferRequest, caller: Caller, draw: Callable[[], float]) -> Choice | None:
    choices = rule.choices
    if not choices:
        return rule.by_tenant.get(caller.tenant)
    if len(choices) == 1:
        return choices[0]
    unit = rule.unit(request, caller)
    bucket = int(draw() * BUCKETS) if unit is None else bucket_of(rule.salt, unit)
    return choices[arm_of(rule.bounds, bucket)]


def _standing(choice: Choice, fallback: Target, is_up: IsUp) -> Choice:
    """The choice, or the fallback while it is down; if that is down too there is no use in it."""
    if is_up(choice.target.model, choice.target.version) or not is_up(fallback.model, fallback.version):
        return choice
    return choice._replace(target=fallback)


def _fits(patterns: Sequence[str], text: str) -> bool:
    return any(matches(pattern, text) for pattern in patterns)


def _unit(sticky: str) -> Callable[[InferRequest, Caller], str | None]:
    """What leads to one arm; None where the request has nothing of it, and chance decides."""
    what, _, name = sticky.partition(":")
    match what:
        case "principal":
            return lambda request, caller: None if caller.principal is None else caller.principal.id
        case "tenant":
            return lambda request, caller: None if caller.principal is None else caller.principal.tenant
        case "header":
            return lambda request, caller: caller.header(name)
        case "parameter":
            return lambda request, caller: _text(request.parameters.get(name))
    return lambda request, caller: None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _target(settings: TargetSettings) -> Target:
    return Target(settings.model, settings.version)


def _window(settings: WindowSettings) -> Window:
    days = frozenset(DAYS.index(day) for day in settings.days)
    return Window(days, parse_time(settings.begins), parse_time(settings.ends), ZoneInfo(settings.timezone))
