"""The model repository extension over HTTP, from bytes to calls and back."""

from __future__ import annotations

import gzip
import json

import pytest

from gateway.core.errors import InvalidInput
from gateway.frontends.v2_rest.endpoints import Tools
from gateway.frontends.v2_rest.repository import EXTENSIONS
from gateway.frontends.v2_rest.routes import Rest
from gateway.frontends.v2_rest.settings import RestSettings
from gateway.pipeline.control import NoControl
from gateway.wire.exchange import Head
from tests.fakes.control import FakeRepositoryService
from tests.fakes.inference import FakeExchange, FakeInferenceService, FakeLease

INDEX = b"/v2/repository/index"
LOAD = b"/v2/repository/models/m/load"
UNLOAD = b"/v2/repository/models/m/unload"


def ask(target, body=b"", service=None, method=b"POST", headers=(), lease=None):
    tools = Tools(FakeInferenceService(), RestSettings(), lambda: 0.0, service or FakeRepositoryService())
    head = Head(method, target, headers, http_version="1.1")
    exchange = FakeExchange(head)
    Rest(tools, "gw", "1").route(head).handle(exchange, body, lease)
    return exchange


@pytest.mark.parametrize(
    ("body", "ready_only"), [(b"", False), (b"{}", False), (b' {"ready": true}', True), (b"\n", False)]
)
def test_the_index(body, ready_only):
    service = FakeRepositoryService()
    exchange = ask(INDEX, body, service)
    assert service.asked == [("index", ready_only)]
    assert (exchange.status, json.loads(exchange.body)) == (
        200,
        [
            {"name": "a", "version": "3", "state": "READY", "reason": ""},
            {"name": "b", "version": "", "state": "UNAVAILABLE", "reason": "faulty"},
        ],
    )


@pytest.mark.parametrize(
    ("target", "body", "asked"),
    [
        (LOAD, b"", ("load", "m", None, {})),
        (LOAD, b'{"parameters":{}}', ("load", "m", None, {})),
        (LOAD, b'{"parameters":{"config":"{}"}}', ("load", "m", "{}", {})),
        (
            LOAD,
            b'{"parameters":{"config":"{}","file:1/model.onnx":"YWJj","file:1/x":""}}',
            ("load", "m", "{}", {"1/model.onnx": b"abc", "1/x": b""}),
        ),
        (b"/v2/repository/models/%6d/load", b"", ("load", "m", None, {})),
        (UNLOAD, b"", ("unload", "m", False)),
        (UNLOAD, b'{"parameters":{"unload_dependents":true}}', ("unload", "m", True)),
    ],
)
def test_loads_and_unloads(target, body, asked):
    service = FakeRepositoryService()
    lease = FakeLease()
    exchange = ask(target, body, service, lease=lease)
    assert service.asked == [asked]
    assert (exchange.status, exchange.body, lease.holds) == (200, b"", 0)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        *((INDEX, b'{"ready":1}'), (INDEX, b"[]"), (INDEX, b"{"), (INDEX, b"\xff"), (INDEX, b"nan")),
        *((LOAD, b'{"parameters":[]}'), (LOAD, b'{"parameters":{"config":{}}}')),
        *((LOAD, b'{"parameters":{"file:1/x":"a"}}'), (LOAD, b'{"parameters":{"file:1/x":"\xc3\xa9YQ="}}')),
        *((LOAD, b'{"parameters":{"other":"x"}}'), (LOAD, b'{"parameters":{"config":"a","config":"b"}}')),
        (LOAD, b'{"parameters":{"config":"' + b"x" * 10 + b'"}, "a":' + b"[" * 200 + b"]" * 200 + b"}"),
        *((UNLOAD, b'{"parameters":{"unload_dependents":"true"}}'), (UNLOAD, b'{"parameters":{"x":true}}')),
        *((b"/v2/repository/models/%00/load", b""), (b"/v2/repository/models/..%2fx/unload", b"")),
    ],
)
def test_what_makes_no_sense_is_refused(target, body):
    service = FakeRepositoryService()
    exchange = ask(target, body, service)
    assert exchange.status == 400
    assert "error" in json.loads(exchange.body)
    assert service.asked == []


def test_a_refusal_is_told():
    for target in (INDEX, LOAD, UNLOAD):
        exchange = ask(target, b"", FakeRepositoryService(InvalidInput("failed to load 'm'")))
        assert (exchange.status, json.loads(exchange.body)["error"]) == (400, "failed to load 'm'")


def test_one_repository_of_several_is_not_supported():
    for target in (
        b"/v2/repository/r/index",
        b"/v2/repository/r/models/m/load",
        b"/v2/repository/r/models/m/unload",
    ):
        exchange = ask(target)
        assert exchange.status == 501
        assert json.loads(exchange.body)["error"] == "'repository_name' specification is not supported"


@pytest.mark.parametrize(
    "target",
    [
        *(
            b"/v2/repository",
            b"/v2/repository/",
            b"/v2/repository/models/m",
            b"/v2/repository/models/m/other",
        ),
        *(b"/v2/repository/models", b"/v2/repository/index/x", b"/v2/repository/a/b/models/m/load"),
    ],
)
def test_other_paths_are_not_found(target):
    assert ask(target).status == 404


def test_only_post():
    for target in (INDEX, LOAD, UNLOAD, b"/v2/repository/r/index"):
        exchange = ask(target, method=b"GET")
        assert (exchange.status, exchange.headers[b"allow"]) == (405, b"POST")


def test_compressed_bodies():
    service = FakeRepositoryService()
    body = gzip.compress(b'{"ready": true}')
    assert ask(INDEX, body, service, headers=((b"content-encoding", b"gzip"),)).status == 200
    assert service.asked == [("index", True)]
    assert ask(INDEX, b"x", service, headers=((b"content-encoding", b"gzip"),)).status == 400
    assert ask(INDEX, b"x", service, headers=((b"content-encoding", b"br"),)).status == 501


def test_who_goes_away_is_not_waited_for():
    service = FakeRepositoryService(holds=True)
    exchange = ask(LOAD, b"", service)
    assert exchange.is_open
    assert exchange.on_gone is not None
    exchange.on_gone()
    assert service.changes[0].is_cancelled


def test_a_load_may_be_large_and_other_bodies_not():
    rest = Rest(
        Tools(FakeInferenceService(), RestSettings(), lambda: 0.0, FakeRepositoryService()), "gw", "1"
    )
    sizes = [
        rest.route(Head(b"POST", target, (), http_version="1.1")).max_body_bytes
        for target in (INDEX, LOAD, UNLOAD)
    ]
    assert sizes == [64 << 10, 64 << 20, 64 << 10]


def test_it_is_advertised_where_it_is_permitted():
    permitted = json.loads(ask(b"/v2", method=b"GET").body)["extensions"]
    refused = json.loads(ask(b"/v2", method=b"GET", service=NoControl()).body)["extensions"]
    assert set(permitted) - set(refused) == set(EXTENSIONS)
    assert ask(INDEX, service=NoControl()).status == 403
