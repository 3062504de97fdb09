from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.answers import Answers
from gateway.runtimes.contract import BadInput, ModelFailed
from gateway.runtimes.triton_python.responses import InferenceResponse, TritonError, TritonModelException
from gateway.runtimes.triton_python.sender import RESPONSE_COMPLETE_FINAL, ResponseSender
from gateway.runtimes.triton_python.tensors import Tensor
from tests.fakes.responses import KeptResponses


def made(limit: int = 100) -> tuple[ResponseSender, KeptResponses]:
    kept = KeptResponses(limit)
    return ResponseSender(Answers([TensorSpec("Y", DType.INT32, (1,))], kept)), kept


def response(value: int, name: str = "Y") -> InferenceResponse:
    return InferenceResponse([Tensor(name, np.array([value], np.int32))])


def values(kept: KeptResponses) -> list[tuple[int, bool]]:
    return [(int(results[0][0]), is_last) for results, is_last in kept.sent]


def test_responses_and_an_end_without_one() -> None:
    sender, kept = made()
    sender.send(response(1))
    sender.send(response(2))
    assert not kept.finished.is_set()
    sender.send(flags=RESPONSE_COMPLETE_FINAL)
    assert (values(kept), kept.finished.is_set(), kept.error) == ([(1, False), (2, False)], True, None)
    with pytest.raises(TritonModelException, match="Response sender has been closed"):
        sender.send(response(3))


def test_the_last_response_may_say_so() -> None:
    sender, kept = made()
    sender.send(response(1), RESPONSE_COMPLETE_FINAL)
    assert (values(kept), kept.finished.is_set()) == ([(1, True)], True)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [((None, 0), TritonModelException), ((response(1), 2), TritonModelException), (([], 0), TypeError)],
)
def test_what_cannot_be_sent(arguments: tuple[Any, int], kind: type[Exception]) -> None:
    sender, kept = made()
    with pytest.raises(kind):
        sender.send(*arguments)
    assert not kept.finished.is_set()


@pytest.mark.parametrize(
    ("code", "kind"), [(TritonError.INVALID_ARG, BadInput), (TritonError.INTERNAL, ModelFailed)]
)
def test_an_error_is_an_answer_and_the_end_only_where_it_is_final(code: int, kind: type[Exception]) -> None:
    sender, kept = made()
    sender.send(InferenceResponse(error=TritonError("no", code)))
    sender.send(response(1))
    assert ([type(one) for one in kept.faults], values(kept)) == ([kind], [(1, False)])
    assert not kept.finished.is_set()
    sender.send(InferenceResponse(error=TritonError("enough", code)), RESPONSE_COMPLETE_FINAL)
    assert (type(kept.error), str(kept.error)) == (kind, "enough")


def test_a_response_that_breaks_the_promise_ends_them_too() -> None:
    sender, kept = made()
    with pytest.raises(ModelFailed, match="lacks output 'Y'"):
        sender.send(response(1, "Z"))
    assert isinstance(kept.error, ModelFailed)


def test_what_nobody_waits_for_is_dropped_in_silence() -> None:
    sender, kept = made(limit=1)
    assert not sender.is_cancelled()
    sender.send(response(1))
    assert sender.is_cancelled()
    sender.send(response(2))
    sender.send(InferenceResponse(error=TritonError("no")))
    sender.send(flags=RESPONSE_COMPLETE_FINAL)
    assert (values(kept), kept.finished.is_set(), kept.error) == ([(1, False)], True, None)


def test_a_sender_that_is_dropped_unfinished_ends_them() -> None:
    sender, kept = made()
    del sender
    assert isinstance(kept.error, ModelFailed)
    sender, kept = made()
    sender.send(flags=RESPONSE_COMPLETE_FINAL)
    del sender
    assert kept.error is None
