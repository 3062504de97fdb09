"""What NVML and CUDA say of the GPUs of this machine, compared; skipped where there is none.

CUDA is asked in processes of its own, through its driver's library, as it reads its variable only once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator

import pytest

from gateway.core.device import CPU, Device
from gateway.devices.inventory import Inventory, Look
from gateway.devices.placement import Placement, Room, Want, place
from gateway.devices.seats import seat_of
from gateway.runtimes.gpus import VARIABLE, told_here, told_to, visible_here

GIB = 1 << 30

# Tells how many devices CUDA sees, then of the first: its name, its memory, and whether it is that UUID.
ASK = """
import ctypes, sys, uuid
cuda = ctypes.CDLL("libcuda.so.1")
if cuda.cuInit(0) != 0:
    print("0"); sys.exit()
count, device, size = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
name, found = ctypes.create_string_buffer(256), ctypes.create_string_buffer(16)
assert cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
print(count.value)
assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuDeviceGetName(name, 256, device) == 0
assert cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device) == 0
assert cuda.cuDeviceGetUuid_v2(found, device) == 0
print(name.value.decode()); print(size.value); print(uuid.UUID(bytes=found.raw))
"""

# Holds so many bytes of the first device until its input ends.
HOLD = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
assert cuda.cuInit(0) == 0
assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(int(sys.argv[1]))) == 0
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def inventory() -> Generator[Inventory]:
    found = Inventory.find(told_here())
    yield found
    found.close()


@pytest.fixture
def look(inventory: Inventory) -> Look:
    look = inventory.look()
    if not look.gpus:
        pytest.skip(f"no GPU here: {look.reason or 'the driver has none'}")
    return look


def with_device(told: str) -> dict[str, str]:
    return {**os.environ, VARIABLE: told}


def ask_cuda(told: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=with_device(told), capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_what_is_seen_is_sound(look: Look) -> None:
    assert look.devices[0].id == CPU
    assert look.reason == ""
    for device in look.gpus:
        assert device.id.startswith(("GPU-", "MIG-"))
        assert device.name
        assert device.is_healthy
        assert 0 < device.compute_share <= 1
        assert 0 < look.free_bytes[device.id] <= device.memory_bytes


def test_as_many_are_seen_as_workers_would_count(look: Look) -> None:
    if any(device.kind == "mig" for device in look.gpus):
        pytest.skip("workers count cards, and a card here is in slices")
    assert len(look.gpus) == visible_here()


def test_cuda_takes_each_seat_for_exactly_that_device(look: Look) -> None:
    for device in look.gpus:
        told = told_to(seat_of(device, has_gpus=True).device)
        assert told is not None
        count, name, size, uuid = ask_cuda(told)
        assert count == "1"
        assert name in {device.name, device.name.partition(" MIG ")[0]} or device.kind == "mig"
        assert device.id.endswith(uuid) or device.kind == "mig"
        # What the driver keeps for itself is in one of the two figures: 2 % of an H100.
        assert 0.9 < int(size) / device.memory_bytes <= 1.0 or device.kind == "mig"


def test_cuda_finds_nothing_on_the_seat_of_the_cpu(look: Look) -> None:
    told = told_to(seat_of(look.devices[0], has_gpus=True).device)
    assert told == ""
    assert ask_cuda(told) == ["0"]


def test_memory_that_somebody_takes_is_not_free(inventory: Inventory, look: Look) -> None:
    device: Device = look.gpus[0]
    if look.free_bytes[device.id] < 3 * GIB:
        pytest.skip("less than 3 GiB are free")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(GIB)],
        env=with_device(device.id),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        held = inventory.look().free_bytes[device.id]
        holder.communicate()
    assert held <= look.free_bytes[device.id] - GIB
    assert inventory.look().free_bytes[device.id] > held


def test_a_model_is_placed_on_it(look: Look) -> None:
    rooms = [Room(device, look.free_bytes.get(device.id, 0)) for device in look.devices]
    placed = place(Want(64 << 20), rooms, "spread")
    assert isinstance(placed, Placement)
    assert placed.device.kind != "cpu"
