"""Models written in Python, as files: in this house's class and in that of Triton's Python backend."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

# Both double X, FP32 [-1], to Y, and raise for a row that begins with 13.
OWN = """
    import numpy as np
    from gateway.model import Array, Context, InvalidInput, Model

    class Doubler(Model):
        def load(self, context: Context) -> None:
            self.factor = float(context.parameters.get("factor", "2"))

        def infer(self, inputs: dict[str, Array]) -> dict[str, Array]:
            x = inputs["X"]
            if (x == 13).any():
                raise RuntimeError("thirteen, as /srv/models/secret/table.csv says")
            if (x == 14).any():
                raise InvalidInput("X must not have a 14")
            return {"Y": x * np.float32(self.factor)}
"""
ASYNCHRONOUS = """
    import asyncio
    from gateway.model import Model

    class Later(Model):
        async def load(self, context):
            self.loop = asyncio.get_running_loop()

        async def infer(self, inputs):
            await asyncio.sleep(0.001)
            assert asyncio.get_running_loop() is self.loop
            return {"Y": inputs["X"] * 2}
"""
ADD_SUB = """
    import json
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        @staticmethod
        def auto_complete_config(auto_complete_model_config):
            for name in ("INPUT0", "INPUT1"):
                auto_complete_model_config.add_input({"name": name, "data_type": "TYPE_FP32", "dims": [4]})
            for name in ("OUTPUT0", "OUTPUT1"):
                auto_complete_model_config.add_output({"name": name, "data_type": "TYPE_FP32", "dims": [4]})
            auto_complete_model_config.set_max_batch_size(0)
            return auto_complete_model_config

        def initialize(self, args):
            self.config = json.loads(args["model_config"])
            self.dtypes = [
                pb_utils.triton_string_to_numpy(
                    pb_utils.get_output_config_by_name(self.config, name)["data_type"]
                )
                for name in ("OUTPUT0", "OUTPUT1")
            ]

        def execute(self, requests):
            responses = []
            for request in requests:
                a = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
                b = pb_utils.get_input_tensor_by_name(request, "INPUT1").as_numpy()
                if (a == 13).any():
                    error = pb_utils.TritonError("thirteen is refused", pb_utils.TritonError.INVALID_ARG)
                    responses.append(pb_utils.InferenceResponse(output_tensors=[], error=error))
                    continue
                results = [(a + b).astype(self.dtypes[0]), (a - b).astype(self.dtypes[1])]
                responses.append(pb_utils.InferenceResponse(output_tensors=[
                    pb_utils.Tensor(name, result)
                    for name, result in zip(("OUTPUT0", "OUTPUT1"), results)
                ]))
            return responses

        def finalize(self):
            pb_utils.Logger.log_info("cleaning up")
"""
# Both multiply X, FP32 [-1], by SCALE, FP32 [1], which is 2 where it is left out.
SCALER = """
    import numpy as np
    from gateway.model import Model

    class Scaler(Model):
        def infer(self, inputs):
            return {"Y": inputs["X"] * inputs.get("SCALE", np.float32(2))}
"""
TRITON_SCALER = """
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            responses = []
            for request in requests:
                x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
                scale = pb_utils.get_input_tensor_by_name(request, "SCALE")
                y = x * (np.float32(2) if scale is None else scale.as_numpy())
                responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)]))
            return responses
"""
SCALER_CONFIG = """
    max_batch_size: 8
    input [
        { name: "X" data_type: TYPE_FP32 dims: [ -1 ] },
        { name: "SCALE" data_type: TYPE_FP32 dims: [ 1 ] optional: true }
    ]
    output { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] }
"""
# Needs no config.pbtxt: upper case of TEXT, BYTES [-1], in batches, by a coroutine.
UPPER = """
    import asyncio
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        @staticmethod
        def auto_complete_config(config):
            tensor = {"data_type": "TYPE_STRING", "dims": [-1]}
            config.set_max_batch_size(8)
            config.set_dynamic_batching()
            config.add_input({"name": "TEXT", **tensor})
            config.add_output({"name": "UPPER", **tensor})
            return config

        async def execute(self, requests):
            await asyncio.sleep(0)
            return [self.answer(request) for request in requests]

        def answer(self, request):
            text = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
            upper = np.array([[one.upper() for one in row] for row in text], dtype=np.object_)
            return pb_utils.InferenceResponse([pb_utils.Tensor("UPPER", upper)])
"""
# Doubles X as one does who only ever thought of one row.
FIRST_ROW = """
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            responses = []
            for request in requests:
                x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()[0]
                y = pb_utils.Tensor("Y", np.array([x * 2], dtype=np.float32))
                responses.append(pb_utils.InferenceResponse(output_tensors=[y]))
            return responses
