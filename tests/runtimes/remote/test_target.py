from __future__ import annotations

import pytest

from gateway.runtimes.remote.target import OPTIONS, PRIVATE_OPTIONS, OptionRefused, Target, parse


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", Target("http", "http://127.0.0.1:8000", False)),
        ("http://triton", Target("http", "http://triton:80", False)),
        ("https://models.example.org/team-a/", Target("http", "https://models.example.org:443/team-a", True)),
        ("http://[::1]:8000", Target("http", "http://[::1]:8000", False)),
        ("grpc://triton:8001", Target("grpc", "triton:8001", False)),
        ("grpcs://[::1]:8001/", Target("grpc", "[::1]:8001", True)),
    ],
)
def test_urls(url: str, expected: Target) -> None:
    assert parse({"url": url}) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "triton:8000",
        "ftp://a:1",
        "file:///etc/passwd",
        "unix:///tmp/s",
        "http://",
        "http://:80",
        "http://user:secret@a",
        "http://a?x=1",
        "http://a#x",
        "http://a/../b",
        "http://a/%2e%2e",
        "http://a b",
        "http://a\r\nX: y",
        "http://a:99999",
        "http://a:0x50",
        "grpc://a",
        "grpc://a:1/path",
        "http://ä",
        "http://a/\n",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(OptionRefused) as caught:
        parse({"url": url})
    assert caught.value.key == "url"
    assert "secret" not in str(caught.value)


def test_every_option_is_taken() -> None:
    given = {
        "url": "https://a",
        "model_name": "their/model",
        "model_version": "3",
        "timeout_ms": "1500",
        "max_in_flight": "8",
        "retries": "0",
        "max_response_bytes": "1024",
        "probe_interval_ms": "250",
        "failures_to_open": "2",
        "open_ms": "500",
        "ca_file": "ca.pem",
        "cert_file": "/run/certs/c.pem",
        "key_file": "/run/certs/k.pem",
        "token_file": "/run/secrets/token",
    }
    assert parse(given) == Target(
        "http",
        "https://a:443",
        True,
        "their/model",
        "3",
        1.5,
        8,
        0,
        1024,
        0.25,
        2,
        0.5,
        "ca.pem",
        "/run/certs/c.pem",
        "/run/certs/k.pem",
        "/run/secrets/token",
        "",
    )
    assert set(OPTIONS) == {*given, "token_env"}


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("timeout", "3", "is not one of url, model_name"),
        ("retries", "5", "'5' is not in 0..4"),
        ("retries", "-1", "'-1' is not in 0..4"),
        ("retries", "two", "'two' is not in 0..4"),
        ("timeout_ms", "0", "'0' is not in 1..3600000"),
        ("max_in_flight", "1025", "'1025' is not in 1..1024"),
        ("max_response_bytes", "1", "is not in 1024..1073741824"),
        ("model_name", "", "is not 1 to 256 of"),
        ("model_name", "a/../b", "is not 1 to 256 of"),
        ("model_version", "1/2", "is not 1 to 64 of"),
        ("ca_file", "../ca.pem", "is not a file of the version's folder"),
        ("token_file", "/run/../etc/shadow", "is not a file of the version's folder"),
        ("token_env", "A-B", "is not the name of an environment variable"),
        ("cert_file", "c.pem", "and cert_file go together"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(key: str, value: str, problem: str) -> None:
    with pytest.raises(OptionRefused) as caught:
        parse({"url": "https://a", key: value})
    assert problem in caught.value.problem


@pytest.mark.parametrize("key", sorted(PRIVATE_OPTIONS))
def test_no_refusal_quotes_what_callers_are_not_shown(key: str) -> None:
    with pytest.raises(OptionRefused) as caught:
        parse({"url": "https://a", key: "ftp://s3cr3t/../=="})
    assert caught.value.key == key
    assert "s3cr3t" not in str(caught.value)


def test_other_refusals_quote_the_value() -> None:
    with pytest.raises(OptionRefused, match="'1/2' is not 1 to 64 of"):
        parse({"url": "https://a", "model_version": "1/2"})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "http://a", "ca_file": "ca.pem"}, "needs a URL that begins with https://"),
        ({"url": "http://a", "token_env": "T"}, "is sent over TLS, or to loopback, alone"),
        ({"url": "grpc://a:1", "token_file": "t"}, "is sent over TLS, or to loopback, alone"),
        ({"url": "https://a", "token_file": "t", "token_env": "T"}, "contradicts token_file"),
    ],
)
def test_secrets_do_not_leave_in_the_clear(options: dict[str, str], problem: str) -> None:
    with pytest.raises(OptionRefused, match=problem):
        parse(options)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "grpc://localhost:1", "http://[::1]:1", "grpc://[::1]:1"]
)
def test_loopback_may_have_a_token(url: str) -> None:
    assert parse({"url": url, "token_env": "TOKEN"}).token_env == "TOKEN"
