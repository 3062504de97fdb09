from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2 as theirs

from gateway.core.errors import InvalidInput
from gateway.frontends.v2_grpc.framing import FrameReader, frame
from gateway.frontends.v2_grpc.reflection import Reflection, answer, service_names
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange

HEAD = Head(b"POST", b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", (), http_version="2")


def ask(**question):
    asked = theirs.ServerReflectionRequest(**question)
    return theirs.ServerReflectionResponse.FromString(answer(asked.SerializeToString()))


def test_services():
    listed = [service.name for service in ask(list_services="").list_services_response.service]
    assert listed == service_names()
    assert set(listed) == {
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize(
    "symbol",
    [
        "inference.GRPCInferenceService",
        "inference.GRPCInferenceService.ModelInfer",
        "inference.ModelInferRequest",
    ],
)
def test_a_client_can_build_the_service_from_what_it_gets(symbol):
    files = ask(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto
    pool = descriptor_pool.DescriptorPool()
    waiting = [descriptor_pb2.FileDescriptorProto.FromString(file) for file in files]
    for proto in reversed(waiting):
        pool.Add(proto)
    assert pool.FindMessageTypeByName("inference.ModelInferRequest").fields_by_name["inputs"].number == 5


def test_by_file_name():
    name = "open_inference.proto"
    by_name = ask(file_by_filename=name)
    by_symbol = ask(file_containing_symbol="inference.ModelInferRequest")
    assert by_name.file_descriptor_response == by_symbol.file_descriptor_response


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"file_by_filename": "none.proto"}, 5),
        ({"file_containing_symbol": "no.Such"}, 5),
        ({"all_extension_numbers_of_type": "no.Such"}, 5),
        (
            {
                "file_containing_extension": theirs.ExtensionRequest(
                    containing_type="inference.ModelInferRequest", extension_number=1
                )
            },
            5,
        ),
        ({}, 3),
    ],
)
def test_what_is_not_there(question, code):
    reply = ask(host="h", **question)
    assert reply.error_response.error_code == code
    assert reply.valid_host == "h"


def test_no_extensions():
    name = "inference.ModelInferRequest"
    reply = ask(all_extension_numbers_of_type=name).all_extension_numbers_response
    assert (reply.base_type_name, list(reply.extension_number)) == (name, [])


def test_malformed():
    with pytest.raises(InvalidInput):
        answer(b"\xff")


def begin():
    exchange = FakeExchange(HEAD)
    return exchange, Reflection(exchange, "", 10)


QUESTION = frame(theirs.ServerReflectionRequest(list_services="").SerializeToString())


def test_a_conversation():
    exchange, receiver = begin()
    receiver.on_data(QUESTION[:3])
    receiver.on_data(QUESTION[3:] + QUESTION)
    receiver.on_end()
    assert len(list(FrameReader("", 1 << 20, 10).feed(exchange.body))) == 2
    assert exchange.trailers == {b"grpc-status": b"0"}


def test_a_conversation_without_words():
    exchange, receiver = begin()
    receiver.on_end()
    assert (exchange.status, exchange.trailers) == (200, {b"grpc-status": b"0"})


@pytest.mark.parametrize("first", [b"", QUESTION])
def test_nonsense_ends_it(first):
    exchange, receiver = begin()
    receiver.on_data(first + frame(b"\xff"))
    assert exchange.trailers[b"grpc-status"] == b"3"
    assert bool(exchange.body) == bool(first)


def test_an_end_within_a_message():
    exchange, receiver = begin()
    receiver.on_data(QUESTION + QUESTION[:4])
    receiver.on_end()
    assert exchange.trailers[b"grpc-status"] == b"3"


class Narrow(FakeExchange):
    """Takes one write, then none until the test says so."""

    def write(self, data):
        super().write(data)
        self.writable = False

    def drain(self):
        self.writable = True
        self.on_writable()


def test_who_does_not_read_gets_no_more_answers_and_loses_none():
    exchange = Narrow(HEAD)
    receiver = Reflection(exchange, "", 10)
    receiver.on_data(QUESTION * 3)
    receiver.on_end()
    for count in (1, 2, 3):
        assert len(list(FrameReader("", 1 << 20, 10).feed(exchange.body))) == count
        assert not exchange.is_reading
        exchange.drain()
    assert exchange.is_reading
    assert exchange.trailers == {b"grpc-status": b"0"}