"""
# Answers N times with I; raises instead of answer FAIL_AT, rests REST_MS before each; each answer carries
# SIZE bytes; files beside model.py tell how many it has given, and how it ended.
COUNTER = """
    import os
    import time
    import numpy as np
    from gateway.model import InvalidInput, Model

    class Counter(Model):
        def load(self, context):
            self.end = context.folder / "ended"
            self.given = os.open(context.folder / "given", os.O_RDWR | os.O_CREAT)

        def infer(self, inputs):
            n, fail_at, rest_ms, size = (int(inputs[k].item()) for k in ("N", "FAIL_AT", "REST_MS", "SIZE"))
            if n < 0:
                raise InvalidInput("N must not be negative")
            given = 0
            try:
                for i in range(n):
                    if i == fail_at:
                        raise RuntimeError(f"no answer {i}")
                    if rest_ms:
                        time.sleep(rest_ms / 1000)
                    yield {"I": np.array([i], np.int32), "PAD": np.array([b"x" * size], object)}
                    given += 1
                    os.pwrite(self.given, given.to_bytes(8, "little"), 0)
                self.end.write_text(f"all {given}")
            except GeneratorExit:
                self.end.write_text(f"closed {given}")
                raise
"""
COUNTER_CONFIG = """
    backend: "python"
    input [
        { name: "N" data_type: TYPE_INT32 dims: [ 1 ] },
        { name: "FAIL_AT" data_type: TYPE_INT32 dims: [ 1 ] },
        { name: "REST_MS" data_type: TYPE_INT32 dims: [ 1 ] },
        { name: "SIZE" data_type: TYPE_INT32 dims: [ 1 ] }
    ]
    output [
        { name: "I" data_type: TYPE_INT32 dims: [ 1 ] },
        { name: "PAD" data_type: TYPE_STRING dims: [ 1 ] }
    ]
"""
LATER_COUNTER = """
    import asyncio
    import numpy as np
    from gateway.model import Model

    class Counter(Model):
        async def infer(self, inputs):
            for i in range(int(inputs["N"].item())):
                await asyncio.sleep(0.001)
                yield {"I": np.array([i], np.int32)}
"""
SHORT_COUNTER_CONFIG = """
    backend: "python"
    input { name: "N" data_type: TYPE_INT32 dims: [ 1 ] }
    output { name: "I" data_type: TYPE_INT32 dims: [ 1 ] }
"""
# For Triton: OUT once for each element of IN, after so many ms as DELAY says there, by a thread that goes
# on when `execute` has returned; IDX tells which. WAIT is how long `execute` itself takes.
REPEAT = """
    import json
    import threading
    import time
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def initialize(self, args):
            assert pb_utils.using_decoupled_model_transaction_policy(json.loads(args["model_config"]))

        def execute(self, requests):
            for request in requests:
                sender = request.get_response_sender()
                wait, data, delays = (
                    pb_utils.get_input_tensor_by_name(request, name).as_numpy()
                    for name in ("WAIT", "IN", "DELAY")
                )
                arguments = (sender, data, delays)
                threading.Thread(target=self.respond, args=arguments, daemon=True).start()
                time.sleep(int(wait[0]) / 1000)
            return None

        def respond(self, sender, data, delays):
            for index, (value, delay) in enumerate(zip(data, delays)):
                time.sleep(delay / 1000)
                if sender.is_cancelled():
                    break
                if value < 0:
                    error = pb_utils.TritonError(f"{value} is negative", pb_utils.TritonError.INVALID_ARG)
                    sender.send(pb_utils.InferenceResponse(error=error))
                    continue
                sender.send(pb_utils.InferenceResponse([
                    pb_utils.Tensor("OUT", np.array([value], np.int32)),
                    pb_utils.Tensor("IDX", np.array([index], np.uint32)),
                ]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
REPEAT_CONFIG = """
    backend: "python"
    model_transaction_policy { decoupled: true }
    input [
        { name: "IN" data_type: TYPE_INT32 dims: [ -1 ] },
        { name: "DELAY" data_type: TYPE_UINT32 dims: [ -1 ] },
        { name: "WAIT" data_type: TYPE_UINT32 dims: [ 1 ] }
    ]
    output [
        { name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] },
        { name: "IDX" data_type: TYPE_UINT32 dims: [ 1 ] }
    ]
"""
DOUBLER_CONFIG = """
    backend: "python"
    max_batch_size: 16
    input { name: "X" data_type: TYPE_FP32 dims: [ -1 ] }
    output { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] }
    dynamic_batching { max_queue_delay_microseconds: 50000 }
"""


def write(folder: Path, text: str, name: str = "model.py") -> Path:
    """`text` as a file in `folder`, its common indentation removed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(dedent(text))
    return folder


def add_model(root: Path, name: str, text: str, config: str = "") -> None:
    """Version 1 of a model in the repository `root`, with a config.pbtxt where one is given."""
    write(root / name / "1", text)
    if config:
        write(root / name, config, "config.pbtxt")
