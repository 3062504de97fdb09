"""Which cards CUDA_VISIBLE_DEVICES leaves: as CUDA reads it, and what goes beyond."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.nvml import Card, Nvml
from gateway.devices.visibility import visible
from gateway.runtimes import gpus
from tests.fakes.nvml_cards import FakeCard, FakeNvml, whole

PLAIN = Nvml(FakeNvml(*(FakeCard("H100", uuid) for uuid in ("aa1", "aa2", "b")))).cards()
SLICED = Nvml(
    FakeNvml(
        FakeCard("A100", "a", "1g.5gb", "2g.10gb"), FakeCard("A100", "b"), FakeCard("A100", "c", is_mig=True)
    )
).cards()


def ids(cards: list[Card], told: str | None) -> list[str]:
    return [reading.device.id for reading in visible(cards, told)]


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        (None, ["GPU-aa1", "GPU-aa2", "GPU-b"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", ["GPU-aa1"]),
        ("2,0", ["GPU-b", "GPU-aa1"]),
        (" 1 , 2 ", ["GPU-aa2", "GPU-b"]),
        ("0,3,1", ["GPU-aa1"]),
        ("0,-1,1", ["GPU-aa1"]),
        ("0,,1", ["GPU-aa1"]),
        ("GPU-b,0", ["GPU-b", "GPU-aa1"]),
        ("GPU-aa2", ["GPU-aa2"]),
        ("GPU-a", []),
        ("GPU-b,GPU-a,0", ["GPU-b"]),
        ("GPU-zz", []),
        ("gpu-b", []),
        ("MIG-b", []),
        ("1,1", []),
        ("0,GPU-aa1", []),
        ("٣", []),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(told: str | None, seen: list[str]) -> None:
    assert ids(PLAIN, told) == seen


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        (None, ["MIG-a-0", "MIG-a-1", "GPU-b"]),
        ("MIG-a-1", ["MIG-a-1"]),
        ("MIG-a-1,MIG-a-0", ["MIG-a-1", "MIG-a-0"]),
        ("MIG-a", []),
        ("0", ["MIG-a-0", "MIG-a-1"]),
        ("1,GPU-a", ["GPU-b", "MIG-a-0", "MIG-a-1"]),
        ("GPU-a,MIG-a-0", []),
        ("2,1", ["GPU-b"]),
    ],
)
def test_a_card_in_slices_stands_for_all_of_them(told: str | None, seen: list[str]) -> None:
    assert ids(SLICED, told) == seen


def test_a_card_that_does_not_tell_its_name_keeps_its_number() -> None:
    library = whole("T4", "T4")
    cards = [Card(0, None), *Nvml(library).cards()[1:]]
    assert ids(cards, None) == ["GPU-1"]
    assert ids(cards, "1") == ["GPU-1"]
    assert ids(cards, "0,1") == []


ENTRIES = st.lists(st.sampled_from(["0", "1", "2", "3", "-1", "", "x"]), max_size=4)


@given(st.none() | ENTRIES.map(",".join))
def test_workers_count_as_many(told: str | None) -> None:
    """What counts GPUs without NVML, in workers and where there is none, must not disagree."""
    assert len(visible(PLAIN, told)) == gpus.visible(len(PLAIN), told)
