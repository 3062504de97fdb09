"""Who somebody is, by the name in a certificate."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from gateway.core.caller import Credentials, Operation
from gateway.testing import Bench, start
from gateway_plugins.mtls import Mtls, MtlsSettings

SETTINGS = {
    "subjects": [
        {"subject": "ops", "principal": "operator", "grants": ["*:*"]},
        {"subject": "team-*", "tenant": "shop", "grants": ["infer:echo", "preview:echo"]},
    ]
}


def plugin() -> Mtls:
    return Mtls(MtlsSettings.model_validate(SETTINGS), start())


@pytest.mark.parametrize(
    ("subject", "principal", "tenant"),
    [("ops", "operator", ""), ("team-a", "team-a", "shop"), ("opsx", None, ""), (None, None, "")],
)
def test_the_first_pattern_that_fits_counts(subject: str | None, principal: str | None, tenant: str) -> None:
    found = plugin().authenticate(Credentials((), subject))
    if principal is None:
        assert found is None
    else:
        assert found is not None
        assert (found.id, found.tenant, found.method, found.recheck_at) == (principal, tenant, "mtls", inf)
        assert found.is_granted(Operation.INFER, "echo")


@pytest.mark.parametrize("subject", ["x" * 200, "a\x1b[31m"])
def test_a_name_that_could_forge_a_log_line_is_nobody(subject: str) -> None:
    settings = MtlsSettings.model_validate({"subjects": [{"subject": "*"}]})
    with pytest.raises(ValueError, match="printable"):
        Mtls(settings, start()).authenticate(Credentials((), subject))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"grants": ["fly:a"]}, "subjects.0: grant 'fly:a'"),
        ({"tenant": " a"}, "subjects.0: a tenant"),
        ({"principal": "a\n"}, "subjects.0: a principal"),
    ],
)
def test_settings_that_fit_nobody_are_refused(settings: dict[str, object], text: str) -> None:
    made = MtlsSettings.model_validate({"subjects": [{"subject": "a", **settings}]})
    with pytest.raises(ValueError, match=text):
        Mtls(made, start())


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_in_a_gateway(protocol: str) -> None:
    async def codes() -> list[str]:
        async with Bench(plugin()) as bench:
            answers = [
                await bench.infer("echo", {"x": [[1.0]]}, protocol=protocol, tls_subject=subject)
                for subject in ("team-a", "stranger", None)
            ]
            return [one.code for one in answers]

    refused = {"rest": "UNAUTHENTICATED", "grpc": "UNAUTHENTICATED"}[protocol]
    assert asyncio.run(codes()) == ["OK", refused, refused]
