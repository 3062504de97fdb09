from __future__ import annotations

import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import DeadlineExceeded, ModelFailed
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor
from gateway.frontends.v2_grpc.endpoints import Tools
from gateway.frontends.v2_grpc.framing import FrameReader, frame
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.frontends.v2_grpc.stream import MAX_OPEN, Streams
from gateway.generated import open_inference_pb2 as pb
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService, FakeLease
from tests.fakes.loop import FakeClock


class Call:
    """One call of ModelStreamInfer, with its service in the test's hands."""

    def __init__(self, *headers: tuple[bytes, bytes], **settings: int) -> None:
        self.service = FakeInferenceService()
        self.service.streams = True
        self.clock = FakeClock()
        head = Head(b"POST", b"/x", headers, http_version="2")
        self.exchange = FakeExchange(head)
        self.streams = Streams(Tools(self.service, GrpcSettings(**settings), self.clock))
        self.receiver = self.streams.begin(self.exchange, "", 10)

    def ask(self, *identities: str, **parameters: bool) -> None:
        for identity in identities:
            self.receiver.on_data(frame(request(identity, **parameters).SerializeToString()))

    def sink(self, index: int):
        return self.service.tickets[index].sink

    def answer(self, index: int, value: int = 0, *, is_last: bool = False) -> None:
        self.sink(index).on_response(response(value, f"r{index}"), is_last=is_last)

    @property
    def told(self) -> list[pb.ModelStreamInferResponse]:
        reader = FrameReader("", 1 << 30, 1)
        messages = [pb.ModelStreamInferResponse.FromString(one) for one in reader.feed(self.exchange.body)]
        assert reader.is_empty
        return messages

    @property
    def values(self) -> list[tuple[str, int]]:
        return [(one.infer_response.id, one.infer_response.raw_output_contents[0][0]) for one in self.told]

    @property
    def status(self) -> bytes | None:
        return self.exchange.trailers.get(b"grpc-status")


def request(identity: str = "a", **parameters: bool) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest(model_name="m", id=identity)
    for key, value in parameters.items():
        made.parameters[key].bool_param = value
    return made


def response(value: int, identity: str = "", lease: FakeLease | None = None) -> InferResponse:
    return InferResponse("m", 1, (Tensor("Y", DType.INT8, (1,), bytes([value])),), identity, lease=lease)


def final(message: pb.ModelStreamInferResponse) -> bool:
    return message.infer_response.parameters["triton_final_response"].bool_param


def test_each_answer_says_whether_it_is_the_last():
    call, lease = Call(), FakeLease()
    call.ask("r0")
    call.sink(0).on_response(response(1, "r0", lease), is_last=False)
    call.answer(0, 2)
    call.answer(0, 3, is_last=True)
    assert (call.values, [final(one) for one in call.told]) == (
        [("r0", 1), ("r0", 2), ("r0", 3)],
        [False, False, True],
    )
    assert (lease.holds, call.exchange.is_open) == (0, True)
    call.receiver.on_end()
    assert call.status == b"0"


def test_single_answers_come_in_the_order_of_the_requests():
    call = Call()
    call.ask("r0", "r1", "r2")
    call.answer(1, 11, is_last=True)
    call.sink(2).on_end(ModelFailed("oh"))
    assert call.told == []
    call.answer(0, 10, is_last=True)
    assert [one.infer_response.id for one in call.told] == ["r0", "r1", "r2"]
    assert [one.error_message for one in call.told] == ["", "", "oh"]


def test_streams_do_not_hold_up_others_once_they_have_begun():
    call = Call()
    call.ask("r0", "r1", "r2")
    call.answer(2, 1, is_last=True)
    call.answer(0, 2)
    call.answer(1, 3)
    call.answer(0, 4)
    assert call.values == [("r0", 2), ("r1", 3), ("r2", 1), ("r0", 4)]


def test_an_error_leaves_the_call_open():
    call = Call()
    call.ask("r0", "r1")
    call.answer(0)
    call.sink(0).on_end(ModelFailed("oh"))
    call.answer(1, 5, is_last=True)
    assert [one.error_message for one in call.told] == ["", "oh", ""]
    assert (call.told[1].infer_response.id, call.exchange.is_open) == ("r0", True)


def test_unless_the_client_wants_a_status():
    call = Call((b"triton_grpc_error", b"true"))
    call.ask("r0", "r1")
    call.sink(0).on_end(ModelFailed("oh"))
    assert (call.status, call.exchange.trailers[b"grpc-message"]) == (b"13", b"oh")
    assert [one.is_cancelled for one in call.service.tickets] == [False, True]
    call.answer(1)
    call.ask("r2")
    call.receiver.on_end()
    assert (call.told, len(call.service.tickets)) == ([], 2)


def test_an_error_in_place_of_an_answer_ends_nothing():
    call = Call()
    call.ask("r0", "r1")
    call.answer(1, 4, is_last=True)
    call.sink(0).on_fault(ModelFailed("oh"))
    call.answer(0, 5)
    call.sink(0).on_fault(ModelFailed("again"))
    call.sink(0).on_end(None)
    call.receiver.on_end()
    assert [(one.infer_response.id, one.error_message) for one in call.told] == [
        *(("r0", "oh"), ("r1", ""), ("r0", ""), ("r0", "again")),
    ]
    assert call.status == b"0"


