"""Stateful models, as folders: running sums, whose states the gateway keeps or the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.fakes.onnx_files import save
from tests.fakes.python_files import add_model

DIRECT = "direct { }"


def oldest(candidates: int, more: str = "") -> str:
    return f"oldest {{ max_candidate_sequences: {candidates} {more} }}"


def control(name: str, kind: str, field: str = "int32_false_true: [ 0, 1 ]") -> str:
    return f"control_input {{ name: '{name}' control {{ kind: CONTROL_SEQUENCE_{kind} {field} }} }}"


START, READY, END = control("START", "START"), control("READY", "READY"), control("END", "END")
IDENTITY = control("CORRID", "CORRID", "data_type: TYPE_UINT64")
SUM_STATE = "input_name: 'SUM_IN' output_name: 'SUM_OUT' data_type: TYPE_INT32 dims: 1"


def state(more: str = "") -> str:
    return f"state {{ {SUM_STATE} {more} }}"


def config_of(
    *batching: str, rows: int = 4, idle_us: int = 60_000_000, more: str = "", tensors: bool = True
) -> str:
    """INPUT INT32 [1] to OUTPUT INT32 [1], and how sequences of it are batched."""
    told = """
        input { name: "INPUT" data_type: TYPE_INT32 dims: 1 }
        output { name: "OUTPUT" data_type: TYPE_INT32 dims: 1 }
    """
    return dedent(f"""
        max_batch_size: {rows}
        {told if tensors else ""}
        sequence_batching {{ max_sequence_idle_microseconds: {idle_us} {" ".join(batching)} }}
        {more}
    """)


def add_accumulator(
    root: Path, name: str, *batching: str, rows: int = 4, states: str = "", **more: Any
) -> None:
    """An ONNX model: OUTPUT is the sum of INPUT over the sequence, its state SUM."""
    dims = ["n", 1] if rows else [1]
    save(
        root / name / "1",
        [
            helper.make_node("Add", ["INPUT", "SUM_IN"], ["OUTPUT"]),
            helper.make_node("Identity", ["OUTPUT"], ["SUM_OUT"]),
        ],
        [(tensor, TensorProto.INT32, dims) for tensor in ("INPUT", "SUM_IN")],
        [(tensor, TensorProto.INT32, dims) for tensor in ("OUTPUT", "SUM_OUT")],
    )
    text = config_of(*batching, states or state(), rows=rows, **more)
    (root / name / "config.pbtxt").write_text(text)


def save_weighted(folder: Path, weights: Mapping[str, int]) -> None:
    """An ONNX model without a state: OUTPUT is INPUT and so many times each control; CORRID is a UINT64.

    A pair "END*CORRID" weighs the product.
    """
    nodes = [helper.make_node("Cast", ["CORRID"], ["NUMBER"], to=TensorProto.INT32)]
    last = "INPUT"
    for at, (term, _) in enumerate(weights.items()):
        factors = [factor.replace("CORRID", "NUMBER") for factor in term.split("*")]
        factors.append(f"w{at}")
        product = factors[0]
        for more, factor in enumerate(factors[1:]):
            nodes.append(helper.make_node("Mul", [product, factor], [f"p{at}_{more}"]))
            product = f"p{at}_{more}"
        following = "OUTPUT" if at == len(weights) - 1 else f"s{at}"
        nodes.append(helper.make_node("Add", [last, product], [following]))
        last = following
    dims = ["n", 1]
    controls = sorted({factor for term in weights for factor in term.split("*")})
    save(
        folder,
        nodes if "CORRID" in controls else nodes[1:],
        [
            ("INPUT", TensorProto.INT32, dims),
            *((one, TensorProto.UINT64 if one == "CORRID" else TensorProto.INT32, dims) for one in controls),
        ],
        [("OUTPUT", TensorProto.INT32, dims)],
        [(f"w{at}", np.array([weight], "i4")) for at, weight in enumerate(weights.values())],
    )


def add_marker(root: Path, name: str, *batching: str, rows: int = 4) -> None:
    """OUTPUT is INPUT + 10 START + 100 READY + 1000 END + 10000 CORRID."""
    save_weighted(root / name / "1", {"START": 10, "READY": 100, "END": 1000, "CORRID": 10_000})
    text = config_of(*batching, START, READY, END, IDENTITY, rows=rows)
    (root / name / "config.pbtxt").write_text(text)


def add_simple_sequences(root: Path) -> None:
    """What the examples of Triton's clients ask: INPUT + START, and at the end the id on top."""
    save_weighted(root / "simple_sequence" / "1", {"START": 1})
    (root / "simple_sequence" / "config.pbtxt").write_text(config_of(DIRECT, START, idle_us=5_000_000))
    save_weighted(root / "simple_dyna_sequence" / "1", {"START": 1, "END*CORRID": 1})
    text = config_of(oldest(4, "preferred_batch_size: [ 4 ]"), START, END, IDENTITY)
    (root / "simple_dyna_sequence" / "config.pbtxt").write_text(text)
    texts = config_of(oldest(4), START, END, control("CORRID", "CORRID", "data_type: TYPE_STRING"))
    add_model(root, "simple_string_dyna_sequence", TEXTS, texts)


