from __future__ import annotations

import json

import pytest

from gateway.frontends.v2_rest.fixed import FixedExtensions
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService


def ask(method, path, body=b""):
    exchange = FakeExchange(Head(method, path, (), http_version="1.1"))
    endpoints = FixedExtensions(FakeInferenceService()).find(path.split(b"/")[2:])
    endpoints[method].handle(exchange, body, None)
    return exchange.status, json.loads(exchange.body)


@pytest.mark.parametrize("kind", [b"systemsharedmemory", b"cudasharedmemory"])
def test_shared_memory(kind):
    for path in (b"/v2/%b/status", b"/v2/%b/region/a/status"):
        assert ask(b"GET", path % kind) == (200, [])
    for path in (b"/v2/%b/region/a/register", b"/v2/%b/unregister", b"/v2/%b/region/a/unregister"):
        status, answer = ask(b"POST", path % kind, b'{"key":"/x","offset":0,"byte_size":1}')
        assert (status, answer["error"].startswith("Client shared memory is disabled")) == (501, True)


TRACE = {
    "trace_file": "",
    "trace_level": ["OFF"],
    "trace_rate": "1000",
    "trace_count": "-1",
    "log_frequency": "0",
}


@pytest.mark.parametrize("path", [b"/v2/trace/setting", b"/v2/models/fr%61ud/trace/setting"])
def test_trace_settings(path):
    assert ask(b"GET", path) == (200, TRACE)
    assert ask(b"POST", path, b'{"trace_level":null}') == (200, TRACE)
    for name in TRACE:
        status, answer = ask(b"POST", path, json.dumps({name: "1"}).encode())
        assert (status, f"'{name}'" in answer["error"]) == (501, True)
    assert ask(b"POST", path, b'{"x":1}')[0] == 400
    assert ask(b"POST", path, b"[]")[0] == 400


@pytest.mark.parametrize(("model", "status"), [(b"none", 404), (b"a%2fb", 400), (b"\xff", 400)])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_trace_settings_of_no_model(method, model, status):
    assert ask(method, b"/v2/models/%b/trace/setting" % model)[0] == status


def test_log_settings():
    status, answer = ask(b"GET", b"/v2/logging")
    assert (status, answer["log_file"], answer["log_format"]) == (200, "", "default")
    assert ask(b"POST", b"/v2/logging", b"{}") == (200, answer)
    for name, value in answer.items():
        status, told = ask(b"POST", b"/v2/logging", json.dumps({name: value}).encode())
        assert (status, f"'{name}'" in told["error"]) == (501, True)


@pytest.mark.parametrize(
    "path",
    [
        [b"logging", b""],
        [b"trace"],
        [b"systemsharedmemory"],
        [b"systemsharedmemory", b"register"],
        [b"models", b"fraud", b"versions", b"1", b"trace", b"setting"],
    ],
)
def test_other_paths_are_not_theirs(path):
    assert FixedExtensions(FakeInferenceService()).find(path) is None
