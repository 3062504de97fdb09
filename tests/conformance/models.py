"""The repository that the cases ask: one function for each kind of model, which makes its folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from onnx import TensorProto

from tests.fakes.ensembles import Row, add_ensemble, config_of
from tests.fakes.onnx_files import busy, identity, scaled, scaled_by_option, table, three_only
from tests.fakes.python_files import (
    COUNTER,
    COUNTER_CONFIG,
    LATER_COUNTER,
    REPEAT,
    REPEAT_CONFIG,
    SCALER,
    SCALER_CONFIG,
    SHORT_COUNTER_CONFIG,
    TRITON_SCALER,
    add_model,
    write,
)
from tests.fakes.remote_models import add_remote
from tests.fakes.sequences import DIRECT, add_accumulator

ELEMENTS = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
    "BF16": TensorProto.BFLOAT16,
}


def onnx(root: Path) -> None:
    """An echo of every datatype; `simple`: two inputs to their sum and difference."""
    for datatype, element in ELEMENTS.items():
        identity(root / f"echo_{datatype.lower()}" / "1", element)
    shutil.copytree(Path("model_repo") / "simple", root / "simple")


ECHO = """
    from gateway.model import Model

    class Echo(Model):
        def infer(self, inputs):
            return {"Y": inputs["X"]}
"""
ECHO_FOR_TRITON = """
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            given = [pb_utils.get_input_tensor_by_name(request, "X") for request in requests]
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x.as_numpy())]) for x in given]
"""


def python(root: Path) -> None:
    """An echo of every datatype in either way to write a model in Python."""
    for datatype in ELEMENTS:
        kind = f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}"
        config = f"""
            backend: "python"
            max_batch_size: 8
            input {{ name: "X" data_type: {kind} dims: [ -1 ] }}
            output {{ name: "Y" data_type: {kind} dims: [ -1 ] }}
        """
        for name, text in (("own", ECHO), ("for_triton", ECHO_FOR_TRITON)):
            add_model(root, f"{name}_{datatype.lower()}", text, config)


def failing(root: Path) -> None:
    """Models that do not answer, each for a reason of its own."""
    table(root / "table" / "1")
    three_only(root / "three_only" / "1")
    busy(root / "busy" / "1")
    (root / "broken" / "1").mkdir(parents=True)
    (root / "broken" / "1" / "model.onnx").write_bytes(b"this is no model")


def scheduled(root: Path) -> None:
    """Echoes with a queue policy: `patient` does not let a request ask for less time, `impatient` does."""
    for name, is_allowed in (("patient", "false"), ("impatient", "true")):
        identity(root / name / "1")
        policy = f"default_timeout_microseconds: 60000000 allow_timeout_override: {is_allowed}"
        text = f"dynamic_batching {{ default_queue_policy {{ {policy} }} }}"
        (root / name / "config.pbtxt").write_text(text)


def stateful(root: Path) -> None:
    """Running sums; the gateways of `conftest` have two fronts, and so do not serve it."""
    add_accumulator(root, "sums", DIRECT)


# By name: the steps, the inputs, the outputs and the greatest batch.
ENSEMBLES: dict[str, tuple[tuple[Row, ...], tuple[str, ...], tuple[str, ...], int]] = {
    # Sum and difference of sum and difference: twice of each, in three models that meet in one.
    "twice_of_each": (
        (
            ("simple", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "sum", "OUTPUT1": "difference"}),
            ("echo_int32", {"X": "difference"}, {"Y": "echo"}),
            ("simple/1", {"INPUT0": "sum", "INPUT1": "echo"}, {"OUTPUT0": "TWICE_A", "OUTPUT1": "TWICE_B"}),
        ),
        ("A TYPE_INT32 [ 16 ]", "B TYPE_INT32 [ 16 ]"),
        ("TWICE_A TYPE_INT32 [ 16 ]", "TWICE_B TYPE_INT32 [ 16 ]"),
        8,
    ),
    "echoes": (
        (
            ("echo_fp32", {"X": "X"}, {"Y": "one"}),
            ("echo_fp32", {"X": "one"}, {"Y": "two"}),
            ("echo_fp32", {"X": "two"}, {"Y": "Y"}),
        ),
        ("X TYPE_FP32 [ -1 ]",),
        ("Y TYPE_FP32 [ -1 ]",),
        8,
    ),
    "echoes_of_texts": (
        (("echo_bytes", {"X": "X"}, {"Y": "one"}), ("echo_bytes", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_STRING [ -1 ]",),
        ("Y TYPE_STRING [ -1 ]",),
        8,
    ),
    "nested": (
        (("echoes", {"X": "X"}, {"Y": "one"}), ("echo_fp32", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_FP32 [ -1 ]",),
        ("Y TYPE_FP32 [ -1 ]",),
        8,
    ),
    "raising": (
        (("echo_fp32", {"X": "X"}, {"Y": "one"}), ("three_only", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_FP32 [ -1, -1 ]",),
        ("Y TYPE_FP32 [ 1, 3 ]",),
        0,
    ),
    "looking_up": (
        (("echo_int64", {"X": "X"}, {"Y": "one"}), ("table", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_INT64 [ 1 ]",),
        ("Y TYPE_FP32 [ 1 ]",),
        8,
    ),
    "slow": ((("busy", {"X": "X"}, {"Y": "Y"}),), ("X TYPE_FP32 [ 1, 1 ]",), ("Y TYPE_FP32 [ 1, 1 ]",), 0),
    "of_a_broken_one": (
        (("echo_fp32", {"X": "X"}, {"Y": "one"}), ("broken", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_FP32 [ -1 ]",),
        ("Y TYPE_FP32 [ -1 ]",),
        8,
    ),
    "of_none": ((("absent", {"X": "X"}, {"Y": "Y"}),), ("X TYPE_FP32 [ 1 ]",), ("Y TYPE_FP32 [ 1 ]",), 0),
    # What echo_fp64 looks like is in its file only: so this is found out when it is loaded.
    "unfit": (
        (("echo_fp32", {"X": "X"}, {"Y": "one"}), ("echo_fp64", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_FP32 [ -1 ]",),
        ("Y TYPE_FP64 [ -1 ]",),
        8,
    ),
}


def ensembles(root: Path) -> None:
    """Of the models of `onnx` and `failing`; `of_none` names one that is not there."""
    for name, (rows, inputs, outputs, most) in ENSEMBLES.items():
        add_ensemble(root, name, config_of(rows, inputs, outputs, max_batch_size=most))


# For Triton's Python backend: X by the echo that its parameter names, twice at the same time, to Y.
CALLING = """
    import asyncio
    import json
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def initialize(self, args):
            self.to = json.loads(args["model_config"])["parameters"]["to"]["string_value"]

        async def execute(self, requests):
            return [await self.answer(request) for request in requests]

        async def answer(self, request):
            x = pb_utils.get_input_tensor_by_name(request, "X")
            first, second = await asyncio.gather(*[
                pb_utils.InferenceRequest(
                    model_name=self.to, requested_output_names=["Y"], inputs=[x]
                ).async_exec()
                for _ in range(2)
            ])
            if first.has_error():
                return pb_utils.InferenceResponse(error=first.error())
            y = pb_utils.get_output_tensor_by_name(second, "Y")
            return pb_utils.InferenceResponse([pb_utils.Tensor("Y", y.as_numpy())])
