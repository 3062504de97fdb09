"""All devices over time: what is there, what is lost, what comes back, what appears."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.device import CPU, Device
from gateway.devices.host import HostMemory
from gateway.devices.inventory import Inventory, Look
from gateway.devices.nvml import Nvml
from gateway.devices.placement import NoRoom, Placement, Room, Want, place
from tests.fakes.nvml_cards import GPU_IS_LOST, MIB, TIMEOUT, UNKNOWN, FakeCard, FakeNvml, whole

GIB = 1 << 30
HOST = HostMemory(64 * GIB, 40 * GIB)


def of(library: FakeNvml, told: str | None = None) -> Inventory:
    return Inventory(Nvml(library), told, read=lambda: HOST)


def ids(look: Look) -> list[str]:
    return [device.id for device in look.devices]


def lost(look: Look) -> list[str]:
    assert look.lost == {device.id for device in look.devices if not device.is_healthy}
    return sorted(look.lost)


def rooms(look: Look) -> list[Room]:
    return [Room(device, look.free_bytes.get(device.id, 0)) for device in look.devices]


def test_the_cpu_comes_first_then_cards_and_slices_in_their_order() -> None:
    library = FakeNvml(FakeCard("H100", "a"), FakeCard("A100", "b", "1g.5gb", "2g.10gb"), FakeCard("T4", "c"))
    library.cards[2].used = 100 * MIB
    look = of(library).look()
    assert ids(look) == [CPU, "GPU-a", "MIG-b-0", "MIG-b-1", "GPU-c"]
    assert look.devices[0] == Device(memory_bytes=64 * GIB)
    assert look.free_bytes[CPU] == 40 * GIB
    assert look.free_bytes["GPU-c"] == 15_260 * MIB
    assert look.reason == ""
    assert [device.id for device in look.gpus] == ids(look)[1:]


def test_the_variable_decides_what_is_there_and_in_which_order() -> None:
    assert ids(of(whole("T4", "T4", "T4"), "2,0").look()) == [CPU, "GPU-2", "GPU-0"]
    assert ids(of(whole("T4"), "").look()) == [CPU]


def test_without_a_driver_there_is_the_cpu_and_the_reason() -> None:
    look = Inventory.find(None, library="no_such_library").look()
    assert ids(look) == [CPU]
    assert look.reason == "the package nvidia-ml-py is not installed (extra 'gpu')"
    assert look.devices[0].memory_bytes > 0


def test_a_library_that_is_there_is_found_opened_and_closed() -> None:
    inventory = Inventory.find("1,0", library="tests.fakes.nvml.pynvml")
    look = inventory.look()
    inventory.close()
    assert ids(look) == [CPU, "GPU-1", "GPU-0"]
    assert look.free_bytes["GPU-1"] == 78 * GIB
    assert look.reason == ""


@pytest.mark.parametrize(("limit", "total", "free"), [(0, 64, 40), (50, 50, 40), (8, 8, 8), (100, 64, 40)])
def test_the_host_memory_can_be_bounded(limit: int, total: int, free: int) -> None:
    look = Inventory(None, host_limit_bytes=limit * GIB, read=lambda: HOST).look()
    assert look.devices[0].memory_bytes == total * GIB
    assert look.free_bytes == {CPU: free * GIB}


def test_free_memory_is_that_of_the_last_look() -> None:
    library = whole("H100")
    inventory = of(library)
    before = inventory.look().free_bytes["GPU-0"]
    library.cards[0].used = 30 * GIB
    assert inventory.look().free_bytes["GPU-0"] == before - 30 * GIB


def test_a_lost_card_is_told_at_once_and_keeps_its_place(caplog: pytest.LogCaptureFixture) -> None:
    library = whole("H100", "H100")
    inventory = of(library)
    inventory.look()
    library.cards[0].error = GPU_IS_LOST
    look = inventory.look()
    assert ids(look) == [CPU, "GPU-0", "GPU-1"]
    assert lost(look) == ["GPU-0"]
    assert look.devices[1].memory_bytes == 81_559 * MIB, "what it was is still known"
    assert "GPU-0" not in look.free_bytes
    assert "GPU-0 is lost: its driver says so" in caplog.text
    inventory.look()
    assert caplog.text.count("is lost") == 1
    library.cards[0].error = 0
    assert lost(inventory.look()) == []
    inventory.check()


def test_slices_are_lost_with_their_card() -> None:
    library = FakeNvml(FakeCard("A100", "a", "1g.5gb", "1g.5gb"), FakeCard("A100", "b", "1g.5gb"))
    inventory = of(library)
    inventory.look()
    library.cards[0].error = GPU_IS_LOST
    assert lost(inventory.look()) == ["MIG-a-0", "MIG-a-1"]


def test_one_slice_can_be_lost_alone() -> None:
    library = FakeNvml(FakeCard("A100", "a", "1g.5gb", "1g.5gb"))
    inventory = of(library)
    inventory.look()
    library.device("MIG-a-1").error = GPU_IS_LOST
    assert lost(inventory.look()) == ["MIG-a-1"]


def test_a_card_that_says_it_is_lost_before_its_name_is_the_one_with_its_number() -> None:
    library = whole("T4", "T4")
    inventory = of(library)
    inventory.look()
    library.failing = {"nvmlDeviceGetHandleByIndex": GPU_IS_LOST}
    assert lost(inventory.look()) == ["GPU-0", "GPU-1"]


@pytest.mark.parametrize("question", ["Count", "MemoryInfo", "UUID", "MigMode"])
def test_silence_is_believed_the_second_time(question: str) -> None:
    failing = f"nvmlDeviceGet{question}"
    library = whole("T4")
    inventory = of(library)
    inventory.look()
    library.failing = {failing: UNKNOWN}
    assert lost(inventory.look()) == []
    library.failing = {}
    assert lost(inventory.look()) == [], "an answer makes it start anew"
    library.failing = {failing: TIMEOUT}
    assert lost(inventory.look()) == []
    assert lost(inventory.look()) == ["GPU-0"]
    inventory.check()


def test_a_card_that_is_lost_at_the_start_is_told_and_never_chosen(caplog: pytest.LogCaptureFixture) -> None:
    library = whole("T4")
    library.cards[0].error = GPU_IS_LOST
    look = of(library).look()
    assert lost(look) == ["GPU-0"]
    assert "GPU-0 is lost" in caplog.text
    assert isinstance(place(Want(1, "gpu"), rooms(look), "pack"), NoRoom)


def test_a_card_that_never_tells_its_name_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    library = whole("T4", "T4")
    library.failing = {"nvmlDeviceGetUUID": UNKNOWN}
    assert ids(of(library).look()) == [CPU]
    assert "GPU 1 does not tell what it is" in caplog.text


def test_a_card_is_not_taken_for_whole_because_it_does_not_tell_its_mode() -> None:
    library = FakeNvml(FakeCard("A100", "a", "1g.5gb"))
    library.failing = {"nvmlDeviceGetMigMode": TIMEOUT}
    inventory = of(library)
    assert ids(inventory.look()) == [CPU]
    library.failing = {}
    assert ids(inventory.look()) == [CPU, "MIG-a-0"]


def test_slices_that_somebody_makes_later_come_last_and_those_unmade_are_lost() -> None:
    library = FakeNvml(FakeCard("A100", "a", "3g.20gb"), FakeCard("A100", "b", "1g.5gb"))
    inventory = of(library)
    assert ids(inventory.look()) == [CPU, "MIG-a-0", "MIG-b-0"]
    library.cards[0].cut("1g.5gb", "1g.5gb")
    inventory.look()
    look = inventory.look()
    assert ids(look) == [CPU, "MIG-a-0", "MIG-b-0", "MIG-a-1", "MIG-a-2"]
    assert lost(look) == ["MIG-a-0"]
    inventory.check()


def test_nothing_appears_while_a_card_cannot_be_compared_with_the_variable() -> None:
    library = FakeNvml(FakeCard("A100", "x1"), FakeCard("A100", "x2"))
    inventory = of(library, "GPU-x")
    assert ids(inventory.look()) == [CPU], "two cards begin like that"
    library.failing = {"nvmlDeviceGetUUID": GPU_IS_LOST}
    assert ids(inventory.look()) == [CPU]


# ---- models on them --------------------------------------------------------------------------------------


def placed_one_by_one(look: Look, wants: list[Want]) -> list[str]:
    free = dict(look.free_bytes)
    found = []
    for want in wants:
        where = place(want, [Room(one, free.get(one.id, 0)) for one in look.devices], "pack")
        if isinstance(where, Placement):
            free[where.device.id] -= want.needs_bytes
            found.append(where.device.id)
        else:
            found.append("")
    return found


@pytest.mark.parametrize(
    ("product", "instances", "gib", "where"),
    [
        ("A100", ["1g.5gb"] * 7, [4] * 8, [f"MIG-a-{nth}" for nth in range(7)] + [""]),
        ("A100", ["3g.20gb", "2g.10gb", "1g.5gb"], [9, 4, 9, 12], ["MIG-a-1", "MIG-a-2", "MIG-a-0", ""]),
        ("H100", ["1g.10gb", "3g.40gb"], [9, 30, 20], ["MIG-a-0", "MIG-a-1", ""]),
        ("H200", ["1g.18gb", "4g.71gb"], [17, 15, 50], ["MIG-a-1", "MIG-a-0", "MIG-a-1"]),
    ],
)
def test_models_over_slices(product: str, instances: list[str], gib: list[int], where: list[str]) -> None:
    look = of(FakeNvml(FakeCard(product, "a", *instances))).look()
    assert placed_one_by_one(look, [Want(size * GIB) for size in gib]) == where


def test_models_of_a_lost_slice_find_another_place() -> None:
    library = FakeNvml(FakeCard("H100", "a", "1g.10gb", "1g.10gb"), FakeCard("H100", "b", "1g.20gb"))
    inventory = of(library)
    assert placed_one_by_one(inventory.look(), [Want(9 * GIB)]) == ["MIG-a-0"]
    library.cards[0].error = GPU_IS_LOST
    assert placed_one_by_one(inventory.look(), [Want(9 * GIB)]) == ["MIG-b-0"]
    library.cards[1].error = GPU_IS_LOST
    assert placed_one_by_one(inventory.look(), [Want(9 * GIB)]) == [CPU]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, TIMEOUT, GPU_IS_LOST])), max_size=12))
def test_whatever_is_lost_and_comes_back_places_stay(events: list[tuple[int, int]]) -> None:
    library = FakeNvml(FakeCard("A100", "a", "1g.5gb", "2g.10gb"), FakeCard("H100", "b"), FakeCard("T4", "c"))
    inventory = of(library)
    before = ids(inventory.look())
    for card, error in events:
        library.cards[card].error = error
        look = inventory.look()
        inventory.check()
        assert ids(look) == before
        assert not set(lost(look)) & set(look.free_bytes)
    for card in library.cards:
        card.error = 0
    assert lost(inventory.look()) == []