def test_but_where_the_client_wants_a_status_it_ends_the_call_and_the_model():
    call = Call((b"triton_grpc_error", b"true"))
    call.ask("r0", "r1")
    call.sink(0).on_fault(ModelFailed("oh"))
    assert (call.status, call.told) == (b"13", [])
    assert [one.is_cancelled for one in call.service.tickets] == [True, True]


@pytest.mark.parametrize("wanted", [False, True])
def test_the_end_is_told_by_an_empty_answer_where_that_is_wanted(wanted):
    call = Call()
    call.ask("r0", triton_enable_empty_final_response=wanted)
    call.answer(0, 1)
    call.sink(0).on_end(None)
    assert len(call.told) == 1 + wanted
    if wanted:
        last = call.told[1]
        assert (last.infer_response.id, last.infer_response.model_version, final(last)) == ("r0", "3", True)
        assert not last.infer_response.outputs


def test_a_request_without_an_answer_has_its_turn_too():
    call = Call()
    call.ask("r0", "r1")
    call.answer(1, 5, is_last=True)
    call.sink(0).on_end(None)
    assert call.values == [("r1", 5)]


def test_what_cannot_be_read_costs_one_request():
    call = Call()
    call.receiver.on_data(frame(b"\xff\xff"))
    call.ask("r0")
    call.receiver.on_data(frame(request(triton_other=True).SerializeToString()))
    wrong = request()
    wrong.parameters["triton_enable_empty_final_response"].int64_param = 1
    call.receiver.on_data(frame(wrong.SerializeToString()))
    call.answer(0, 1, is_last=True)
    assert [bool(one.error_message) for one in call.told] == [True, False, True, True]
    assert [protocol for protocol, _ in call.service.refusals] == ["grpc"] * 3


def test_what_is_no_message_ends_the_call():
    call = Call(max_message_bytes=1024)
    call.receiver.on_data(frame(bytes(2000))[:100])
    assert call.status == b"8"
    call = Call()
    call.receiver.on_data(frame(b"abc")[:-1])
    call.receiver.on_end()
    assert call.status == b"3"


def test_messages_may_come_in_pieces():
    call = Call()
    for byte in frame(request().SerializeToString()) * 2:
        call.receiver.on_data(bytes([byte]))
    assert len(call.service.tickets) == 2


def test_a_client_that_does_not_read_is_not_read():
    call = Call()
    call.ask("r0")
    call.exchange.writable = False
    assert not call.sink(0).is_writable
    call.answer(0, 1)
    assert not call.exchange.is_reading
    call.ask("r1")
    assert len(call.service.tickets) == 1
    call.exchange.writable = True
    call.exchange.on_writable()
    assert (call.exchange.is_reading, len(call.service.tickets)) == (True, 2)
    assert call.service.tickets[0].resumed == 1


def test_so_many_requests_may_be_under_way():
    call = Call()
    call.ask(*map(str, range(MAX_OPEN + 2)))
    call.receiver.on_end()
    assert (len(call.service.tickets), call.exchange.is_reading) == (MAX_OPEN, False)
    for index in range(MAX_OPEN + 2):
        assert call.exchange.is_open
        call.answer(index, 1, is_last=True)
    assert (len(call.told), call.status) == (MAX_OPEN + 2, b"0")


def test_whoever_goes_cancels_what_is_under_way():
    call = Call()
    call.ask("r0", "r1")
    call.answer(0, 1, is_last=True)
    call.exchange.on_gone()
    assert [one.is_cancelled for one in call.service.tickets] == [False, True]
    call.answer(1, 1)
    assert len(call.told) == 1


def test_the_deadline_of_the_call_is_that_of_its_requests_and_a_status():
    call = Call((b"grpc-timeout", b"5S"))
    call.ask("r0")
    assert call.service.requests[0].deadline == call.clock.now + 5
    call.clock.now += 6
    call.sink(0).on_end(DeadlineExceeded("late"))
    assert call.status == b"4"


def test_a_drain_lets_what_is_under_way_finish():
    call, idle = Call(), Call()
    call.ask("r0")
    call.streams.finish()
    idle.streams.finish()
    assert (call.exchange.is_open, idle.status) == (True, b"14")
    call.ask("r1")
    call.answer(0, 1, is_last=True)
    assert (len(call.service.tickets), call.status) == (1, b"14")


def test_services_that_answer_at_once():
    call = Call()
    call.service.streams = False
    call.ask("r0", "r1")
    assert [one.infer_response.id for one in call.told] == ["r0", "r1"]


def test_a_call_that_has_asked_all_ends_well_in_a_drain_too():
    call = Call()
    call.ask("r0")
    call.receiver.on_end()
    call.streams.finish()
    call.answer(0, 1, is_last=True)
    assert call.status == b"0"
