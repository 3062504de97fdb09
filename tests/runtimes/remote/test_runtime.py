"""RemoteRuntime as a worker uses it: from a thread without a loop, before a server in a thread of its own."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.model import ModelSpec
from gateway.runtimes.contract import LoadError, TimedOut, Unavailable, concurrent
from gateway.runtimes.remote import runtime
from gateway.runtimes.remote.runtime import Abandoned, RemoteModel, RemoteRuntime
from tests.fakes.upstream import Served

EMPTY = ModelSpec("m", 1, "remote", "remote", (), ())
INPUT = np.array([1, 2], np.float32)


@pytest.fixture
def upstream() -> Iterator[Served]:
    with Served() as served:
        yield served


def load(url: str, path: Path, **options: str) -> RemoteModel:
    given = {"url": url, "default_model_filename": "", **options}
    return RemoteRuntime().load(path, EMPTY, given, max_batch_known=False, default_max_batch_size=64)


class Told:
    """What `done` was told."""

    def __init__(self) -> None:
        self.outcome: Any = None
        self.event = threading.Event()

    def __call__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.event.set()

    def wait(self) -> Any:
        assert self.event.wait(10)
        return self.outcome


def test_a_model_is_loaded_asked_and_closed(upstream: Served, tmp_path: Path) -> None:
    model = load(upstream.url, tmp_path, max_in_flight="3")
    assert concurrent(model) is model
    assert model.spec.concurrency == 3
    assert [one.name for one in model.spec.inputs] == ["X"]
    (found,) = model.infer([INPUT], (0,), 1, None)  # type: ignore[arg-type] - it shares no memory
    assert found.tolist() == [3, 4]
    told = Told()
    model.begin([INPUT], (0,), 1, inf, told)
    assert told.wait()[0].tolist() == [3, 4]
    model.close()
    assert not [one for one in threading.enumerate() if one.name == "remote m/1"]


def test_many_are_under_way_and_each_may_be_cancelled_or_late(upstream: Served, tmp_path: Path) -> None:
    model = load(upstream.url, tmp_path)
    gone = upstream.hang_now("/v2/models/m/infer")
    told = [Told() for _ in range(8)]
    calls = [model.begin([INPUT], (0,), 1, 0.3 if one == 0 else inf, told[one]) for one in range(8)]
    for call in calls[1:]:
        call.cancel()
    assert isinstance(told[0].wait(), TimedOut)
    assert all(isinstance(one.wait(), Abandoned) for one in told[1:])
    upstream.settle(asyncio.wait_for(gone.wait(), 5))
    model.close()


def test_an_upstream_that_only_hangs_is_shut_out_too(upstream: Served, tmp_path: Path) -> None:
    model = load(upstream.url, tmp_path, timeout_ms="100", failures_to_open="2", probe_interval_ms="600000")
    upstream.hang_now("/v2/models/m/infer")
    outcomes = []
    for _ in range(3):
        told = Told()
        model.begin([INPUT], (0,), 1, 60.0, told)
        outcomes.append(type(told.wait()))
    assert outcomes == [TimedOut, TimedOut, Unavailable]
    model.close()


def test_close_ends_what_is_under_way(upstream: Served, tmp_path: Path) -> None:
    model = load(upstream.url, tmp_path)
    upstream.hang_now("/v2/models/m/infer")
    told = Told()
    model.begin([INPUT], (0,), 1, inf, told)
    model.close()
    assert isinstance(told.wait(), Exception)


def test_it_is_told_when_its_upstream_is_in_trouble(upstream: Served, tmp_path: Path) -> None:
    model = load(upstream.url, tmp_path, probe_interval_ms="50", open_ms="50")
    told, words, changed = threading.Event(), [], threading.Event()

    def note(trouble: str) -> None:
        words.append(trouble)
        (changed if trouble == "" else told).set()

    model.watch(note)
    upstream.say("/v2/health/ready", {"error": "draining"}, status=503)
    assert told.wait(10)
    assert words == ["draining"]
    upstream.say("/v2/health/ready", b"")
    assert changed.wait(10)
    model.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "nowhere"}, r"parameters\['url'\]"),
        ({"token_env": "THERE_IS_NO_SUCH_VARIABLE"}, r"parameters\['token_env'\]"),
        ({"model_name": "other"}, "does not tell of its model: no such thing"),
        ({"url": "http://127.0.0.1:9"}, "does not tell of its model: no connection"),
        ({"url": "grpc://127.0.0.1:9"}, "does not tell of its model: no connection"),
    ],
)
def test_what_cannot_be_loaded_says_why(
    upstream: Served, tmp_path: Path, options: dict[str, str], words: str
) -> None:
    with pytest.raises(LoadError, match=words) as caught:
        load(options.pop("url", upstream.url), tmp_path, **options)
    assert "127.0.0.1" not in str(caught.value)
    assert not [one for one in threading.enumerate() if one.name == "remote m/1"]


def test_a_decoupled_upstream_is_refused(upstream: Served, tmp_path: Path) -> None:
    upstream.say("/v2/models/m/config", {"model_transaction_policy": {"decoupled": True}})
    with pytest.raises(LoadError, match="decoupled"):
        load(upstream.url, tmp_path)


def test_a_client_library_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(LoadError, match="http upstreams need 'aiohttp'"):
        load("http://a", tmp_path)
    assert runtime.DESCRIBE_S > 0
