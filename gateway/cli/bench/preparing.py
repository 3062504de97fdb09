"""Everything before the load: reach the server, learn the model, make a request, try it once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.cli.bench.dialogue import Answer, Broken, Dialogue
from gateway.cli.bench.encoding import (
    grpc_infer,
    grpc_metadata,
    metadata_inputs,
    model_path,
    rest_infer,
    rest_request,
)
from gateway.cli.bench.grpc import GrpcDialogue
from gateway.cli.bench.inputs import InputSpec, make_inputs
from gateway.cli.bench.job import Call, make_dialogue
from gateway.cli.bench.plan import BenchError, Plan, Protocol, Target, check_plan, parse_url
from gateway.cli.bench.rest import RestDialogue
from gateway.core.clock import Clock
from gateway.core.tensor import Tensor

_READ_BYTES = 1 << 18
# Said by a server that is there and would take the request another time: load may be put on it.
_PASSING = ("http 429", "http 503", "http 504", "grpc 4 ", "grpc 8 ", "grpc 14 ", "deadline")


class Prepared(NamedTuple):
    """A request that the server has answered once, and where to send it."""

    plan: Plan
    target: Target
    call: Call
    tensor_bytes: int  # in one request


class _MetadataInput(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]


class _Metadata(msgspec.Struct):
    inputs: list[_MetadataInput] = []


def prepare(plan: Plan, clock: Clock) -> Prepared:
    """Must be called before measuring; raises BenchError when the server, model or inputs are no good."""
    check_plan(plan)
    target = parse_url(plan.url)
    tensors = make_inputs(plan, learn(plan, target, clock))
    infer: Callable[[Plan, Target, Sequence[Tensor]], Call]
    infer = grpc_infer if plan.protocol == "grpc" else rest_infer
    call = infer(plan, target, tensors)
    answer = ask(target, make_dialogue(plan, call, seed=0, keep_bodies=True), plan.timeout_s, clock)
    if answer.kind and not answer.kind.startswith(_PASSING):
        raise BenchError(f"the model refused a request made from its metadata: {_said(answer)}")
    return Prepared(plan, target, call, sum(len(tensor.data) for tensor in tensors))


def learn(plan: Plan, target: Target, clock: Clock) -> tuple[InputSpec, ...]:
    """The model's inputs, as its server tells them over the plan's own protocol."""
    dialogue: Dialogue
    if plan.protocol == "grpc":
        dialogue = GrpcDialogue(grpc_metadata(plan, target), keep_bodies=True)
    else:
        dialogue = RestDialogue(rest_request(plan, target, "GET", model_path(plan), b""), keep_bodies=True)
    answer = ask(target, dialogue, plan.timeout_s, clock)
    if answer.kind:
        raise BenchError(f"no metadata of model '{plan.model}' from {target}: {_said(answer)}")
    try:
        specs = _specs(plan.protocol, bytes(answer.body))
    except ValueError as error:
        raise BenchError(f"{target} does not answer as a V2 server: {error}") from error
    if not specs:
        raise BenchError(f"model '{plan.model}' tells of no inputs")
    return specs


def _specs(protocol: Protocol, body: bytes) -> tuple[InputSpec, ...]:
    if protocol == "grpc":
        return metadata_inputs(body[5:])
    told = msgspec.json.decode(body, type=_Metadata)
    return tuple(InputSpec(item.name, item.datatype, item.shape) for item in told.inputs)


def _said(answer: Answer) -> str:
    detail = answer.detail.strip()
    if detail.startswith("{"):
        try:
            told: Any = msgspec.json.decode(detail)
            detail = str(told.get("error", detail))
        except msgspec.DecodeError:
            return f"{answer.kind}: {detail}"
    return f"{answer.kind}: {detail}" if detail else answer.kind


def ask(target: Target, dialogue: Dialogue, timeout_s: float, clock: Clock) -> Answer:
    """One request on a connection of its own, blocking; raises BenchError when there is no answer."""
    try:
        with socket.create_connection((target.host, target.port), timeout_s) as link:
            return _exchange(link, dialogue, clock() + timeout_s, clock)
    except TimeoutError:
        raise BenchError(f"{target} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise BenchError(f"cannot reach {target}: {error.strerror or error}") from error
    except Broken as error:
        raise BenchError(f"{target} does not speak this protocol: {error}") from error


def _exchange(link: socket.socket, dialogue: Dialogue, until: float, clock: Clock) -> Answer:
    dialogue.open()
    is_asked = False
    while True:
        if dialogue.ready and not is_asked:
            dialogue.request()
            is_asked = True
        while dialogue.output:
            link.sendall(dialogue.output.pop(0))
        left_s = until - clock()
        if left_s <= 0:
            raise TimeoutError
        link.settimeout(left_s)
        data = link.recv(_READ_BYTES)
        answers = dialogue.feed(data) if data else dialogue.end()
        if answers:
            return answers[0]
        if not data:
            raise BenchError("the server closed the connection instead of answering")
