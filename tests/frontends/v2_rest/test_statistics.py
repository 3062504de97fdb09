"""The statistics extension over HTTP."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.frontends.v2_rest.endpoints import Tools
from gateway.frontends.v2_rest.routes import Rest
from gateway.frontends.v2_rest.settings import RestSettings
from gateway.frontends.v2_rest.statistics import SLICE, encode_slice
from gateway.wire.exchange import Head
from tests.fakes.inference import COUNTED, NOT_CALLED, FakeExchange, FakeInferenceService
from tests.fakes.waiting import until

GOLDEN = (
    '{"model_stats":[{"name":"fraud","version":"3","last_inference":1700000000001,'
    '"inference_count":12,"execution_count":5,"inference_stats":{'
    '"success":{"count":7,"ns":9223372036854775808},"fail":{"count":2,"ns":22},'
    '"queue":{"count":8,"ns":33},"compute_input":{"count":9,"ns":44},'
    '"compute_infer":{"count":10,"ns":55},"compute_output":{"count":11,"ns":66},'
    '"cache_hit":{"count":0,"ns":0},"cache_miss":{"count":0,"ns":0}},"response_stats":{"2":{'
    '"compute_infer":{"count":21,"ns":31},"compute_output":{"count":0,"ns":0},'
    '"success":{"count":21,"ns":31},"fail":{"count":22,"ns":32},'
    '"empty_response":{"count":23,"ns":33},"cancel":{"count":24,"ns":34}}},'
    '"batch_stats":[{"batch_size":1,"compute_input":{"count":3,"ns":1},'
    '"compute_infer":{"count":3,"ns":2},"compute_output":{"count":3,"ns":3}},'
    '{"batch_size":4,"compute_input":{"count":2,"ns":4},"compute_infer":{"count":2,"ns":5},'
    '"compute_output":{"count":2,"ns":6}}],"memory_usage":[{"type":"CPU","id":0,"byte_size":77}]}]}'
)


def ask(target, method=b"GET", service=None):
    rest = Rest(Tools(service or FakeInferenceService(), RestSettings(), lambda: 0.0), "gw", "1")
    head = Head(method, target, (), http_version="1.1")
    exchange = FakeExchange(head)
    rest.route(head).handle(exchange, b"", None)
    return exchange


def test_one_entry_in_full():
    assert b'{"model_stats":[' + encode_slice([COUNTED]) + b"]}" == GOLDEN.encode()


def test_a_version_never_called_is_all_zeros():
    entry = json.loads(encode_slice([NOT_CALLED]))
    assert (entry["name"], entry["version"], entry["batch_stats"]) == ("fraud", "1", [])
    assert entry["last_inference"] == entry["inference_count"] == entry["execution_count"] == 0
    assert all(stat == {"count": 0, "ns": 0} for stat in entry["inference_stats"].values())


@pytest.mark.parametrize(
    ("target", "versions"),
    [
        (b"/v2/models/stats", ["1", "3"]),
        (b"/v2/models/fraud/stats", ["1", "3"]),
        (b"/v2/models/fraud/versions/3/stats", ["3"]),
        (b"/v2/models/fraud/versions/stable/stats", ["3"]),
    ],
)
def test_who_is_counted(target, versions):
    exchange = ask(target)
    assert (exchange.status, exchange.headers[b"content-type"]) == (200, b"application/json")
    assert [one["version"] for one in json.loads(exchange.body)["model_stats"]] == versions


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        (b"/v2/models/none/stats", b"GET", 404),
        (b"/v2/models/fraud/versions/0/stats", b"GET", 400),
        (b"/v2/models/..%2f/stats", b"GET", 400),
        (b"/v2/models/stats", b"POST", 405),
        (b"/v2/models/fraud/stats", b"POST", 405),
    ],
)
def test_refusals(target, method, status):
    exchange = ask(target, method)
    assert exchange.status == status
    assert json.loads(exchange.body)["error"]


def test_whoever_goes_is_not_answered():
    service = FakeInferenceService(holds=True)
    exchange = ask(b"/v2/models/stats", service=service)
    exchange.on_gone()
    assert service.asks[0].is_cancelled


class ManyModels(FakeInferenceService):
    def statistics(self, model, version, counted, caller=None):
        counted(tuple([NOT_CALLED] * (2 * SLICE) + [COUNTED]))


def test_many_are_told_over_several_turns_of_the_loop():
    async def scenario():
        exchange, gone = (
            ask(b"/v2/models/stats", service=ManyModels()),
            ask(b"/v2/models/stats", service=ManyModels()),
        )
        assert exchange.is_open
        gone.on_gone()
        await until(lambda: not exchange.is_open)
        told = json.loads(exchange.body)["model_stats"]
        assert [one["version"] for one in told] == ["1"] * (2 * SLICE) + ["3"]
        assert gone.status == 0

    asyncio.run(scenario())
