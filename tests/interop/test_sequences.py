"""Stateful models behind a gateway started as a user starts it: whoever asks, however many at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.bench.environments import Missing, environment
from tests.fakes.ensembles import add_ensemble
from tests.fakes.ensembles import config_of as ensemble_config
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.sequences import (
    DIRECT,
    add_accumulator,
    add_marker,
    add_own_sums,
    add_simple_sequences,
    add_triton_sums,
    oldest,
    state,
)
from tests.fakes.waiting import until_blocking

INLINE = 'parameters { key: "gateway.isolation" value { string_value: "inline" } }'
WARM_INPUT = "inputs { key: 'INPUT' value { data_type: TYPE_INT32 dims: 1 random_data: true } }"
WARM = f"model_warmup {{ batch_size: 3 {WARM_INPUT} }}"
FILE = "initial_state { name: 'from a file' data_type: TYPE_INT32 dims: 1 data_file: 'hundred.raw' }"
WAIT = "max_queue_delay_microseconds: 100000"
# Models whose answers are running sums, each kept and batched in another way.
SUMS = (
    "direct",
    "oldest",
    "from_file_only",
    "in_front",
    "own_direct",
    "own_oldest",
    "triton",
    "warm",
    "part",
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    add_accumulator(root, "direct", DIRECT)
    add_accumulator(root, "oldest", oldest(8))
    add_accumulator(root, "from_file_only", DIRECT, tensors=False)
    add_accumulator(root, "in_front", DIRECT, more=INLINE)
    add_accumulator(root, "warm", oldest(8), more=WARM)
    add_accumulator(root, "flat", DIRECT, rows=0)
    add_accumulator(root, "short", DIRECT, rows=1, idle_us=200_000)
    add_accumulator(root, "from_hundred", DIRECT, states=state(FILE))
    (root / "from_hundred" / "initial_state").mkdir()
    (root / "from_hundred" / "initial_state" / "hundred.raw").write_bytes(np.array(100, "<i4").tobytes())
    add_accumulator(root, "counted", oldest(64, WAIT), rows=16)
    add_marker(root, "marker", f"direct {{ {WAIT} minimum_slot_utilization: 1.0 }}", rows=3)
    add_own_sums(root, "own_direct", DIRECT)
    add_own_sums(root, "own_oldest", oldest(8), instances=2)
    add_own_sums(root, "mortal", oldest(8))
    add_triton_sums(root, "triton")
    add_simple_sequences(root)
    parts = (("oldest", {"INPUT": "INPUT"}, {"OUTPUT": "OUTPUT"}),)
    tensors = (("INPUT TYPE_INT32 [ 1 ]",), ("OUTPUT TYPE_INT32 [ 1 ]",))
    add_ensemble(root, "part", ensemble_config(parts, *tensors, max_batch_size=1))
    return root


@pytest.fixture(scope="module")
def running(repository: Path) -> Generator[Gateway]:
    with gateway(repository, "--insecure-dev") as started:
        yield started
        assert started.stop() == 0, started.log.read_text()


def ask(
    running: Gateway,
    model: str,
    value: int,
    identity: int | str,
    *,
    start: bool = False,
    end: bool = False,
    shape: tuple[int, ...] = (1, 1),
) -> tuple[int, Any]:
    """Status, and the sum or the words of the error."""
    tensor = {"name": "INPUT", "datatype": "INT32", "shape": shape, "data": [value]}
    parameters = {"sequence_id": identity, "sequence_start": start, "sequence_end": end}
    status, answer, _ = running.infer(model, {"inputs": [tensor], "parameters": parameters}, 30.0)
    return status, answer["outputs"][0]["data"][0] if status == 200 else answer["error"]


def run(running: Gateway, model: str, identity: int, values: list[int]) -> list[int]:
    """One sequence from start to end, each request after the answer to the last; its sums."""
    told = []
    for at, value in enumerate(values):
        flags = {"start": at == 0, "end": at == len(values) - 1}
        status, answer = ask(running, model, value, identity, **flags)
        assert status == 200, (model, answer)
        told.append(answer)
    return told


@pytest.mark.parametrize("model", SUMS)
def test_sequences_side_by_side_do_not_mix(running: Gateway, model: str) -> None:
    """More of them than slots, so that some wait for others to end."""
    values = {1 + one: [one * 100 + 20 + step for step in range(6)] for one in range(12)}
    with ThreadPoolExecutor(12) as threads:
        told = threads.map(lambda item: run(running, model, *item), values.items())
        for given, sums in zip(values.values(), told, strict=True):
            assert sums == np.cumsum(given).tolist()


def test_without_a_batch_axis_one_sequence_lives_at_a_time(running: Gateway) -> None:
    for flags, expected in (({"start": True}, 2), ({}, 4), ({"end": True}, 6)):
        assert ask(running, "flat", 2, "a", shape=(1,), **flags) == (200, expected)


def test_an_initial_state_is_read_from_its_file(running: Gateway) -> None:
    assert run(running, "from_hundred", 5, [1, 2]) == [101, 103]


def test_callers_see_neither_controls_nor_states(running: Gateway) -> None:
    for model in ("marker", "from_file_only"):
        _, told, _ = running.ask(f"/v2/models/{model}")
        assert [one["name"] for one in told["inputs"] + told["outputs"]] == ["INPUT", "OUTPUT"]
    _, config, _ = running.ask("/v2/models/marker/config")
    assert [one["name"] for one in config["input"]] == ["INPUT"]
    assert config["sequence_batching"]["direct"]["max_queue_delay_microseconds"] == 100_000
    told = ask(running, "marker", 1, 5, start=True, end=True)
    assert told == (200, 1 + 10 + 100 + 1000 + 5 * 10_000)
    assert "sequence" in running.ask("/v2")[1]["extensions"]


def test_every_row_has_its_own_controls(running: Gateway) -> None:
    """All slots have a request, so that they run together."""
    flags = {7: {"start": True}, 8: {"start": True, "end": True}, 9: {"start": True}}
    ends = {7: {"end": True}, 9: {"end": True}}
    with ThreadPoolExecutor(3) as threads:
        told = list(threads.map(lambda who: ask(running, "marker", 1, who, **flags[who]), flags))
        assert told == [(200, 70_111), (200, 81_111), (200, 90_111)]
        told = list(threads.map(lambda who: ask(running, "marker", 1, who, **ends[who]), ends))
    assert told == [(200, 71_101), (200, 91_101)], "not all slots have one: it waits for a while"


def test_an_idle_sequence_expires_and_its_slot_is_for_who_waits(running: Gateway) -> None:
    assert ask(running, "short", 1, 1, start=True) == (200, 1)
    assert ask(running, "short", 1, 2, start=True) == (200, 1), "it waited"
    status, text = ask(running, "short", 1, 1)
    assert status == 400
    assert "must specify the START flag" in text
    assert "idle for 0.2 s" in text


def test_a_dead_process_takes_its_sequences_along_and_nothing_runs_twice(running: Gateway) -> None:
    assert ask(running, "mortal", 5, 1, start=True) == (200, 5)
    assert ask(running, "mortal", 6, 2, start=True) == (200, 6)
    pids = {one.pid for one in running.processes("gateway-worker")}
    status, text = ask(running, "mortal", 666, 1)
    assert status == 503, text
    assert "with it the state of sequence 1" in text
    status, text = ask(running, "mortal", 1, 2)
    assert status == 400
    assert "lost with the model's process" in text
    assert ask(running, "mortal", 7, 2, start=True) == (200, 7)
    gone = pids - {one.pid for one in running.processes("gateway-worker")}
    assert len(gone) == 1, "it was not asked again"


def test_a_killed_process_fails_what_runs_in_it(running: Gateway) -> None:
    assert ask(running, "mortal", 5, 1, start=True) == (200, 5)
    for pid in [one.pid for one in running.processes("gateway-worker")]:
        os.kill(pid, signal.SIGKILL)
    until_blocking(lambda: ask(running, "mortal", 1, 1)[0] == 400)
    assert ask(running, "mortal", 5, 1, start=True) == (200, 5)
    assert run(running, "direct", 1, [1, 2, 3]) == [1, 3, 6]


def test_a_request_that_raises_leaves_its_sequence_as_it_was(running: Gateway) -> None:
    assert ask(running, "own_direct", 5, 1, start=True) == (200, 5)
    assert ask(running, "own_direct", 13, 1) == (400, "no thirteen")
    assert ask(running, "own_direct", 6, 1, end=True) == (200, 11)


def test_a_request_that_triton_s_file_refuses_does_not_hurt_its_mates(running: Gateway) -> None:
    """Four ask at once, again and again, so that they share batches."""

    def sums(who: int) -> list[tuple[int, Any]]:
        told = [ask(running, "triton", 5, who, start=True)]
        told += [ask(running, "triton", 13 if who == 2 else 6, who) for _ in range(5)]
        return [*told, ask(running, "triton", 7, who, end=True)]

    with ThreadPoolExecutor(4) as threads:
        for who, told in enumerate(threads.map(sums, range(1, 5)), 1):
            if who == 2:
                assert told == [(200, 5), *[(400, "no thirteen")] * 5, (200, 12)]
            else:
                assert told == [(200, value) for value in (5, 11, 17, 23, 29, 35, 42)]


def test_a_model_loaded_anew_remembers_nothing(running: Gateway) -> None:
    assert ask(running, "direct", 5, 1, start=True) == (200, 5)
    assert running.ask("/v2/repository/models/direct/unload", {})[0] == 200
    assert running.ask("/v2/repository/models/direct/load", {})[0] == 200
    status, text = ask(running, "direct", 5, 1)
    assert (status, "must specify the START flag" in text) == (400, True)
    assert ask(running, "direct", 5, 1, start=True) == (200, 5)


def test_what_ran_is_counted_exactly(running: Gateway) -> None:
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda who: run(running, "counted", who, [1] * 5), range(1, 17)))
    assert ask(running, "counted", 1, 99)[0] == 400
    (told,) = running.ask("/v2/models/counted/stats")[1]["model_stats"]
    assert told["inference_count"] == 80
    assert (told["inference_stats"]["success"]["count"], told["inference_stats"]["fail"]["count"]) == (80, 1)
    batches = {one["batch_size"]: one["compute_infer"]["count"] for one in told["batch_stats"]}
    assert sum(size * count for size, count in batches.items()) == 80
    assert sum(batches.values()) == told["execution_count"] < 80, "they have shared batches"


def test_a_stream_may_run_ahead_of_its_answers(running: Gateway) -> None:
    """Requests of two sequences, one behind the other on one stream: each in order, none at once."""

    def messages() -> Generator[pb.ModelInferRequest]:
        for at in range(20):
            for who in (1, 2):
                message = pb.ModelInferRequest(model_name="oldest", id=f"{who}")
                message.inputs.add(name="INPUT", datatype="INT32", shape=[1, 1])
                message.raw_input_contents.append(np.array(at * who, "<i4").tobytes())
                message.parameters["sequence_id"].int64_param = 500 + who
                message.parameters["sequence_start"].bool_param = at == 0
                message.parameters["sequence_end"].bool_param = at == 19
                yield message

    with grpc.insecure_channel(running.grpc) as channel:
        stream = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )
        told: dict[str, list[int]] = {"1": [], "2": []}
        for answer in stream(messages(), timeout=30):
            assert not answer.error_message
            (raw,) = answer.infer_response.raw_output_contents
            told[answer.infer_response.id].append(int(np.frombuffer(raw, "<i4")[0]))
    assert told == {f"{who}": np.cumsum(np.arange(20) * who).tolist() for who in (1, 2)}


@pytest.mark.timeout(600)  # the first run may have to install the clients
def test_tritonclient_finds_what_it_expects(running: Gateway) -> None:
    try:
        python = environment("tritonclient", "tritonclient") / "bin" / "python"
    except Missing as missing:
        pytest.skip(f"tritonclient cannot be installed: {missing}")
    script = Path(__file__).with_name("sequence_script.py")
    command = [str(python), str(script), running.http.removeprefix("http://"), running.grpc]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wrong = {check: why for check, why in found.items() if why}
    assert not wrong, "\n".join(f"{check}:\n{why}" for check, why in wrong.items())
    assert len(found) == 11
