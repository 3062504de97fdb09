"""Where a PyTorch model runs, by what it asks for and what there is."""

from __future__ import annotations

import pytest

from gateway.core.placement import Place
from gateway.runtimes.contract import LoadError
from gateway.runtimes.torch_device import Choice, choose


@pytest.mark.parametrize(
    ("place", "gpus", "has_cuda", "expected"),
    [
        (Place(), 0, False, Choice("cpu")),
        (Place(), 0, True, Choice("cpu")),
        (Place(), 2, True, Choice("cuda:0", "on GPU 0 by PyTorch")),
        (Place(), 1, False, Choice("cpu", "on the CPU: this PyTorch cannot use the GPU")),
        (Place("auto", 1), 2, True, Choice("cuda:1", "on GPU 1 by PyTorch")),
        (Place("cpu"), 2, True, Choice("cpu")),
        (Place("gpu", 1), 2, True, Choice("cuda:1", "on GPU 1 by PyTorch")),
    ],
)
def test_choices(place: Place, gpus: int, has_cuda: bool, expected: Choice) -> None:
    assert choose(place, gpus, has_cuda=has_cuda) == expected


@pytest.mark.parametrize(
    ("place", "gpus", "has_cuda", "reason"),
    [
        (Place("gpu"), 0, True, "KIND_GPU needs GPU 0, and no GPU is visible"),
        (Place("gpu", 3), 2, True, "KIND_GPU needs GPU 3, and only 2 are visible"),
        (Place("gpu"), 1, False, "KIND_GPU needs a PyTorch that can use the GPU"),
    ],
)
def test_what_was_asked_for_is_had_or_refused(place: Place, gpus: int, has_cuda: bool, reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        choose(place, gpus, has_cuda=has_cuda)
