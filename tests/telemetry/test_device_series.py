from __future__ import annotations

from gateway.telemetry.device_series import device_families, render_devices_as_triton
from gateway.telemetry.machine import DeviceReading

CPU = DeviceReading("cpu", "cpu", 0.5, 1000, 600)
GPU = DeviceReading("gpu", 'GPU-"0"', 0.25, 80, 1, 70.5, 700.0, 1234.5)
SILENT = DeviceReading("gpu", "GPU-1")


def test_devices_under_our_names() -> None:
    samples = {
        (sample.name, sample.labels["kind"], sample.labels["device"]): sample.value
        for family in device_families([CPU, GPU, SILENT])
        for sample in family.samples
    }
    assert samples == {
        ("gateway_device_utilization_ratio", "cpu", "cpu"): 0.5,
        ("gateway_device_utilization_ratio", "gpu", 'GPU-"0"'): 0.25,
        ("gateway_device_memory_total_bytes", "cpu", "cpu"): 1000,
        ("gateway_device_memory_total_bytes", "gpu", 'GPU-"0"'): 80,
        ("gateway_device_memory_used_bytes", "cpu", "cpu"): 600,
        ("gateway_device_memory_used_bytes", "gpu", 'GPU-"0"'): 1,
        ("gateway_device_power_watts", "gpu", 'GPU-"0"'): 70.5,
        ("gateway_device_power_limit_watts", "gpu", 'GPU-"0"'): 700.0,
        ("gateway_device_energy_joules_total", "gpu", 'GPU-"0"'): 1234.5,
    }


def test_devices_under_the_names_triton_has_for_them() -> None:
    text = render_devices_as_triton([CPU, GPU, SILENT]).decode()
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        'nv_gpu_utilization{gpu_uuid="GPU-\\"0\\""} 0.25',
        'nv_gpu_memory_total_bytes{gpu_uuid="GPU-\\"0\\""} 80',
        'nv_gpu_memory_used_bytes{gpu_uuid="GPU-\\"0\\""} 1',
        'nv_gpu_power_usage{gpu_uuid="GPU-\\"0\\""} 70.5',
        'nv_gpu_power_limit{gpu_uuid="GPU-\\"0\\""} 700.0',
        'nv_energy_consumption{gpu_uuid="GPU-\\"0\\""} 1234.5',
        "nv_cpu_utilization 0.5",
        "nv_cpu_memory_total_bytes 1000",
        "nv_cpu_memory_used_bytes 600",
    ]
    assert "# TYPE nv_energy_consumption counter" in text
    assert "nv_gpu" not in render_devices_as_triton([CPU]).decode()
    assert render_devices_as_triton([]) == b""
