from __future__ import annotations

import pytest

from gateway.core.placement import Accelerator, Accelerators, Place
from gateway.runtimes.contract import LoadError
from gateway.runtimes.onnx_providers import CPU, CUDA, OPENVINO, TENSORRT, Machine, Wish, choose, without_gpu

PLAIN, NO_GPU = Machine((CPU,), 0), Machine((CUDA, CPU), 0)
GPUS, ALL = Machine((CUDA, CPU), 2), Machine((TENSORRT, CUDA, OPENVINO, CPU), 2)
WRONG_WHEEL = Machine((CPU,), 1)
TRT, OV = Accelerators((Accelerator("tensorrt"),)), Accelerators((), (Accelerator("openvino"),))
ON_GPU, ON_CPU = Place("gpu"), Place("cpu")


AUTO, NOTHING = Place(), Accelerators()


def wish(place: Place = AUTO, accelerators: Accelerators = NOTHING, **options: str) -> Wish:
    return Wish(place, accelerators, options)


@pytest.mark.parametrize(
    ("asked", "machine", "providers", "gpu", "note"),
    [
        (wish(), PLAIN, [CPU], None, ""),
        (wish(), GPUS, [CUDA, CPU], 0, f"on GPU 0 by {CUDA}"),
        (wish(Place("auto", 1)), GPUS, [CUDA, CPU], 1, f"on GPU 1 by {CUDA}"),
        (wish(), NO_GPU, [CPU], None, "on the CPU: no GPU is visible"),
        (
            *(wish(), WRONG_WHEEL, [CPU], None),
            "on the CPU: this onnxruntime has no CUDAExecutionProvider: it comes with the extra 'gpu'",
        ),
        (wish(ON_CPU), ALL, [CPU], None, ""),
        (wish(ON_GPU), GPUS, [CUDA, CPU], 0, f"on GPU 0 by {CUDA}"),
        (wish(ON_GPU, TRT), ALL, [TENSORRT, CUDA, CPU], 0, f"on GPU 0 by {TENSORRT}, {CUDA}"),
        (wish(accelerators=TRT), ALL, [TENSORRT, CUDA, CPU], 0, f"on GPU 0 by {TENSORRT}, {CUDA}"),
        (
            *(wish(accelerators=TRT), PLAIN, [CPU], None),
            "on the CPU: no GPU is visible, so gpu_execution_accelerator 'tensorrt' means nothing",
        ),
        (
            *(wish(ON_CPU, TRT), ALL, [CPU], None),
            "on the CPU: instance_group says KIND_CPU, so gpu_execution_accelerator 'tensorrt' means nothing",
        ),
        (wish(ON_CPU, OV), ALL, [OPENVINO, CPU], None, ""),
        (wish(ON_GPU, OV), ALL, [CUDA, OPENVINO, CPU], 0, f"on GPU 0 by {CUDA}"),
        (
            *(Wish(is_inline=True), GPUS, [CPU], None),
            "on the CPU: a front opens no GPU: gateway.isolation inline",
        ),
        (Wish(is_inline=True), PLAIN, [CPU], None, ""),
    ],
)
def test_what_a_wish_comes_to(
    asked: Wish, machine: Machine, providers: list[str], gpu: int | None, note: str
) -> None:
    found = choose(asked, machine)
    assert ([name for name, _ in found.providers], found.gpu, found.note) == (providers, gpu, note)
    is_free = asked.place.kind == "auto" and not asked.accelerators.gpu
    assert found.may_fall_back == (gpu is not None and is_free)


@pytest.mark.parametrize(
    ("asked", "machine", "reason"),
    [
        (wish(ON_GPU), NO_GPU, "instance_group: KIND_GPU needs GPU 0, and no GPU is visible"),
        (wish(ON_GPU), PLAIN, "instance_group: KIND_GPU needs GPU 0, and no GPU is visible"),
        (wish(Place("gpu", 2)), GPUS, "instance_group: KIND_GPU needs GPU 2, and only 2 are visible"),
        (
            wish(ON_GPU),
            WRONG_WHEEL,
            "instance_group: KIND_GPU needs an onnxruntime with CUDAExecutionProvider: it comes with",
        ),
        (
            wish(ON_GPU, TRT),
            GPUS,
            "optimization.execution_accelerators.gpu_execution_accelerator[0]: 'tensorrt' needs an "
            "onnxruntime with TensorrtExecutionProvider",
        ),
        (
            wish(accelerators=OV),
            PLAIN,
            "optimization.execution_accelerators.cpu_execution_accelerator[0]: 'openvino' needs an "
            "onnxruntime with OpenVINOExecutionProvider",
        ),
    ],
)
def test_what_is_asked_for_by_name_is_there_or_the_load_fails(
    asked: Wish, machine: Machine, reason: str
) -> None:
    with pytest.raises(LoadError) as caught:
        choose(asked, machine)
    assert str(caught.value).startswith(reason)


def test_parameters_have_the_engines_names() -> None:
    told = {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": "5",
        "trt_engine_cache_enable": "True",
        "int8_calibration_table_name": "t",
    }
    asked = wish(
        Place("gpu", 1),
        Accelerators((Accelerator("cuda", {"use_tf32": "False"}), Accelerator("tensorrt", told))),
        cudnn_conv_algo_search="1",
        arena_extend_strategy="1",
        gpu_mem_limit="1000",
        level="1",
    )
    assert dict(choose(asked, ALL).providers) == {
        TENSORRT: {
            "device_id": "1",
            "trt_fp16_enable": "True",
            "trt_max_workspace_size": "5",
            "trt_engine_cache_enable": "True",
            "trt_int8_calibration_table_name": "t",
        },
        CUDA: {
            "device_id": "1",
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
            "gpu_mem_limit": "1000",
            "use_tf32": "False",
        },
        CPU: {},
    }


@pytest.mark.parametrize(("precision", "key"), [("BF16", "trt_bf16_enable"), ("INT8", "trt_int8_enable")])
def test_precisions(precision: str, key: str) -> None:
    asked = wish(ON_GPU, Accelerators((Accelerator("tensorrt", {"precision_mode": precision}),)))
    assert dict(choose(asked, ALL).providers)[TENSORRT] == {"device_id": "0", key: "True"}


def test_a_gpu_that_failed_is_done_without() -> None:
    found = without_gpu(wish(), GPUS, "CUDA: no driver")
    assert found == (((CPU, {}),), None, "on the CPU: CUDA: no driver", False)
