from __future__ import annotations

import msgspec
import pytest

from gateway.cli.bench.plan import (
    BenchError,
    Plan,
    Target,
    check_plan,
    parse_cpus,
    parse_duration,
    parse_header,
    parse_shape,
    parse_sweep,
    parse_url,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("100ms", 0.1), ("250us", 250e-6), ("2m", 120), ("1h", 3600), ("1.5", 1.5), (" 3s ", 3)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 s", "10x", "nan", "1e3s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("127.0.0.1:8000", Target("127.0.0.1", 8000)),
        ("http://localhost:80", Target("localhost", 80)),
        ("grpc://h:1/", Target("h", 1)),
        ("[::1]:8001", Target("::1", 8001)),
    ],
)
def test_urls(text: str, target: Target) -> None:
    assert parse_url(text) == target


def test_a_target_is_written_as_it_is_typed() -> None:
    assert str(Target("::1", 8001)) == "[::1]:8001"
    assert str(Target("h", 1)) == "h:1"


@pytest.mark.parametrize(
    "text", ["", "host", "host:0", "host:65536", "https://h:1", "a:b:1", "h:1/path", "u@h:1"]
)
def test_bad_urls_are_refused(text: str) -> None:
    with pytest.raises(BenchError, match="--url"):
        parse_url(text)


def test_shapes() -> None:
    assert parse_shape("x:1,30") == ("x", (1, 30))
    assert parse_shape("a:b:7") == ("a:b", (7,))
    assert parse_shape("x:") == ("x", ())
    for text in ("x", ":1", "x:-1", "x:1,", "x:a"):
        with pytest.raises(BenchError, match="--shape"):
            parse_shape(text)


def test_cpus() -> None:
    assert parse_cpus("1") == (1,)
    assert parse_cpus("0,4-6") == (0, 4, 5, 6)
    for text in ("", "a", "3-1", "-1"):
        with pytest.raises(BenchError, match="--cpus"):
            parse_cpus(text)


def test_headers() -> None:
    assert parse_header("X-Key: a:b ") == ("x-key", "a:b")
    for text in ("nothing", ": v"):
        with pytest.raises(BenchError, match="--header"):
            parse_header(text)


def test_sweeps() -> None:
    assert parse_sweep("1,2,4.5") == (1, 2, 4.5)
    for text in ("", "1,x", "2,1", "1,1", "0,1"):
        with pytest.raises(BenchError, match="--sweep"):
            parse_sweep(text)


@pytest.mark.parametrize(
    ("changes", "connections"),
    [
        ({}, 64),
        ({"concurrency": 10, "streams": 4, "protocol": "grpc"}, 3),
        ({"rate": 10.0}, 64),
        ({"connections": 5, "rate": 1.0}, 5),
        ({"concurrency": 2, "processes": 2}, 2),
    ],
)
def test_connections(changes: dict[str, object], connections: int) -> None:
    plan = msgspec.structs.replace(Plan(model="m"), **changes)
    check_plan(plan)
    assert plan.connection_count == connections


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"model": "a b"}, "model name"),
        ({"model": "../x"}, "model name"),
        ({"version": "one"}, "--version"),
        ({"streams": 2}, "--streams"),
        ({"concurrency": 0}, "--concurrency"),
        ({"rate": 0.0}, "--rate"),
        ({"rate": float("nan")}, "--rate"),
        ({"duration_s": 0.0}, "--duration"),
        ({"requests": 0}, "--requests"),
        ({"warmup_s": -1.0}, "--warmup"),
        ({"batch": 0}, "--batch"),
        ({"deadline_s": 0.0}, "--deadline"),
        ({"connections": 1, "processes": 2}, "--connections"),
        ({"connections": 65}, "more than the concurrency"),
        ({"connections": 2}, "carry at most"),
        ({"headers": (("a b", "c"),)}, "--header"),
        ({"headers": (("a", "b\r\nc: d"),)}, "--header"),
        ({"tokens": ("a b",)}, "--token-file"),
    ],
)
def test_contradictions_are_refused_by_option(changes: dict[str, object], option: str) -> None:
    with pytest.raises(BenchError, match=option):
        check_plan(msgspec.structs.replace(Plan(model="m"), **changes))