# The id ends in a number behind a dash.
TEXTS = """
    import numpy as np
    from gateway.model import Model

    class Texts(Model):
        def infer(self, inputs):
            numbers = [[int(text.decode().rpartition("-")[2])] for (text,) in inputs["CORRID"]]
            added = inputs["END"] * np.array(numbers, np.int32)
            return {"OUTPUT": inputs["INPUT"] + inputs["START"] + added}
"""
# Keeps the sums itself, by id. It cannot stand a 13, and dies of 666.
OWN_SUMS = """
    import os
    import numpy as np
    from gateway.model import InvalidInput, Model

    class Sums(Model):
        def load(self, context):
            self.sums = {}

        def infer(self, inputs):
            answer = np.zeros_like(inputs["INPUT"])
            for row in range(len(answer)):
                if not inputs["READY"][row, 0]:
                    continue
                value, who = int(inputs["INPUT"][row, 0]), int(inputs["CORRID"][row, 0])
                if value == 666:
                    os._exit(1)
                if value == 13:
                    raise InvalidInput("no thirteen")
                if inputs["START"][row, 0]:
                    self.sums[who] = 0
                self.sums[who] += value
                answer[row, 0] = self.sums[who]
                if inputs["END"][row, 0]:
                    del self.sums[who]
            return {"OUTPUT": answer}
"""
# As above, as a file for Triton: by the ids and flags of requests, which may be texts.
TRITON_SUMS = """
    import json
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def initialize(self, args):
            config = json.loads(args["model_config"])
            assert [one["name"] for one in config["input"]] == ["INPUT"], config
            assert config["sequence_batching"]["oldest"]["max_candidate_sequences"] == 4, config
            self.sums = {}

        def execute(self, requests):
            responses = []
            for request in requests:
                who, flags = request.correlation_id(), request.flags()
                value = pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()
                if value[0, 0] == 13:
                    error = pb_utils.TritonError("no thirteen", pb_utils.TritonError.INVALID_ARG)
                    responses.append(pb_utils.InferenceResponse([], error))
                    continue
                start = pb_utils.get_input_tensor_by_name(request, "START").as_numpy()
                assert value.shape == start.shape == (1, 1)
                assert bool(start[0, 0]) == bool(flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START)
                if flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START:
                    self.sums[who] = 0
                self.sums[who] += int(value[0, 0])
                told = np.array([[self.sums[who]]], np.int32)
                responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", told)]))
                if flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END:
                    del self.sums[who]
            return responses
"""


def add_own_sums(root: Path, name: str, *batching: str, instances: int = 1, **more: Any) -> None:
    """A model of our own class with every control."""
    group = f"instance_group {{ kind: KIND_CPU count: {instances} }}"
    text = config_of(*batching, START, READY, END, IDENTITY, more=group, **more)
    add_model(root, name, OWN_SUMS, text)


def add_triton_sums(root: Path, name: str) -> None:
    add_model(root, name, TRITON_SUMS, config_of(oldest(4), START))
