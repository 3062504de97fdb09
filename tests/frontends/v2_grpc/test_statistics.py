"""The statistics extension over gRPC."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import InvalidInput
from gateway.frontends.v2_grpc.endpoints import Tools
from gateway.frontends.v2_grpc.errors import Status
from gateway.frontends.v2_grpc.framing import frame
from gateway.frontends.v2_grpc.routes import Grpc
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.frontends.v2_grpc.statistics import SLICE, encode_slice, tell_statistics
from gateway.generated import open_inference_pb2 as pb
from gateway.wire.exchange import Head
from tests.fakes.inference import COUNTED, NOT_CALLED, FakeExchange, FakeInferenceService
from tests.fakes.waiting import until

PATH = b"/inference.GRPCInferenceService/ModelStatistics"


def call(name="", version="", service=None):
    tools = Tools(service or FakeInferenceService(), GrpcSettings(), lambda: 0.0)
    head = Head(b"POST", PATH, ((b"content-type", b"application/grpc"),), http_version="2")
    exchange = FakeExchange(head)
    grpc = Grpc(tools, "gw", "1")
    assert PATH in grpc.paths
    message = pb.ModelStatisticsRequest(name=name, version=version).SerializeToString()
    grpc.route(head).handle(exchange, frame(message), None)
    return exchange


def fields(message):
    """Every number and text of a message, by path."""
    found = {}
    for field, value in message.ListFields():
        if field.message_type is None:
            found[field.name] = value
        elif field.message_type.GetOptions().map_entry:
            pass  # told by whoever asks for it
        elif field.is_repeated:
            for place, one in enumerate(value):
                found.update({f"{field.name}.{place}.{path}": told for path, told in fields(one).items()})
        else:
            found.update({f"{field.name}.{path}": told for path, told in fields(value).items()})
    return found


def test_one_entry_in_full():
    (entry,) = pb.ModelStatisticsResponse.FromString(encode_slice([COUNTED])).model_stats
    stats, batch = "inference_stats.", "batch_stats."
    assert fields(entry) == {
        "name": "fraud",
        "version": "3",
        "last_inference": 1_700_000_000_001,
        "inference_count": 12,
        "execution_count": 5,
        **{stats + "success.count": 7, stats + "success.ns": 1 << 63},
        **{stats + "fail.count": 2, stats + "fail.ns": 22},
        **{stats + "queue.count": 8, stats + "queue.ns": 33},
        **{stats + "compute_input.count": 9, stats + "compute_input.ns": 44},
        **{stats + "compute_infer.count": 10, stats + "compute_infer.ns": 55},
        **{stats + "compute_output.count": 11, stats + "compute_output.ns": 66},
        **{batch + "0.batch_size": 1, batch + "1.batch_size": 4},
        **{batch + "0.compute_input.count": 3, batch + "0.compute_input.ns": 1},
        **{batch + "0.compute_infer.count": 3, batch + "0.compute_infer.ns": 2},
        **{batch + "0.compute_output.count": 3, batch + "0.compute_output.ns": 3},
        **{batch + "1.compute_input.count": 2, batch + "1.compute_input.ns": 4},
        **{batch + "1.compute_infer.count": 2, batch + "1.compute_infer.ns": 5},
        **{batch + "1.compute_output.count": 2, batch + "1.compute_output.ns": 6},
        **{"memory_usage.0.type": "CPU", "memory_usage.0.byte_size": 77},
    }
    assert fields(entry.response_stats["2"]) == {
        **{"compute_infer.count": 21, "compute_infer.ns": 31, "success.count": 21, "success.ns": 31},
        **{"fail.count": 22, "fail.ns": 32, "cancel.count": 24, "cancel.ns": 34},
        **{"empty_response.count": 23, "empty_response.ns": 33},
    }
    assert entry.inference_stats.HasField("cache_hit")


def test_a_version_never_called_has_its_entry():
    (entry,) = pb.ModelStatisticsResponse.FromString(encode_slice([NOT_CALLED])).model_stats
    assert fields(entry) == {"name": "fraud", "version": "1"}
    assert entry.inference_stats.HasField("success")


@pytest.mark.parametrize(
    ("name", "version", "versions"),
    [("", "", ["1", "3"]), ("fraud", "", ["1", "3"]), ("fraud", "3", ["3"]), ("fraud", "stable", ["3"])],
)
def test_who_is_counted(name, version, versions):
    answer = pb.ModelStatisticsResponse.FromString(call(name, version).body[5:])
    assert [one.version for one in answer.model_stats] == versions


@pytest.mark.parametrize(
    ("name", "version", "status"),
    [
        ("none", "", Status.NOT_FOUND),
        ("", "1", Status.INVALID_ARGUMENT),
        ("fraud", "0", Status.INVALID_ARGUMENT),
        ("../x", "", Status.INVALID_ARGUMENT),
    ],
)
def test_refusals(name, version, status):
    assert Status(int(call(name, version).trailers[b"grpc-status"])) is status


def test_what_is_no_message_is_refused():
    with pytest.raises(InvalidInput):
        tell_statistics(
            FakeInferenceService(), b"\xff", FakeExchange(Head(b"POST", PATH, (), http_version="2"))
        )


def test_whoever_goes_is_not_answered():
    service = FakeInferenceService(holds=True)
    exchange = call(service=service)
    exchange.on_gone()
    assert service.asks[0].is_cancelled


class ManyModels(FakeInferenceService):
    def statistics(self, model, version, counted, caller=None):
        counted(tuple([NOT_CALLED] * (2 * SLICE) + [COUNTED]))


def test_many_are_told_over_several_turns_of_the_loop():
    async def scenario():
        exchange = call(service=ManyModels())
        assert exchange.is_open
        await until(lambda: not exchange.is_open)
        told = pb.ModelStatisticsResponse.FromString(exchange.body[5:]).model_stats
        assert [one.version for one in told] == ["1"] * (2 * SLICE) + ["3"]

    asyncio.run(scenario())
