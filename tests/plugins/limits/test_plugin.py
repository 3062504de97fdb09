"""The plugin through its hooks: who comes in, who does not, and that all is given back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.caller import ANYBODY, Caller, Principal
from gateway.core.errors import GatewayError, Overloaded, QuotaExceeded, Reason
from gateway.core.messages import InferRequest
from gateway.core.model import ModelKey
from gateway.core.records import RequestRecord
from gateway.hooks.values import Release
from gateway.testing import Bench, start
from gateway_plugins.limits.plugin import Limits
from gateway_plugins.limits.settings import LimitsSettings
from tests.fakes.plugins import hooks

QUIET = Caller(Principal("q", "quiet"))
NOISY = Caller(Principal("n", "noisy"))


class Front:
    """A front with the plugin in it, called through the hooks, and the time there."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.plugin = Limits(LimitsSettings.model_validate(settings), start(clock=lambda: self.now))
        self._hooks = hooks(self.plugin, clock=lambda: self.now)

    def admit(self, caller: Caller = ANYBODY, model: str = "m", **more: Any) -> list[Release]:
        releases: list[Release] = []
        hook = self._hooks.get("admit")
        assert hook is not None
        assert hook.gate(releases, InferRequest(model, 0, (), **more), caller) is None
        return releases

    def is_admitted(self, caller: Caller = ANYBODY, **more: Any) -> bool:
        try:
            self.admit(caller, **more)
        except GatewayError:
            return False
        return True

    def tell(self, record: RequestRecord) -> None:
        hook = self._hooks.get("on_request")
        assert hook is not None
        hook.notify(lambda waiting: pytest.fail("it is synchronous"), record)


def rule(per: str | list[str], **fields: Any) -> dict[str, Any]:
    return {"name": "-".join([per] if isinstance(per, str) else per), "per": per, **fields}


def test_without_rules_everybody_comes_in() -> None:
    assert Front().admit() == []


def test_a_rate_alone_has_nothing_to_give_back() -> None:
    front = Front(rules=[rule("tenant", rate=1)])
    assert front.admit() == []
    with pytest.raises(QuotaExceeded) as caught:
        front.admit()
    front.now += caught.value.retry_after_s or 0.0
    assert front.is_admitted()


@given(st.lists(st.floats(0.0, 0.3), max_size=200))
def test_a_quiet_tenant_is_never_refused_for_a_noisy_one(pauses: list[float]) -> None:
    front = Front(rules=[rule("tenant", rate=5, burst=3, concurrency=4)])
    quiet_at = front.now
    for pause in pauses:
        front.now += pause
        for _ in range(5):
            front.is_admitted(NOISY)
        if front.now >= quiet_at:
            for release in front.admit(QUIET):
                release()
            quiet_at = front.now + 0.2


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from("ab"), st.sampled_from("mn"), st.integers(0, 20)),
        max_size=150,
    )
)
def test_concurrency_stays_below_every_limit_and_comes_back_to_zero(
    steps: list[tuple[bool, str, str, int]],
) -> None:
    front = Front(
        rules=[rule("tenant", concurrency=3), rule("model", concurrency=4), rule("gateway", concurrency=5)]
    )
    inside: list[tuple[str, str, Release]] = []
    for enters, tenant, model, which in steps:
        if enters:
            tenants, models = (
                [one[0] for one in inside].count(tenant),
                [one[1] for one in inside].count(model),
            )
            fits = tenants < 3 and models < 4 and len(inside) < 5
            try:
                (release,) = front.admit(Caller(Principal("p", tenant)), model)
            except (QuotaExceeded, Overloaded):
                assert not fits
            else:
                assert fits
                inside.append((tenant, model, release))
        elif inside:
            inside.pop(which % len(inside))[2]()
    for _, _, release in inside:
        release()
        release()
    for tenant in "ab":
        plan = front.plugin._gate._rules.plan(Principal("p", tenant), "m")
        assert [counters.of(key) for counters, key in plan.places] == [0, 0, 0]


def test_a_refusal_takes_nothing_of_any_limit() -> None:
    front = Front(
        rules=[rule("principal", rate=1, burst=2), rule("model", concurrency=1, match={"models": ["m"]})],
        adaptive={"enabled": True, "min": 1, "initial": 2},
    )
    front.tell(RequestRecord("n", 1, "rest", None, 0.05, batch_rows=1))
    (release,) = front.admit(NOISY)
    for _ in range(10):
        assert not front.is_admitted(QUIET)
    release()
    (release,) = front.admit(QUIET)
    release()
    for name in "ab":
        front.admit(Caller(Principal(name)), "n")
    assert not front.is_admitted(QUIET, model="n")
    assert front.is_admitted(QUIET)  # its second token is still there


def test_a_quota_is_told_before_an_overload() -> None:
    front = Front(rules=[rule("tenant", rate=1)], adaptive={"enabled": True, "min": 1, "initial": 1})
    front.tell(RequestRecord("m", 1, "rest", None, 0.05, batch_rows=1))
    (release,) = front.admit(NOISY)
    with pytest.raises(QuotaExceeded):
        front.admit(NOISY)
    with pytest.raises(Overloaded):
        front.admit(QUIET)
    release()
    assert front.is_admitted(QUIET)


def test_a_floor_makes_callers_less_urgent_than_they_say() -> None:
    front = Front(
        rules=[rule("tenant", priority_floor=8, match={"tenants": ["noisy"]})],
        adaptive={"enabled": True, "initial": 10},
    )
    front.tell(RequestRecord("m", 1, "rest", None, 0.05, batch_rows=1))
    for _ in range(4):
        assert front.is_admitted(QUIET)
    assert not front.is_admitted(NOISY, priority=1)
    assert front.is_admitted(QUIET)
    assert not front.is_admitted(QUIET, priority=8)


def test_what_models_ask_of_each_other_is_not_asked_again() -> None:
    front = Front(rules=[rule("gateway", concurrency=1)])
    assert len(front.admit()) == 1
    assert front.admit(chain=(ModelKey("outer", 1),)) == []


def test_retries_are_refused_first_in_a_storm() -> None:
    front = Front(retry_storm={"enabled": True})
    for reason in (None, Reason.OVERLOADED) * 20:
        front.tell(RequestRecord("m", 1, "rest", reason, 0.0))
    assert front.is_admitted()
    assert not front.is_admitted(Caller(None, ((b"grpc-previous-rpc-attempts", b"1"),)))


def test_settings_that_fit_no_reality_are_refused() -> None:
    with pytest.raises(ValueError, match="rules: 'tenant' needs"):
        Front(rules=[rule("tenant")])


def test_refusals_are_on_the_page_by_limit() -> None:
    rules = [
        {"name": "few", "per": "gateway", "rate": 1, "burst": 1},
        {"name": "one", "per": "gateway", "concurrency": 9},
    ]

    async def run() -> dict[tuple[str, str, Any], float]:
        settings = LimitsSettings.model_validate({"rules": rules, "adaptive": {"enabled": True}})
        async with Bench(Limits(settings, start())) as bench:
            for _ in range(3):
                await bench.infer("echo", {"x": [[1.0]]})
            return bench.measures()

    told = asyncio.run(run())
    refused = {labels: value for (_, name, labels), value in told.items() if name == "refusals"}
    assert refused.pop((("rule", "few"), ("limit", "rate"))) == 2
    assert set(refused.values()) == {0}
    assert len(refused) == 4
    assert told["Limits", "adaptive_limit", (("model", "echo"),)] > 0
