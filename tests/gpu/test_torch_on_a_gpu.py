"""PyTorch on a real GPU: both kinds of file give the answers of the CPU."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from gateway.core.placement import Place
from gateway.runtimes.torch import TorchModel, TorchRuntime
from tests.runtimes.test_torch import ADD_SUB, A, B, run

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch cannot use the GPU")


def load(folder: Path, file: str, place: Place) -> TorchModel:
    options = {"default_model_filename": file, **place.options()}
    return TorchRuntime().load(folder, ADD_SUB, options, max_batch_known=True, default_max_batch_size=64)


def saved(folder: Path, file: str) -> Path:
    from tests.fakes import torch_files

    if file.endswith(".pt2"):
        return torch_files.exported(folder, torch_files.AddSub(), torch.ones(2, 4), torch.ones(2, 4))
    return torch_files.script(folder, torch_files.AddSub())


@pytest.mark.parametrize("file", ["model.pt", "model.pt2"])
@pytest.mark.parametrize("place", [Place(), Place("gpu")])
def test_the_gpu_answers_what_the_cpu_answers(tmp_path: Path, file: str, place: Place) -> None:
    model = load(saved(tmp_path, file), file, place)
    assert model.note == "on GPU 0 by PyTorch"
    total, difference = run(model, A, B)
    np.testing.assert_array_equal(total, A + B)
    np.testing.assert_array_equal(difference, A - B)


def test_weights_and_what_the_program_makes_are_there_too(tmp_path: Path) -> None:
    from tests.fakes import torch_files

    class Positions(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.full((4,), 2.0))

        def forward(self, x):  # type: ignore[no-untyped-def]
            return x * self.weight + torch.arange(4, dtype=torch.float32)

    torch_files.exported(tmp_path, Positions(), torch.ones(2, 4))
    spec = msgspec.structs.replace(ADD_SUB, inputs=ADD_SUB.inputs[:1], outputs=ADD_SUB.outputs[:1])
    options = {"default_model_filename": "model.pt2", **Place("gpu").options()}
    model = TorchRuntime().load(tmp_path, spec, options, max_batch_known=True, default_max_batch_size=64)
    (found,) = run(model, A, outputs=(0,))
    np.testing.assert_array_equal(found, A * 2 + np.arange(4, dtype="f4"))


def test_the_cpu_when_it_is_asked_for(tmp_path: Path) -> None:
    model = load(saved(tmp_path, "model.pt"), "model.pt", Place("cpu"))
    assert not model.note
    np.testing.assert_array_equal(run(model, A, B)[0], A + B)
