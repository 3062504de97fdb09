from __future__ import annotations

from math import inf

import pytest

from gateway.core.grants import parse_grant
from gateway_plugins.api_keys.keys import Key, hashed
from gateway_plugins.api_keys.known import known_of, owner_of, principal_of
from gateway_plugins.api_keys.store import Entry

PEPPER = b"p" * 32
KEY = Key("abcdefghij12", "s" * 43)
GRANTS = (parse_grant("infer:*"),)


def entry(expires: float | None = None, revoked: float | None = None) -> Entry:
    return Entry(KEY.id, hashed(PEPPER, KEY.secret), "anna", "shop", GRANTS, 0.0, expires, revoked, None)


@pytest.mark.parametrize(
    ("stored", "key", "pepper", "is_known"),
    [
        (entry(), KEY, PEPPER, True),
        (entry(expires=101.0), KEY, PEPPER, True),
        (entry(expires=100.0), KEY, PEPPER, False),
        (entry(revoked=50.0), KEY, PEPPER, False),
        (entry(), KEY._replace(secret="t" * 43), PEPPER, False),
        (entry(), KEY._replace(id="abcdefghij13"), PEPPER, False),
        (entry(), KEY, b"q" * 32, False),
        (entry()._replace(hash=bytes(32)), KEY, PEPPER, False),
    ],
)
def test_whose_key_it_is(stored: Entry, key: Key, pepper: bytes, is_known: bool) -> None:
    known = known_of([stored], 5.0)
    assert owner_of(known, pepper, key, wall=100.0) == (stored if is_known else None)


@pytest.mark.parametrize(("expires", "recheck_at"), [(None, 12.0), (101.0, 11.0), (200.0, 12.0)])
def test_an_owner_is_good_until_the_next_look_or_the_keys_end(
    expires: float | None, recheck_at: float
) -> None:
    principal = principal_of(entry(expires), now=10.0, wall=100.0, recheck_s=2.0)
    assert (principal.id, principal.tenant, principal.grants) == ("anna", "shop", GRANTS)
    assert (principal.method, principal.recheck_at) == ("api_key", recheck_at)
    assert recheck_at < inf
