"""PyTorch models behind a gateway started as a user starts it; without PyTorch the reason is told."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.python_files import write

HAS_TORCH = importlib.util.find_spec("torch") is not None
CONFIG = """
    platform: "pytorch_libtorch"
    max_batch_size: 8
    input { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 4 ] }
    input { name: "INPUT__1" data_type: TYPE_FP32 dims: [ 4 ] }
    output { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 4 ] }
    output { name: "OUTPUT__1" data_type: TYPE_FP32 dims: [ 4 ] }
    dynamic_batching { }
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name in ("script", "exported", "damaged"):
        write(root / name, CONFIG, "config.pbtxt")
    write(root / "damaged" / "1", "no archive", "model.pt")
    if HAS_TORCH:
        import torch

        from tests.fakes import torch_files

        torch_files.script(root / "script" / "1", torch_files.AddSub())
        # One tensor for both arguments would be exported as one input.
        examples = torch.ones(2, 4), torch.ones(2, 4)
        torch_files.exported(root / "exported" / "1", torch_files.AddSub(), *examples)
    return root


@pytest.fixture(scope="module")
def running(repository: Path) -> Generator[Gateway]:
    with gateway(repository, "--insecure-dev") as started:
        yield started
        assert started.stop() == 0, started.log.read_text()


def ask(running: Gateway, model: str) -> tuple[int, object]:
    inputs = [
        {"name": f"INPUT__{one}", "datatype": "FP32", "shape": [1, 4], "data": [one + 1.0] * 4}
        for one in range(2)
    ]
    status, answer, _ = running.infer(model, {"inputs": inputs}, timeout_s=60)
    return status, [one["data"] for one in answer["outputs"]] if status == 200 else answer["error"]


def test_a_model_that_cannot_be_loaded_says_why(running: Gateway) -> None:
    status, answer = ask(running, "damaged")
    assert status == 503
    assert ("model.pt: RuntimeError" if HAS_TORCH else "PyTorch models need the extra 'torch'") in str(answer)


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize("model", ["script", "exported"])
def test_a_model_answers(running: Gateway, model: str) -> None:
    assert ask(running, model) == (200, [[3.0] * 4, [-1.0] * 4])