"""
CALLING_CONFIG = """
    backend: "python"
    max_batch_size: 8
    input {{ name: "X" data_type: {datatype} dims: [ -1 ] }}
    output {{ name: "Y" data_type: {datatype} dims: [ -1 ] }}
    parameters {{ key: "to" value {{ string_value: "{to}" }} }}
"""


def calling(root: Path) -> None:
    """Models in Python that call others: of `onnx` and `failing`, one that is not there, and themselves."""
    for name, to, datatype in (
        ("calling", "echo_fp32", "TYPE_FP32"),
        ("calling_texts", "echo_bytes", "TYPE_STRING"),
        ("calling_another_type", "echo_int64", "TYPE_FP32"),
        ("calling_none", "absent", "TYPE_FP32"),
        ("calling_a_broken_one", "broken", "TYPE_FP32"),
        ("calling_itself", "calling_itself", "TYPE_FP32"),
    ):
        add_model(root, name, CALLING, CALLING_CONFIG.format(to=to, datatype=datatype))


SCALED = ("scaled", "scaled_by_option", "scaled_in_python", "scaled_for_triton", "scaled_in_ensemble")


def optional(root: Path) -> None:
    """X times SCALE, which is 2 where it is left out: `SCALED`; `undefaulted` has no value for it."""
    scaled(root / "scaled" / "1")
    scaled_by_option(root / "scaled_by_option" / "1")
    scaled(root / "undefaulted" / "1", has_default=False)
    for name in ("scaled", "scaled_by_option", "undefaulted"):
        write(root / name, SCALER_CONFIG, "config.pbtxt")
    for name, text in (("scaled_in_python", SCALER), ("scaled_for_triton", TRITON_SCALER)):
        add_model(root, name, text, f'backend: "python"\n{SCALER_CONFIG}')
    steps = """ensemble_scheduling {
        step { model_name: "scaled" model_version: -1
            input_map { key: "X" value: "X" } input_map { key: "SCALE" value: "SCALE" }
            output_map { key: "Y" value: "Y" } } }"""
    add_ensemble(root, "scaled_in_ensemble", f'platform: "ensemble"\n{SCALER_CONFIG}\n{steps}')


def decoupled(root: Path) -> None:
    """Models that answer any number of times, and an ensemble, which cannot, of one of them."""
    add_model(root, "counter", COUNTER, COUNTER_CONFIG)
    add_model(root, "later", LATER_COUNTER, SHORT_COUNTER_CONFIG)
    add_model(root, "repeat_int32", REPEAT, REPEAT_CONFIG)
    ends = (("N TYPE_INT32 [ 1 ]",), ("I TYPE_INT32 [ 1 ]",))
    add_ensemble(root, "counting", config_of((("later", {"N": "N"}, {"I": "I"}),), *ends))


# What `remote` puts in front of another gateway, once for each protocol between the two.
BEHIND = (*(f"echo_{datatype.lower()}" for datatype in ELEMENTS), "simple", "table", "three_only", "busy")


def remote(root: Path, urls: Mapping[str, str]) -> None:
    """Each of BEHIND as "http.name" and "grpc.name"."""
    for protocol, url in urls.items():
        for name in BEHIND:
            add_remote(root, f"{protocol}.{name}", url, model_name=name)


KINDS: tuple[Callable[[Path], None], ...] = (
    onnx,
    python,
    failing,
    scheduled,
    stateful,
    ensembles,
    calling,
    optional,
    decoupled,
)
