from __future__ import annotations

import json

import pytest

from gateway.frontends.v2_rest.setting_calls import SettingCalls
from gateway.pipeline.observing import Observing
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService
from tests.fakes.observing import observing


class Client:
    def __init__(self, settings: Observing | None = None) -> None:
        self.calls = SettingCalls(FakeInferenceService(), settings or observing())

    def ask(self, method: bytes, path: bytes, body: object = None) -> tuple[int, dict[str, object]]:
        exchange = FakeExchange(Head(method, path, (), http_version="1.1"))
        endpoints = self.calls.find(path.split(b"/")[2:])
        assert endpoints is not None
        data = b"" if body is None else json.dumps(body).encode()
        endpoints[method].handle(exchange, data, None)
        return exchange.status, json.loads(exchange.body)


TRACE = {
    "trace_level": ["OFF"],
    "trace_rate": "1000",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_file": "/var/traces.json",
    "trace_mode": "triton",
}


@pytest.mark.parametrize("path", [b"/v2/trace/setting", b"/v2/models/fr%61ud/trace/setting"])
def test_trace_settings(path: bytes) -> None:
    client = Client()
    assert client.ask(b"GET", path) == (200, TRACE)
    changes = {"trace_level": ["TIMESTAMPS"], "trace_rate": "5", "trace_count": 7}
    changed = {**TRACE, **changes, "trace_count": "7"}
    assert client.ask(b"POST", path, changes) == (200, changed)
    assert client.ask(b"POST", path) == (200, changed)
    assert client.ask(b"POST", path, {"trace_level": "TENSORS"})[1]["trace_level"] == ["TENSORS"]
    assert client.ask(b"POST", path, dict.fromkeys(TRACE)) == (200, TRACE)
    for bad in ({"trace_file": "/x"}, {"x": "1"}, {"trace_rate": 1.5}, {"trace_rate": True}, []):
        status, answer = client.ask(b"POST", path, bad)
        assert (status, answer["code"]) == (400, "INVALID_INPUT")
    assert client.ask(b"GET", path) == (200, TRACE)


@pytest.mark.parametrize(("model", "status"), [(b"none", 404), (b"a%2fb", 400), (b"\xff", 400)])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_trace_settings_of_no_model(method: bytes, model: bytes, status: int) -> None:
    assert Client().ask(method, b"/v2/models/%b/trace/setting" % model)[0] == status


def test_log_settings() -> None:
    client = Client()
    status, told = client.ask(b"GET", b"/v2/logging")
    assert (status, told["log_file"], told["log_format"]) == (200, "", "default")
    changes = {"log_info": False, "log_verbose_level": 2, "log_format": "ISO8601"}
    assert client.ask(b"POST", b"/v2/logging", changes) == (200, {**told, **changes})
    assert client.ask(b"POST", b"/v2/logging", {}) == (200, {**told, **changes})
    assert client.ask(b"POST", b"/v2/logging", {"log_file": "/x"})[0] == 400
    assert client.ask(b"POST", b"/v2/logging", dict.fromkeys(changes)) == (200, told)


def test_changes_that_are_not_permitted() -> None:
    client = Client(Observing())
    for path in (b"/v2/logging", b"/v2/trace/setting"):
        assert client.ask(b"GET", path)[0] == 200
        name = "log_info" if path.endswith(b"logging") else "trace_rate"
        assert client.ask(b"POST", path, {name: None})[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        [b"logging", b""],
        [b"trace"],
        [b"models", b"fraud", b"versions", b"1", b"trace", b"setting"],
    ],
)
def test_other_paths_are_not_theirs(path: list[bytes]) -> None:
    assert Client().calls.find(path) is None
