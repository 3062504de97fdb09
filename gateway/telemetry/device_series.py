"""Readings of devices as Prometheus families: under our names, and under those that Triton has for them.

Of Triton's names there are those whose meaning exists here: there is no pinned memory pool, and no cache
of answers. Its energy counter does not end in _total, so its families are written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.telemetry.machine import DeviceReading

_LABELS = ("kind", "device")

Value = Callable[[DeviceReading], float | int | None]

_GAUGES: tuple[tuple[str, str, Value], ...] = (
    ("utilization_ratio", "Part of the time that it was busy, lately.", lambda one: one.utilization),
    ("memory_total_bytes", "Memory it has.", lambda one: one.memory_total_bytes),
    ("memory_used_bytes", "Memory in use.", lambda one: one.memory_used_bytes),
    ("power_watts", "Power it takes now.", lambda one: one.power_w),
    ("power_limit_watts", "Most power it may take.", lambda one: one.power_limit_w),
)

# Name, kind of metric, told, value; the GPU's have a label, the CPU's none.
_TRITON_GPU: tuple[tuple[str, str, str, Value], ...] = (
    ("nv_gpu_utilization", "gauge", "Part of the time a GPU was busy.", lambda one: one.utilization),
    ("nv_gpu_memory_total_bytes", "gauge", "Memory of a GPU.", lambda one: one.memory_total_bytes),
    ("nv_gpu_memory_used_bytes", "gauge", "Memory of a GPU in use.", lambda one: one.memory_used_bytes),
    ("nv_gpu_power_usage", "gauge", "Watts a GPU takes.", lambda one: one.power_w),
    ("nv_gpu_power_limit", "gauge", "Watts a GPU may take.", lambda one: one.power_limit_w),
    ("nv_energy_consumption", "counter", "Joules a GPU took.", lambda one: one.energy_j),
)
_TRITON_CPU: tuple[tuple[str, str, str, Value], ...] = (
    (
        "nv_cpu_utilization",
        "gauge",
        "Busy part of processor time.",
        lambda one: one.utilization,
    ),
    ("nv_cpu_memory_total_bytes", "gauge", "Memory of the machine.", lambda one: one.memory_total_bytes),
    ("nv_cpu_memory_used_bytes", "gauge", "Memory that is not available.", lambda one: one.memory_used_bytes),
)


def device_families(readings: Sequence[DeviceReading]) -> Iterable[Metric]:
    """Ours; what a device does not tell has no sample."""
    energy = CounterMetricFamily("gateway_device_energy_joules", "Energy it took.", labels=_LABELS)
    for one in readings:
        if one.energy_j is not None:
            energy.add_metric([one.kind, one.device], one.energy_j)
    return [*(_gauge(name, told, value, readings) for name, told, value in _GAUGES), energy]


def _gauge(name: str, told: str, value: Value, readings: Sequence[DeviceReading]) -> Metric:
    family = GaugeMetricFamily(f"gateway_device_{name}", told, labels=_LABELS)
    for one in readings:
        found = value(one)
        if found is not None:
            family.add_metric([one.kind, one.device], found)
    return family


def render_devices_as_triton(readings: Sequence[DeviceReading]) -> bytes:
    """Triton's; a name without any sample is not there at all."""
    lines: list[str] = []
    for kind, families in (("gpu", _TRITON_GPU), ("cpu", _TRITON_CPU)):
        for name, type_, told, value in families:
            samples = [
                f"{name}{_label(one)} {found}"
                for one in readings
                if one.kind == kind and (found := value(one)) is not None
            ]
            if samples:
                lines += [f"# HELP {name} {told}", f"# TYPE {name} {type_}", *samples]
    return "".join(f"{line}\n" for line in lines).encode()


def _label(one: DeviceReading) -> str:
    if one.kind == "cpu":
        return ""
    escaped = one.device.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{gpu_uuid="{escaped}"}}'
