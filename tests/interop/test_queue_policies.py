"""Queue policies of a started gateway, over REST and over gRPC.

Every model runs one request at a time and writes down which; a request for PLUG blocks it until the test
opens a pipe, so that what is sent meanwhile waits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.python_files import add_model
from tests.fakes.waiting import until_blocking

PLUG = -1.0
ONE_BATCH = {"GATEWAY_SCHEDULING__BATCHES_IN_FLIGHT": "1"}
BLOCKED = """
    import os
    from gateway.model import Model

    class Blocked(Model):
        def load(self, context):
            self.folder = context.parameters["folder"]

        def infer(self, inputs):
            value = float(inputs["X"].flat[0])
            with open(self.folder + "/ran", "a") as ran:
                ran.write(f"{value} {os.getpid()}\\n")
            if value == -1.0:
                with open(self.folder + "/pipe") as pipe:
                    pipe.read()
            return {"Y": inputs["X"]}
"""
CONFIG = """
    backend: "python"
    input {{ name: "X" data_type: TYPE_FP32 dims: [ 1 ] }}
    output {{ name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }}
    parameters {{ key: "folder" value {{ string_value: "{folder}" }} }}
    {more}
"""
LONG, SHORT = "default_timeout_microseconds: 60000000", "default_timeout_microseconds: 20000"
MODELS = {
    "levels": "dynamic_batching { priority_levels: 3 default_priority_level: 2 }",
    "sized": "dynamic_batching { default_queue_policy { max_queue_size: 2 } }",
    "sized_level": """dynamic_batching { priority_levels: 2 default_priority_level: 1
        priority_queue_policy { key: 2 value { max_queue_size: 1 } } }""",
    "rejecting": f"dynamic_batching {{ default_queue_policy {{ {SHORT} }} }}",
    "override": f"dynamic_batching {{ default_queue_policy {{ {LONG} allow_timeout_override: true }} }}",
    "strict": f"dynamic_batching {{ default_queue_policy {{ {LONG} }} }}",
    "delaying": f"""dynamic_batching {{ default_queue_policy {{
        timeout_action: DELAY {LONG} allow_timeout_override: true }} }}""",
    "ordered": "dynamic_batching { preserve_ordering: true } instance_group { count: 2 kind: KIND_CPU }",
}


class Told(NamedTuple):
    """What a caller got; `code` is "OK", an HTTP status or a gRPC status; `retry` what says when."""

    code: str
    text: str = ""
    retry: str | None = None


Ask = Callable[..., "Future[Told]"]


class Door(NamedTuple):
    """One way to ask: `ask(model, value, **parameters)`."""

    name: str
    ask: Ask


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where each model writes what it runs, and finds its pipe."""
    found = {}
    for name in MODELS:
        found[name] = tmp_path_factory.mktemp(name)
        os.mkfifo(found[name] / "pipe")
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, folders: dict[str, Path]) -> Generator[Gateway]:
    root = tmp_path_factory.mktemp("models")
    for name, more in MODELS.items():
        add_model(root, name, BLOCKED, CONFIG.format(folder=folders[name], more=more))
    with gateway(root, "--insecure-dev", environment=ONE_BATCH) as started:
        yield started
        assert started.stop() == 0, started.log.read_text()


@pytest.fixture(params=["REST", "gRPC"])
def door(request: pytest.FixtureRequest, running: Gateway) -> Generator[Door]:
    with ThreadPoolExecutor(16) as threads, grpc.insecure_channel(running.grpc) as channel:

        def rest(model: str, value: float, **parameters: int) -> Future[Told]:
            return threads.submit(_over_rest, running, model, value, parameters)

        def rpc(model: str, value: float, **parameters: int) -> Future[Told]:
            return threads.submit(_over_grpc, channel, model, value, parameters)

        yield Door(request.param, rest if request.param == "REST" else rpc)


def _over_rest(running: Gateway, model: str, value: float, parameters: dict[str, int]) -> Told:
    tensor = {"name": "X", "datatype": "FP32", "shape": [1], "data": [value]}
    status, answer, headers = running.infer(model, {"inputs": [tensor], "parameters": parameters}, 30.0)
    if status == 200:
        assert answer["outputs"][0]["data"] == [value]
        return Told("OK")
    return Told(str(status), answer["error"], headers.get("retry-after"))


def _over_grpc(channel: grpc.Channel, model: str, value: float, parameters: dict[str, int]) -> Told:
    message = pb.ModelInferRequest(model_name=model, raw_input_contents=[np.float32(value).tobytes()])
    message.inputs.add(name="X", datatype="FP32", shape=[1])
    for name, given in parameters.items():
        message.parameters[name].int64_param = given
    infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    try:
        answer = pb.ModelInferResponse.FromString(infer(message.SerializeToString(), timeout=30))
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata())
        return Told(error.code().name, error.details(), trailers.get("grpc-retry-pushback-ms"))
    assert answer.raw_output_contents == [np.float32(value).tobytes()]
    return Told("OK")


