from __future__ import annotations

import re

from gateway.cli.bench.hpack import encode_literal
from gateway.cli.bench.unique import Unique
from gateway.wire.http2.hpack import Decoder


def _decode(block: bytes) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in Decoder().decode(block)}


def test_every_field_changes_on_every_request_and_is_what_it_says() -> None:
    unique = Unique(encode_literal, timeout_us=5_000_000, tokens=(), seed=1)
    seen = [_decode(unique.next()) for _ in range(500)]
    for fields in seen:
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", fields["traceparent"])
        assert re.fullmatch(r"\d{8}u", fields["grpc-timeout"])
        assert 4_500_000 <= int(fields["grpc-timeout"][:-1]) <= 5_000_000
        assert re.fullmatch(r"Bearer [\w-]+\.[\w-]+\.[0-9a-f]{32}", fields["authorization"])
    for name in ("traceparent", "grpc-timeout", "authorization"):
        assert len({fields[name] for fields in seen}) == len(seen)


def test_tokens_of_the_user_come_in_turn_whatever_their_length() -> None:
    unique = Unique(encode_literal, timeout_us=None, tokens=("a%d", "bb" * 100), seed=1)
    tokens = [_decode(unique.next())["authorization"] for _ in range(3)]
    assert tokens == ["Bearer a%d", "Bearer " + "bb" * 100, "Bearer a%d"]


def test_a_long_timeout_keeps_to_the_eight_digits_that_grpc_takes() -> None:
    unique = Unique(encode_literal, timeout_us=10**12, tokens=(), seed=1)
    assert _decode(unique.next())["grpc-timeout"] == "99999999u"


def test_connections_with_other_seeds_send_other_values() -> None:
    first, second = (Unique(encode_literal, timeout_us=None, tokens=(), seed=seed) for seed in (1, 2))
    assert first.next() != second.next()


def test_header_lines_survive_percent_signs() -> None:
    unique = Unique(
        lambda name, value: b"%%" + name + b"=" + value + b"%s;", timeout_us=None, tokens=(), seed=1
    )
    assert unique.next().count(b"%%") == 2
