"""Claims become a principal with grants."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.caller import Operation
from gateway_plugins.jwt_auth.callers import mapped, principal_of
from gateway_plugins.jwt_auth.settings import IssuerSettings
from gateway_plugins.jwt_auth.tokens import Reason, Refused
from tests.fakes.tokens import claims


def rules(**changes: Any) -> IssuerSettings:
    plain = {"issuer": "i", "audiences": ["a"], "algorithms": ["ES256"], "jwks_url": "https://a/"}
    return IssuerSettings.model_validate({**plain, **changes})


def may(body: dict[str, Any], model: str = "fraud-1", **changes: Any) -> bool:
    principal = principal_of(body, mapped(rules(**changes)), 1.0)
    return principal.is_granted(Operation.INFER, model)


def test_who_it_is() -> None:
    how = mapped(rules(principal_claim="azp", principal_prefix="corp:", tenant_claim="org"))
    principal = principal_of(claims(azp="cli", org="shop"), how, 7.0)
    assert (principal.id, principal.tenant) == ("corp:cli", "shop")
    assert (principal.method, principal.recheck_at) == ("jwt", 7.0)


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"sub": value}
            for value in (None, "", 7, ["anna"], "a" * 129, "a\nb", " a", "a\x1b[31m", "\ud800")
        ),
        *({"org": value} for value in (None, "", 7, ["shop"], "a\r\nb", "t" * 129)),
    ],
)
def test_names_that_are_none_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        principal_of(claims(**{"org": "shop", **changes}), mapped(rules(tenant_claim="org")), 0.0)
    assert caught.value.reason is Reason.CLAIM


@pytest.mark.parametrize(
    ("claim", "value", "body", "expected"),
    [
        ("groups", "ml-*", {"groups": ["x", "ml-fraud"]}, True),
        ("groups", "ml-*", {"groups": ["x", "xml-fraud"]}, False),
        ("groups", "ml-*", {"groups": [["ml-fraud"], {"ml-a": 1}, 7, None]}, False),
        ("groups", "*", {"groups": []}, False),
        ("groups", "*", {}, False),
        ("team", "ml", {"team": "ml"}, True),
        ("team", "ml", {"team": "the ml"}, False),
        ("scope", "gateway.infer", {"scope": "openid gateway.infer"}, True),
        ("scope", "gateway.infer", {"scope": "openid gateway.infer.none"}, False),
        ("scp", "infer", {"scp": ["infer"]}, True),
        ("realm_access.roles", "ml", {"realm_access": {"roles": ["ml"]}}, True),
        ("realm_access.roles", "ml", {"realm_access.roles": ["ml"]}, True),
        ("realm_access.roles", "ml", {"realm_access": "roles"}, False),
        ("https://a.example/roles", "ml", {"https://a.example/roles": "ml"}, True),
        ("a.b.c", "x", {"a": {"b": {"c": "x"}}}, True),
        ("admin", "*", {"admin": True}, False),
    ],
)
def test_a_value_gives_rights(claim: str, value: str, body: dict[str, Any], *, expected: bool) -> None:
    rights = [{"claim": claim, "value": value, "grants": ["infer:fraud*"]}]
    assert may(claims(**body), rights=rights) is expected


def test_what_all_may_and_what_nobody_gives() -> None:
    assert may(claims(), grants=["infer,preview:fraud*"])
    assert not may(claims(), "other", grants=["infer:fraud*"])
    assert not may(claims())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"grants": ["fly:a"]}, "grants: grant 'fly:a'"),
        ({"rights": [{"claim": "a", "value": "b", "grants": ["infer"]}]}, "rights.0.grants: grant 'infer'"),
        ({"principal_prefix": "a\n"}, "principal_prefix must be"),
    ],
)
def test_settings_that_fit_nobody_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        mapped(rules(**changes))