class Plugged:
    """A model that is kept busy."""

    def __init__(self, running: Gateway, door: Door, model: str, folder: Path) -> None:
        self._running = running
        self._folder = folder
        self._model = model
        self._before = len(self.ran())
        self._plug = door.ask(model, PLUG)
        until_blocking(lambda: len(self.ran()) > self._before)

    def ran(self) -> list[float]:
        path = self._folder / "ran"
        return [float(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []

    def until_waiting(self, count: int) -> None:
        gauge = f'gateway_queue_depth{{model="{self._model}",version="1"}}'
        until_blocking(lambda: self._running.page().get(gauge) == count)

    def release(self) -> None:
        (self._folder / "pipe").write_text("go on")
        assert self._plug.result(60) == Told("OK")

    def order(self) -> list[float]:
        """What has run since it was plugged."""
        return self.ran()[self._before + 1 :]


Plug = Callable[[str], Plugged]


@pytest.fixture
def plug(running: Gateway, door: Door, folders: dict[str, Path]) -> Plug:
    return lambda model: Plugged(running, door, model, folders[model])


def refusal(door: Door, text: str) -> Told:
    """What a caller is told whom the queue refuses."""
    return Told("503", text, "1") if door.name == "REST" else Told("UNAVAILABLE", text, "1000")


def results(asked: list[Future[Told]]) -> list[Told]:
    return [one.result(60) for one in asked]


def test_the_urgent_overtake_those_who_wait(door: Door, plug: Plug) -> None:
    busy = plug("levels")
    asked = []
    for count, (value, priority) in enumerate(((1, 3), (2, 0), (3, 2), (4, 99), (5, 1)), start=1):
        asked.append(door.ask("levels", float(value), priority=priority))
        busy.until_waiting(count)
    busy.release()
    assert results(asked) == [Told("OK")] * 5
    assert busy.order() == [5.0, 2.0, 3.0, 4.0, 1.0]


def test_a_full_queue_refuses(door: Door, plug: Plug) -> None:
    busy = plug("sized")
    asked = [door.ask("sized", 1.0), door.ask("sized", 2.0)]
    busy.until_waiting(2)
    full = refusal(door, "Exceeds maximum queue size")
    assert door.ask("sized", 3.0).result(60) == full
    busy.release()
    assert results(asked) == [Told("OK")] * 2
    assert sorted(busy.order()) == [1.0, 2.0]


def test_each_level_has_its_own_size(door: Door, plug: Plug) -> None:
    busy = plug("sized_level")
    asked = [door.ask("sized_level", 2.0, priority=2)]
    busy.until_waiting(1)
    assert door.ask("sized_level", 3.0, priority=2).result(60).text == "Exceeds maximum queue size"
    asked.append(door.ask("sized_level", 1.0, priority=1))
    busy.until_waiting(2)
    busy.release()
    assert results(asked) == [Told("OK")] * 2
    assert busy.order() == [1.0, 2.0]


def test_who_waits_too_long_is_refused_and_never_runs(door: Door, plug: Plug, running: Gateway) -> None:
    busy = plug("rejecting")
    assert door.ask("rejecting", 1.0).result(60) == refusal(door, "Request timeout expired")
    busy.release()
    assert busy.order() == []
    protocol = door.name.lower()
    labels = f'model="rejecting",outcome="QUEUE_TIMEOUT",protocol="{protocol}",version="1"'
    until_blocking(lambda: running.page().get(f"gateway_requests_total{{{labels}}}") == 1)


def test_a_request_may_ask_for_less_time_where_that_is_allowed(door: Door, plug: Plug) -> None:
    busy = plug("override")
    assert door.ask("override", 1.0, timeout=1).result(60) == refusal(door, "Request timeout expired")
    asked = door.ask("override", 2.0, timeout=90_000_000)
    busy.until_waiting(1)
    busy.release()
    assert (asked.result(60), busy.order()) == (Told("OK"), [2.0])


def test_a_request_waits_as_long_as_others_where_that_is_not_allowed(door: Door, plug: Plug) -> None:
    busy = plug("strict")
    asked = door.ask("strict", 1.0, timeout=1)
    busy.until_waiting(1)
    busy.release()
    assert (asked.result(60), busy.order()) == (Told("OK"), [1.0])


def test_who_is_delayed_is_served_behind_the_others(door: Door, plug: Plug) -> None:
    busy = plug("delaying")
    asked = [door.ask("delaying", 1.0, timeout=1)]
    busy.until_waiting(1)
    asked.append(door.ask("delaying", 2.0))
    busy.until_waiting(2)
    busy.release()
    assert results(asked) == [Told("OK")] * 2
    assert busy.order() == [2.0, 1.0]


def test_answers_leave_in_order(running: Gateway, door: Door, plug: Plug, folders: dict[str, Path]) -> None:
    def workers() -> int:
        path = folders["ordered"] / "ran"
        return len({line.split()[1] for line in path.read_text().splitlines()}) if path.exists() else 0

    def both_ran() -> bool:
        results([door.ask("ordered", 0.0) for _ in range(4)])
        return workers() == 2

    until_blocking(both_ran)
    order: list[str] = []
    busy = plug("ordered")
    busy._plug.add_done_callback(lambda _: order.append("plug"))
    asked = [door.ask("ordered", value) for value in (1.0, 2.0, 3.0)]
    for one in asked:
        one.add_done_callback(lambda _: order.append("quick"))
    # An instance gets its next request after its answer to the last, so two of them are answered.
    until_blocking(lambda: len(busy.order()) == 3)
    assert running.ask("/v2/health/live")[0] == 200
    assert order == [], "the quick ones have run, and their answers wait for the slow one's"
    busy.release()
    assert results(asked) == [Told("OK")] * 3
    assert sorted(order) == ["plug", "quick", "quick", "quick"]


def test_the_configuration_shows_the_policy(running: Gateway) -> None:
    config = running.ask("/v2/models/levels/config")[1]["dynamic_batching"]
    assert (config["priority_levels"], config["default_priority_level"]) == (3, 2)
