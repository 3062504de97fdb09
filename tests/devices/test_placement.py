"""Which device is chosen: the rules one by one, and what must hold whatever there is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.device import CPU, Device
from gateway.core.placement import Kind
from gateway.devices.placement import NoRoom, Placement, Policy, Room, Want, candidates, is_of_class, place

GIB = 1 << 30
HOST = Device(memory_bytes=64 * GIB)
POLICIES = st.sampled_from(["spread", "pack"])


def gpu(number: int, gib: int = 80, **told: object) -> Device:
    fields = {"name": "NVIDIA H100 80GB HBM3", **told}
    return Device(f"GPU-{number}", "gpu", memory_bytes=gib * GIB, number=number, **fields)  # type: ignore[arg-type]


def mig(card: int, nth: int, sevenths: int = 1, gib: int = 10) -> Device:
    name = f"NVIDIA H100 80GB HBM3 MIG {sevenths}g.{gib}gb"
    return Device(f"MIG-{card}-{nth}", "mig", name, gib * GIB, card, f"GPU-{card}", sevenths / 7)


def room(device: Device, free_gib: float | None = None, *occupants: str) -> Room:
    free = device.memory_bytes if free_gib is None else int(free_gib * GIB)
    return Room(device, free, Counter(occupants), len(occupants))


def chosen(want: Want, rooms: list[Room], policy: Policy = "pack") -> str:
    placed = place(want, rooms, policy)
    assert isinstance(placed, Placement), placed
    return placed.device.id


def refused(want: Want, rooms: list[Room], policy: Policy = "pack") -> NoRoom:
    placed = place(want, rooms, policy)
    assert isinstance(placed, NoRoom), placed
    return placed


# ---- the rules -------------------------------------------------------------------------------------------


def test_packing_takes_the_one_on_which_least_stays_free() -> None:
    rooms = [room(HOST), room(gpu(0), 50), room(gpu(1), 12), room(gpu(2), 9)]
    assert chosen(Want(10 * GIB), rooms) == "GPU-1"


def test_packing_spares_processors_where_memory_does_not_decide() -> None:
    rooms = [room(gpu(0, 10)), room(mig(1, 0, 2)), room(mig(1, 1, 1))]
    assert chosen(Want(GIB), rooms) == "MIG-1-1"


def test_spreading_takes_the_one_of_which_the_largest_part_stays_free() -> None:
    # 30 of 80 are less of a device than 9 of 10.
    rooms = [room(gpu(0), 30), room(mig(1, 0), 9)]
    assert chosen(Want(GIB), rooms, "spread") == "MIG-1-0"


def test_spreading_counts_instances_where_nobody_knows_their_size() -> None:
    rooms = [room(gpu(0), None, "a"), room(gpu(1)), room(gpu(2), None, "b", "c")]
    assert chosen(Want(), rooms, "spread") == "GPU-1"
    # Two on a whole card leave each more than one on a slice of a seventh.
    rooms = [room(mig(1, 0), None, "a"), room(gpu(0), None, "a", "b")]
    assert chosen(Want(), rooms, "spread") == "GPU-0"


@pytest.mark.parametrize(
    ("kind", "number", "id_"),
    [("cpu", 0, CPU), ("cpu", 5, CPU), ("gpu", 0, "GPU-4"), ("gpu", 1, "MIG-2-0"), ("gpu", 2, "GPU-1")],
)
def test_a_number_counts_the_gpus_that_are_seen_in_their_order(kind: Kind, number: int, id_: str) -> None:
    rooms = [room(HOST), room(gpu(4)), room(mig(2, 0)), room(gpu(1))]
    assert chosen(Want(GIB, kind, number), rooms) == id_


def test_a_number_means_the_same_gpu_while_another_is_lost() -> None:
    rooms = [room(HOST), room(gpu(0, is_healthy=False)), room(gpu(1))]
    assert chosen(Want(GIB, "gpu", 1), rooms) == "GPU-1"
    gone = refused(Want(GIB, "gpu", 0), rooms)
    assert not gone.may_ever_fit
    assert gone.text == "GPU-0 is lost"


def test_a_gpu_that_is_not_there_is_told_as_an_engine_tells_it() -> None:
    text = "instance_group: KIND_GPU needs GPU 1, and only 1 are visible"
    assert refused(Want(GIB, "gpu", 1), [room(HOST), room(gpu(0))]).text == text
    text = "instance_group: KIND_GPU needs GPU 0, and no GPU is visible"
    assert refused(Want(GIB, "gpu", 0), [room(HOST)]).text == text


@pytest.mark.parametrize(
    ("needs_gib", "free_gib", "id_"),
    [(10, 80, "GPU-0"), (90, 80, CPU)],
    ids=["fits", "could never fit"],
)
def test_auto_is_a_gpu_if_it_could_ever_be(needs_gib: int, free_gib: int, id_: str) -> None:
    rooms = [room(HOST, 200), room(gpu(0), free_gib)]
    assert chosen(Want(needs_gib * GIB), rooms) == id_


def test_auto_waits_for_a_full_gpu_instead_of_taking_the_cpu() -> None:
    full = refused(Want(10 * GIB), [room(HOST), room(gpu(0), 5)])
    assert full == NoRoom(
        10 * GIB, 5 * GIB, True, f"{10 * GIB} bytes are needed on GPU GPU-0, and {5 * GIB} are free"
    )


def test_auto_is_on_the_cpu_where_the_gpu_is_lost() -> None:
    assert chosen(Want(GIB), [room(HOST), room(gpu(0, is_healthy=False))]) == CPU


def test_a_share_of_a_gpu_is_kept_to() -> None:
    rooms = [room(HOST), room(mig(0, 0, 1)), room(mig(0, 1, 3, 40)), room(gpu(1))]
    assert chosen(Want(GIB, compute_share=0.4), rooms) == "MIG-0-1"
    assert chosen(Want(GIB, compute_share=0.5), rooms) == "GPU-1"
    small = refused(Want(GIB, compute_share=0.4), rooms[:2])
    assert "MIG-0-0 has 0.14 of a GPU's processors, and 0.40 are needed" in small.text
    # Where there are only processors, there is nothing to have a share of.
    assert chosen(Want(GIB, compute_share=0.4), rooms[:1]) == CPU


@pytest.mark.parametrize("told", ["mig", "MIG-0-0", "h100", "1g.10gb", "80GB"])
def test_a_class_is_a_kind_or_an_id_or_a_word_of_the_name(told: str) -> None:
    assert is_of_class(mig(0, 0), told)


@pytest.mark.parametrize("told", ["gpu", "A100", "1g", "", "cpu"])
def test_a_part_of_a_word_is_no_class(told: str) -> None:
    assert not is_of_class(mig(0, 0), told)


def test_classes_and_exclusions_are_kept_to() -> None:
    rooms = [room(HOST), room(gpu(0)), room(gpu(1, name="NVIDIA A100-SXM4-80GB"))]
    assert chosen(Want(GIB, classes=("A100", "L4")), rooms) == "GPU-1"
    assert chosen(Want(GIB, not_on=frozenset({"GPU-0"})), rooms) == "GPU-1"
    assert chosen(Want(GIB, classes=("cpu",)), rooms) == CPU
    none = refused(Want(GIB, "cpu", classes=("A100", "L4")), rooms)
    assert none.text == "cpu is not of class A100 or L4"
    assert refused(Want(GIB, "cpu", not_on=frozenset({CPU})), rooms).text == "cpu is ruled out"


@pytest.mark.parametrize("policy", ["spread", "pack"])
def test_who_is_to_be_apart_goes_to_another_card_or_another_slice_or_beside(policy: Policy) -> None:
    apart = Want(GIB, apart_from=frozenset({"fraud:1"}))
    with_it, beside, elsewhere = room(mig(0, 0), 5, "fraud:1"), room(mig(0, 1), 3), room(mig(1, 0), 2)
    assert chosen(apart, [with_it, beside, elsewhere], policy) == "MIG-1-0"
    assert chosen(apart, [with_it, beside], policy) == "MIG-0-1"
    assert chosen(apart, [with_it], policy) == "MIG-0-0"
    assert chosen(Want(GIB, apart_from=frozenset({"fraud:2"})), [with_it], policy) == "MIG-0-0"


def test_what_can_never_fit_says_what_there_is_at_most() -> None:
    rooms = [Room(gpu(0), 10 * GIB, usable_bytes=72 * GIB), Room(gpu(1), 20 * GIB, usable_bytes=72 * GIB)]
    assert refused(Want(75 * GIB), rooms) == NoRoom(
        75 * GIB,
        20 * GIB,
        False,
        f"{75 * GIB} bytes are needed on one of 2 devices, and there are {72 * GIB} at most",
    )
    assert refused(Want(70 * GIB, "cpu"), [room(HOST)]).text.startswith(
        f"{70 * GIB} bytes are needed on the CPU, and"
    )


def test_without_any_device_there_is_no_room() -> None:
    assert refused(Want(), []) == NoRoom(0, 0, False, "there is no such device")


# ---- what must hold --------------------------------------------------------------------------------------

NAMES = ["NVIDIA A100-SXM4-40GB", "NVIDIA H100 80GB HBM3"]


@st.composite
def all_rooms(draw: st.DrawFn) -> list[Room]:
    devices = [HOST] if draw(st.booleans()) else []
    for number in range(draw(st.integers(0, 4))):
        healthy = draw(st.booleans())
        if draw(st.booleans()):
            name = draw(st.sampled_from(NAMES))
            devices.append(gpu(number, draw(st.integers(1, 8)), is_healthy=healthy, name=name))
        else:
            devices += [mig(number, nth, draw(st.integers(1, 4)), 2) for nth in range(2)]
    free = st.floats(-1, 10)
    labels = st.lists(st.sampled_from("abc"), max_size=3)
    return [room(device, draw(free), *draw(labels)) for device in devices]


WANTS = st.builds(
    Want,
    st.integers(0, 9 * GIB),
    st.sampled_from(["auto", "gpu", "cpu"]),
    st.integers(0, 4),
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    st.sampled_from([(), ("A100",), ("cpu", "mig"), ("GPU-0",)]),
    st.frozensets(st.sampled_from(["GPU-0", "MIG-1-0", CPU]), max_size=2),
    st.frozensets(st.sampled_from("abc"), max_size=2),
)


@given(WANTS, all_rooms(), POLICIES)
def test_constraints_hold_and_nothing_is_promised_twice(
    want: Want, rooms: list[Room], policy: Policy
) -> None:
    placed = place(want, rooms, policy)
    assert placed == place(want, list(rooms), policy), "the same answer to the same question"
    if isinstance(placed, NoRoom):
        return
    (found,) = [one for one in rooms if one.device.id == placed.device.id]
    device = found.device
    assert found.free_bytes >= want.needs_bytes
    assert device.is_healthy
    assert device.id not in want.not_on
    assert not want.classes or any(is_of_class(device, told) for told in want.classes)
    assert device.kind == "cpu" or device.compute_share >= want.compute_share
    gpus = [one.device.id for one in rooms if one.device.kind != "cpu"]
    if want.kind == "gpu":
        assert gpus.index(device.id) == want.number
    if want.kind == "cpu":
        assert device.kind == "cpu"


@given(WANTS, all_rooms(), POLICIES)
def test_room_is_found_if_there_is_any(want: Want, rooms: list[Room], policy: Policy) -> None:
    permitted = candidates(want, rooms)
    has_room = any(one.free_bytes >= want.needs_bytes for one in permitted)
    placed = place(want, rooms, policy)
    assert isinstance(placed, Placement) is has_room
    if isinstance(placed, NoRoom):
        assert placed.needed_bytes == want.needs_bytes
        assert placed.text
        assert placed.free_bytes == max((one.free_bytes for one in permitted), default=0)
        assert placed.may_ever_fit is any(one.most_bytes >= want.needs_bytes for one in permitted)


@given(WANTS, all_rooms())
def test_auto_never_chooses_between_gpus_and_the_cpu(want: Want, rooms: list[Room]) -> None:
    kinds = {one.device.kind for one in candidates(want, rooms)}
    assert kinds <= {"cpu"} or "cpu" not in kinds


@given(WANTS, all_rooms(), st.integers(1, 4 * GIB), st.data())
def test_more_free_memory_never_takes_room_away(
    want: Want, rooms: list[Room], more: int, data: st.DataObject
) -> None:
    if not rooms or isinstance(place(want, rooms, "pack"), NoRoom):
        return
    index = data.draw(st.integers(0, len(rooms) - 1))
    one = rooms[index]
    rooms[index] = Room(one.device, one.free_bytes + more, one.occupants, one.instances)
    assert isinstance(place(want, rooms, "pack"), Placement)


@given(st.lists(st.integers(0, 10 * GIB), min_size=1, max_size=6), st.integers(0, 10 * GIB))
def test_packing_is_best_fit(free: list[int], needs: int) -> None:
    rooms = [Room(gpu(number, 10), one) for number, one in enumerate(free)]
    placed = place(Want(needs), rooms, "pack")
    fitting = [one for one in free if one >= needs]
    if fitting:
        assert isinstance(placed, Placement)
        assert free[placed.device.number] == min(fitting)


@given(st.integers(1, 5), st.integers(0, 60), st.integers(0, GIB))
def test_spreading_balances(cards: int, instances: int, needs: int) -> None:
    counts = [0] * cards
    for _ in range(instances):
        rooms = [
            Room(gpu(number), 80 * GIB - count * needs, {"m": count}, count)
            for number, count in enumerate(counts)
        ]
        placed = place(Want(needs), rooms, "spread")
        assert isinstance(placed, Placement)
        counts[placed.device.number] += 1
    assert max(counts) - min(counts) <= 1


@given(st.lists(st.integers(GIB, 30 * GIB), max_size=20), POLICIES)
def test_placing_one_after_the_other_never_overcommits(sizes: list[int], policy: Policy) -> None:
    devices = [gpu(0, 40), gpu(1, 80), mig(2, 0), mig(2, 1)]
    free = {device.id: device.memory_bytes for device in devices}
    for size in sizes:
        placed = place(Want(size), [Room(device, free[device.id]) for device in devices], policy)
        if isinstance(placed, Placement):
            free[placed.device.id] -= size
        else:
            assert max(free.values()) < size
    assert min(free.values()) >= 0
