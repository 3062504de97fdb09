from __future__ import annotations

import json

import pytest

from gateway.frontends.v2_rest.fixed import FixedExtensions
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange


def ask(method, path, body=b""):
    exchange = FakeExchange(Head(method, path, (), http_version="1.1"))
    endpoints = FixedExtensions().find(path.split(b"/")[2:])
    endpoints[method].handle(exchange, body, None)
    return exchange.status, json.loads(exchange.body)


@pytest.mark.parametrize("kind", [b"systemsharedmemory", b"cudasharedmemory"])
def test_shared_memory(kind):
    for path in (b"/v2/%b/status", b"/v2/%b/region/a/status"):
        assert ask(b"GET", path % kind) == (200, [])
    for path in (b"/v2/%b/region/a/register", b"/v2/%b/unregister", b"/v2/%b/region/a/unregister"):
        status, answer = ask(b"POST", path % kind, b'{"key":"/x","offset":0,"byte_size":1}')
        assert (status, answer["error"].startswith("Client shared memory is disabled")) == (501, True)


@pytest.mark.parametrize(
    "path",
    [
        [b"logging"],
        [b"trace", b"setting"],
        [b"systemsharedmemory"],
        [b"systemsharedmemory", b"register"],
        [b"models", b"fraud", b"versions", b"1", b"trace", b"setting"],
    ],
)
def test_other_paths_are_not_theirs(path):
    assert FixedExtensions().find(path) is None
