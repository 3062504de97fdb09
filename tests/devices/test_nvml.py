"""What the driver tells, as values; and that it is only ever asked."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gateway.devices import nvml
from gateway.devices.nvml import Nvml, NvmlAbsent, Reading
from tests.fakes.nvml_cards import (
    GPU_IS_LOST,
    MIB,
    NOT_SUPPORTED,
    RESET_REQUIRED,
    TIMEOUT,
    FakeCard,
    FakeDevice,
    FakeNvml,
    NVMLError,
    whole,
)

ASKS = re.compile(r"nvml(Init|Shutdown|DeviceGet\w+)")


def slices(*instances: str | tuple[str, ...], product: str = "A100") -> tuple[Reading, ...]:
    (card,) = Nvml(FakeNvml(FakeCard(product, "a", *instances))).cards()
    assert card.is_mig
    return card.slices


# ---- what it tells ---------------------------------------------------------------------------------------


def test_a_whole_card() -> None:
    library = whole("T4", "H100")
    library.cards[1].used = 5 * MIB
    t4, h100 = Nvml(library).cards()
    assert not t4.is_mig
    assert not h100.is_mig
    assert h100.whole is not None
    device = h100.whole.device
    assert (device.id, device.kind, device.name) == ("GPU-1", "gpu", "NVIDIA H100 80GB HBM3")
    assert (device.number, device.parent, device.compute_share) == (1, "", 1.0)
    assert device.memory_bytes == 81_559 * MIB
    assert h100.whole.free_bytes == 81_554 * MIB
    assert device.is_healthy


@pytest.mark.parametrize(
    ("product", "instances", "sevenths", "memory_mib"),
    [
        ("A100", ["1g.5gb"] * 7, [1] * 7, [4_864] * 7),
        ("A100", ["3g.20gb", "2g.10gb", "1g.5gb", "1g.5gb"], [3, 2, 1, 1], [20_096, 9_984, 4_864, 4_864]),
        ("A100", ["4g.20gb", "3g.20gb"], [4, 3], [20_096, 20_096]),
        ("A100", ["7g.40gb"], [7], [40_192]),
        ("H100", ["1g.10gb"] * 7, [1] * 7, [9_984] * 7),
        ("H100", ["3g.40gb", "2g.20gb", "1g.20gb"], [3, 2, 1], [40_448, 20_096, 20_096]),
        ("H200", ["1g.18gb"] * 7, [1] * 7, [16_384] * 7),
        ("H200", ["4g.71gb", "1g.35gb"], [4, 1], [71_552, 33_280]),
    ],
)
def test_slices_of_a_card(
    product: str, instances: list[str], sevenths: list[int], memory_mib: list[int]
) -> None:
    found = slices(*instances, product=product)
    assert [one.device.id for one in found] == [f"MIG-a-{nth}" for nth in range(len(instances))]
    assert [one.device.compute_share for one in found] == [part / 7 for part in sevenths]
    assert [one.device.memory_bytes for one in found] == [memory * MIB for memory in memory_mib]
    assert all(one.device.name.endswith(f"MIG {told}") for one, told in zip(found, instances, strict=True))
    assert {(one.device.kind, one.device.parent, one.device.number) for one in found} == {("mig", "GPU-a", 0)}
    assert all(one.free_bytes == one.device.memory_bytes for one in found)


def test_compute_instances_of_one_gpu_instance_do_not_have_its_memory_twice() -> None:
    one, two, alone = slices(("1c.3g.20gb", "2c.3g.20gb"), "3g.20gb")
    assert [round(a.device.compute_share * 7) for a in (one, two, alone)] == [1, 2, 3]
    assert one.device.memory_bytes == two.device.memory_bytes == 20_096 * MIB // 2
    assert one.free_bytes == one.device.memory_bytes
    assert alone.device.memory_bytes == 20_096 * MIB


def test_gaps_between_slices_are_passed_over() -> None:
    card = FakeCard("A100", "a", "1g.5gb", "1g.5gb", "1g.5gb")
    card.slices[1] = None
    (told,) = Nvml(FakeNvml(card)).cards()
    assert [one.device.id for one in told.slices] == ["MIG-a-0", "MIG-a-2"]


def test_a_slice_that_tells_less_is_known_by_its_attributes_and_the_other_way_round() -> None:
    library = FakeNvml(FakeCard("A100", "a", "2g.10gb"))
    library.failing = {"nvmlDeviceGetMemoryInfo": NOT_SUPPORTED}
    (one,) = Nvml(library).cards()[0].slices
    assert one.device.memory_bytes == 9_984 * MIB
    assert one.free_bytes is None
    assert one.has_answered
    library.failing = {"nvmlDeviceGetAttributes": NOT_SUPPORTED, "nvmlDeviceGetName": TIMEOUT}
    (one,) = Nvml(library).cards()[0].slices
    assert (one.device.memory_bytes, one.device.compute_share, one.device.name) == (9_984 * MIB, 1 / 7, "")
    library.failing = {"nvmlDeviceGetMaxMigDeviceCount": TIMEOUT}
    assert Nvml(library).cards()[0].slices == ()


@pytest.mark.parametrize("error", [GPU_IS_LOST, RESET_REQUIRED])
def test_a_lost_card_is_lost_with_its_slices(error: int) -> None:
    library = FakeNvml(FakeCard("A100", "a", "1g.5gb"), FakeCard("A100", "b"))
    library.cards[0].error = library.cards[1].error = error
    cut, plain = Nvml(library).cards()
    assert cut.is_lost
    assert plain.is_lost
    assert plain.whole is not None
    assert not plain.whole.device.is_healthy


def test_a_card_without_a_name_of_its_own() -> None:
    library = whole("T4", "T4")
    library.failing = {"nvmlDeviceGetUUID": GPU_IS_LOST}
    assert [(card.number, card.whole, card.is_lost) for card in Nvml(library).cards()] == [
        (0, None, True),
        (1, None, True),
    ]
    library.failing = {"nvmlDeviceGetHandleByIndex": TIMEOUT}
    assert [card.is_lost for card in Nvml(library).cards()] == [False, False]


def test_no_answer_is_told_from_an_answer_that_there_is_none() -> None:
    library = whole("T4")
    for error, has_answered in ((TIMEOUT, False), (NOT_SUPPORTED, True)):
        library.failing = {"nvmlDeviceGetMemoryInfo": error}
        (card,) = Nvml(library).cards()
        assert card.whole is not None
        assert card.whole.has_answered is has_answered
        assert card.whole.device.is_healthy
    library.failing = {"nvmlDeviceGetCount": TIMEOUT}
    assert Nvml(library).cards() == []


class OldNvml(FakeNvml):
    """As releases of pynvml were that answer in bytes; the second slice has no name."""

    def nvmlDeviceGetUUID(self, handle: FakeDevice) -> bytes:  # type: ignore[override]
        if handle.uuid == "MIG-a-1":
            raise NVMLError(TIMEOUT)
        return handle.uuid.encode()


def test_names_may_be_bytes_and_a_slice_without_one_is_not_told() -> None:
    (card,) = Nvml(OldNvml(FakeCard("A100", "a", "1g.5gb", "1g.5gb", "2g.10gb"))).cards()
    assert card.whole is not None
    assert card.whole.device.id == "GPU-a"
    assert [one.device.id for one in card.slices] == ["MIG-a-0", "MIG-a-2"]


# ---- opening ---------------------------------------------------------------------------------------------


def test_without_the_package_or_a_driver_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NvmlAbsent, match="nvidia-ml-py is not installed"):
        Nvml.open("no_such_library")
    library = whole()
    library.failing = {"nvmlInit": TIMEOUT}
    install(monkeypatch, library)
    with pytest.raises(NvmlAbsent, match="the driver does not answer: Timeout"):
        Nvml.open("pynvml_of_a_test")


def test_it_is_opened_and_closed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    library = whole("T4")
    install(monkeypatch, library)
    opened = Nvml.open("pynvml_of_a_test")
    assert library.opened == 1
    opened.close()
    assert library.opened == 0


def install(monkeypatch: pytest.MonkeyPatch, library: FakeNvml) -> None:
    module = ModuleType("pynvml_of_a_test")
    module.NVMLError = NVMLError  # type: ignore[attr-defined]
    module.__getattr__ = lambda name: getattr(library, name)  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "pynvml_of_a_test", module)


# ---- that it only asks -----------------------------------------------------------------------------------


def test_nothing_that_is_called_could_change_a_card() -> None:
    library = FakeNvml(FakeCard("A100", "a", "1g.5gb", ("1c.3g.20gb", "2c.3g.20gb")), FakeCard("T4", "b"))
    library.nvmlInit()
    asked = Nvml(library)
    asked.cards()
    asked.close()
    assert "nvmlDeviceGetMigDeviceHandleByIndex" in library.calls
    assert [name for name in library.calls if not ASKS.fullmatch(name)] == []


def test_no_module_names_anything_of_nvml_that_does_more_than_ask() -> None:
    named = set()
    for path in Path(nvml.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            told = {ast.Attribute: "attr", ast.Name: "id", ast.Constant: "value"}.get(type(node), "")
            value = getattr(node, told, "")
            if isinstance(value, str) and re.fullmatch(r"nvml[A-Z]\w*", value):
                named.add(value)
    assert "nvmlDeviceGetMigMode" in named
    assert [name for name in sorted(named) if not ASKS.fullmatch(name)] == []


# ---- that the stand-in is like the real one --------------------------------------------------------------


def test_the_stand_in_has_the_real_names_and_arguments() -> None:
    real = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    names = [name for name in dir(FakeNvml) if name.startswith("nvml")]
    assert len(names) > 10
    for name in names:
        told = list(inspect.signature(getattr(real, name)).parameters.values())
        ours = list(inspect.signature(getattr(FakeNvml, name)).parameters.values())[1:]
        assert [one.name for one in ours] == [one.name for one in told[: len(ours)]], name
        assert all(one.default is not one.empty for one in told[len(ours) :]), name
    fields = {name for name, _ in real.c_nvmlDeviceAttributes._fields_}
    assert {"computeInstanceSliceCount", "memorySizeMB"} <= fields
    assert {"total", "free", "used"} <= {name for name, _ in real.c_nvmlMemory_t._fields_}
    assert real.NVMLError(real.NVML_ERROR_GPU_IS_LOST).value == GPU_IS_LOST
    assert real.NVML_ERROR_RESET_REQUIRED == RESET_REQUIRED
    assert real.NVML_ERROR_NOT_SUPPORTED == NOT_SUPPORTED
    assert real.NVML_ERROR_GPU_NOT_FOUND == 28
