"""What a token is and is not, before anything of it is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.jwt_auth.tokens import Reason, Refused, parse_token, read_object
from tests.fakes.tokens import claims, header, segment, signer, token

MAX = 8192
HEAD, BODY = segment(header(signer())), segment(claims())
# The last of four characters of "e30" has two bits that mean nothing: "e31" is the same bytes.
EMPTY, EMPTY_RESPELLED = "e30", "e31"


def with_claims(part: str | bytes) -> str:
    return f"{HEAD}.{segment(part)}.c2ln"


def reason_of(text: str) -> Reason:
    with pytest.raises(Refused) as caught:
        parse_token(text, MAX)
    return caught.value.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.NO_JWT),
        ("gw_a_b_c", Reason.NO_JWT),
        ("a.b", Reason.NO_JWT),
        (f"{HEAD}.{BODY}", Reason.NO_JWT),
        (f"{HEAD}.{BODY}.c2ln.c2ln", Reason.NO_JWT),
        (f"{HEAD}.k.i.c.t", Reason.NO_JWT),  # five parts: encrypted
        (f"{HEAD}..c2ln", Reason.NO_JWT),
        (f".{BODY}.c2ln", Reason.NO_JWT),
        (f"{HEAD}=.{BODY}.c2ln", Reason.NO_JWT),
        (f"{HEAD}.{BODY}.c2l+", Reason.NO_JWT),
        (f"{HEAD}.{BODY}.c2l/", Reason.NO_JWT),
        (f"{HEAD}.{BODY}.c2ln\n", Reason.NO_JWT),
        (f" {HEAD}.{BODY}.c2ln", Reason.NO_JWT),
        (f"{HEAD}. {BODY}.c2ln", Reason.NO_JWT),
        (f"{HEAD}.{BODY}.\u017f\u017f\u017f\u017f", Reason.NO_JWT),
        # Other credentials have three parts, too.
        (f"{segment('12345')}.abcd.c2ln", Reason.NO_JWT),
        (f"{segment('[1]')}.{BODY}.c2ln", Reason.NO_JWT),
        (f"{EMPTY_RESPELLED}.{BODY}.c2ln", Reason.NO_JWT),
        (f"{segment(b'{')}.{BODY}.c2ln", Reason.NO_JWT),
        (f"{HEAD}.{BODY}.{'a' * MAX}", Reason.TOO_LARGE),
        (f"{HEAD}.{EMPTY_RESPELLED}.c2ln", Reason.MALFORMED),
        (f"{HEAD}.{BODY}.c2lnYQ1", Reason.MALFORMED),
        (f"{HEAD}.{BODY}.YR", Reason.MALFORMED),
        (f"{HEAD}.{BODY}.a", Reason.MALFORMED),
        (with_claims("[]"), Reason.MALFORMED),
        (with_claims("null"), Reason.MALFORMED),
        (with_claims(b"{}{}"), Reason.MALFORMED),
        (with_claims("{}".encode("utf-16")), Reason.MALFORMED),
        (with_claims(b"\xef\xbb\xbf{}"), Reason.MALFORMED),
        (with_claims(b'{"a": "\xff"}'), Reason.MALFORMED),
        (with_claims('{"exp": NaN}'), Reason.MALFORMED),
        (with_claims('{"exp": Infinity}'), Reason.MALFORMED),
        (with_claims('{"exp": ' + "9" * 5000 + "}"), Reason.MALFORMED),
        (with_claims('{"a":' + "[" * 5000 + "]" * 5 + "}"), Reason.MALFORMED),
        (with_claims('{"sub": "a", "sub": "b"}'), Reason.DUPLICATE),
        (with_claims('{"sub": "a", "s\\u0075b": "b"}'), Reason.DUPLICATE),
        (with_claims('{"a": [{"b": 1, "b": 1}]}'), Reason.DUPLICATE),
        (segment('{"alg": "none", "alg": "ES256"}') + f".{BODY}.c2ln", Reason.DUPLICATE),
    ],
)
def test_what_is_none_says_why(text: str, reason: Reason) -> None:
    assert reason_of(text) is reason


def test_one_without_a_signature_is_a_token_to_be_refused() -> None:
    assert parse_token(f"{HEAD}.{BODY}.", MAX).signature == b""


def test_the_limit_is_the_last_length_that_is_read() -> None:
    text = token()
    assert parse_token(text, len(text)).claims["sub"] == "anna"
    with pytest.raises(Refused) as caught:
        parse_token(text, len(text) - 1)
    assert caught.value.reason is Reason.TOO_LARGE


@given(st.text(alphabet="abcXYZ019-_.= \n+/é", max_size=60) | st.text(max_size=40))
def test_nothing_but_a_token_or_a_refusal_comes_of_any_text(text: str) -> None:
    try:
        parse_token(text, MAX)
    except Refused:
        return
    assert text.count(".") == 2


@given(st.binary(max_size=80))
def test_any_bytes_are_an_object_or_a_refusal(data: bytes) -> None:
    try:
        assert isinstance(read_object(data), dict)
    except (ValueError, Refused):
        return
