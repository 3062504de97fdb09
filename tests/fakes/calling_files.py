"""Models that call others, as files: for Triton's Python backend, and in this house's class."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto

from tests.fakes.ensembles import add_ensemble, config_of
from tests.fakes.onnx_files import identity
from tests.fakes.python_files import ASYNCHRONOUS, COUNTER, COUNTER_CONFIG, DOUBLER_CONFIG, OWN, add_model

# What HOW says is done with X; NOTE is what there is to tell of it. All that is called doubles, but for the
# counter, which counts to X, and the echoes.
CALLER = """
    import asyncio
    import os
    import pathlib
    import threading
    import time
    import numpy as np
    import triton_python_backend_utils as pb_utils

    def call(model, x, output="Y", **more):
        return pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=[output],
            inputs=[pb_utils.Tensor("X", x)],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),
            **more,
        )

    def value(response, output="Y"):
        if response.has_error():
            raise pb_utils.TritonModelException(response.error().message())
        return pb_utils.get_output_tensor_by_name(response, output).as_numpy()

    def count_to(n):
        inputs = {"N": n, "FAIL_AT": n - 1 if n > 20 else -1, "REST_MS": 0, "SIZE": 2000}
        return pb_utils.InferenceRequest(
            model_name="counter",
            requested_output_names=["I", "PAD"],
            inputs=[pb_utils.Tensor(name, np.array([one], np.int32)) for name, one in inputs.items()],
        )

    class TritonPythonModel:
        def initialize(self, args):
            self.folder = pathlib.Path(args["model_repository"], args["model_version"])
            try:
                call("own", np.zeros((1, 1), np.float32)).exec()
            except pb_utils.TritonModelException as error:
                self.told = str(error)

        async def execute(self, requests):
            return [await self.answer(request) for request in requests]

        async def answer(self, request):
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            how = pb_utils.get_input_tensor_by_name(request, "HOW").as_numpy()[0].decode()
            self.note = ""
            y = await getattr(self, how)(x.reshape(1, -1))
            return pb_utils.InferenceResponse([
                pb_utils.Tensor("Y", np.asarray(y, np.float32).reshape(-1)),
                pb_utils.Tensor("NOTE", np.array([self.note], np.object_)),
            ])

        async def initialized(self, x):
            self.note = self.told
            return x

        async def two_in_turn(self, x):
            return value(call("later", value(call("own", x).exec())).exec())

        async def gather(self, x):
            answers = await asyncio.gather(*[
                call(model, x + index, request_id=str(index), model_version=1).async_exec()
                for index, model in enumerate(["own", "later", "own", "later"])
            ])
            return np.concatenate([value(answer) for answer in answers])

        async def many(self, x):
            answers = await asyncio.gather(*[call("own", x).async_exec() for _ in range(130)])
            self.note = " | ".join({one.error().message() for one in answers if one.has_error()})
            return x * sum(not one.has_error() for one in answers)

        async def threads(self, x):
            answers = []
            def one():
                for _ in range(10):
                    answers.append(value(call("own", x).exec()))
            running = [threading.Thread(target=one) for _ in range(4)]
            for thread in running:
                thread.start()
            for _ in range(10):
                answers.append(value(await call("later", x).async_exec()))
            for thread in running:
                thread.join()
            return sum(answers)

        async def missing(self, x):
            response = call("nobody", x).exec()
            self.note = f"{response.error().code()} {response.error().message()}"
            return x

        async def raising(self, x):
            response = await call("own", np.full_like(x, 13)).async_exec()
            self.note = f"{response.error().code()} {response.error().message()}"
            return x

        async def refusing(self, x):
            response = call("own", np.full_like(x, 14)).exec()
            self.note = f"{response.error().code()} {response.error().message()}"
            return x

        async def misfitting(self, x):
            response = call("own", x.astype(np.int64)).exec()
            self.note = f"{response.error().code()} {response.error().message()}"
            return x

        async def mistyped(self, x):
            response = call("own", x, request_id=7).exec()
            self.note = f"{response.error().code()} {response.error().message()}"
            return x

        async def untold(self, x):
            return value(call("own", np.full_like(x, 13)).exec())

        async def itself(self, x):
            response = call("caller", x).exec()
            self.note = f"{response.error().code()} {response.error().message()}"
            return x

        async def in_a_circle(self, x):
            return value(call("ping", x.reshape(-1)).exec())

        async def counted(self, x):
            every = list(count_to(int(x[0, 0])).exec(decoupled=True))
            self.note = " ".join(one.error().message() for one in every if one.has_error())
            return [value(one, "I")[0] for one in every if not one.has_error()]

        async def counted_later(self, x):
            found = []
            async for one in count_to(int(x[0, 0])).async_exec(decoupled=True):
                found.append(value(one, "I")[0])
            for responses in await asyncio.gather(count_to(2).async_exec(decoupled=True)):
                found += [value(one, "I")[0] for one in responses]
            return found

        async def counted_in_part(self, x):
            for one in count_to(1_000_000).exec(decoupled=True):
                if value(one, "I")[0] == 400:
                    return x

        async def counted_once(self, x):
            response = count_to(3).exec()
            self.note = f"{response.error().code()} {response.error().message()}"
            return x

        async def one_as_many(self, x):
            return np.concatenate([value(one) for one in call("own", x).exec(decoupled=True)])

        async def large(self, x):
            big = np.arange(int(x[0, 0]), dtype=np.float32).reshape(1, -1)
            answers = await asyncio.gather(*[call("echo", big + one).async_exec() for one in range(4)])
            for one, answer in enumerate(answers):
                assert (value(answer) == big + one).all()
                value(answer)[:] = 0
            return x

        async def texts(self, x):
            text = np.array([["", "a" * int(x[0, 0]), "\\u00fcber"]], np.object_)
            response = call("echo_text", text).exec()
            self.note = " ".join(str(len(one)) for one in value(response).ravel())
            return x

        async def slow(self, x):
            (self.folder / "calling").write_text(str(os.getpid()))
            return value(call("sleeper", x).exec())

        async def slow_later(self, x):
            return value(await call("sleeper", x).async_exec())

        async def left_behind(self, x):
            self.left = call("sleeper", x).async_exec()
            thread = threading.Thread(target=self.too_late, daemon=True)
            thread.start()
            await asyncio.sleep(0.01)
            return x

        def too_late(self):
            time.sleep(0.3)
            try:
                call("own", np.zeros((1, 1), np.float32)).exec()
            except pb_utils.TritonModelException as error:
                self.told = f"later: {error}"

        async def what_was_left(self, x):
            answer = await self.left
            self.note = f"{answer.error().code()} {answer.error().message()} {self.told}"
            return x
"""
CALLER_CONFIG = """
    backend: "python"
    input [ { name: "X" data_type: TYPE_FP32 dims: [ -1 ] },
        { name: "HOW" data_type: TYPE_STRING dims: [ 1 ] } ]
    output [ { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] },
        { name: "NOTE" data_type: TYPE_STRING dims: [ 1 ] } ]
"""
# Calls the model that its parameter names, and adds one.
PASSING_ON = """
    from gateway.model import Model

    class PassingOn(Model):
        def load(self, context):
            self.gateway, self.to = context.gateway, context.parameters["to"]

        def infer(self, inputs):
            return {"Y": self.gateway.infer(self.to, inputs)["Y"] + 1}
"""
PASSING_ON_CONFIG = """
    backend: "python"
    input { name: "X" data_type: TYPE_FP32 dims: [ -1 ] }
    output { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] }
    parameters { key: "to" value { string_value: "%s" } }
"""
# Y is X, so many seconds later; a file beside model.py tells which process has begun to sleep.
SLEEPER = """
    import os
    import time
    from gateway.model import Model

    class Sleeper(Model):
        def load(self, context):
            self.asleep = context.folder / "asleep"

        def infer(self, inputs):
            self.asleep.write_text(str(os.getpid()))
            time.sleep(float(inputs["X"].max()))
            return {"Y": inputs["X"]}
"""
# In this house's class: counts to N by the counter, doubles each number by another model.
OWN_CALLER = """
    import asyncio
    import os
    import pathlib
    import numpy as np
    from gateway.model import CallFailed, Model, Reason

    class Caller(Model):
        def load(self, context):
            self.gateway = context.gateway

        async def infer(self, inputs):
            n = int(inputs["N"].item())
            zero = np.zeros(1, np.int32)
            counts = {"N": inputs["N"], "FAIL_AT": zero - 1, "REST_MS": zero, "SIZE": zero}
            async for one in self.gateway.stream_async("counter", counts, outputs=["I"]):
                x = one["I"].astype(np.float32).reshape(1, 1)
                both = await asyncio.gather(
                    self.gateway.infer_async("own", {"X": x}, version=1),
                    self.gateway.infer_async("later", {"X": x}),
                )
                yield {"I": (both[0]["Y"] + both[1]["Y"]).astype(np.int32).reshape(1)}
            for one in self.gateway.stream("counter", {**counts, "N": zero + 1}):
                yield {"I": one["I"]}
            try:
                await self.gateway.infer_async("nobody", {})
            except CallFailed as failed:
                assert failed.reason is Reason.NOT_FOUND, failed.reason
                yield {"I": np.array([-404], np.int32)}
"""
OWN_CALLER_CONFIG = """
    backend: "python"
    input { name: "N" data_type: TYPE_INT32 dims: [ 1 ] }
    output { name: "I" data_type: TYPE_INT32 dims: [ 1 ] }
"""
# For Triton, decoupled: passes on what the counter answers, each doubled, by a thread that goes on when
# `execute` has returned.
RELAY = """
    import threading
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            for request in requests:
                n = pb_utils.get_input_tensor_by_name(request, "N").as_numpy()
                arguments = (n, request.get_response_sender())
                threading.Thread(target=self.relay, args=arguments, daemon=True).start()
            return None

        def relay(self, n, sender):
            zero = np.zeros(1, np.int32)
            counts = {"N": n, "FAIL_AT": zero - 1, "REST_MS": zero, "SIZE": zero}
            tensors = [pb_utils.Tensor(name, one) for name, one in counts.items()]
            request = pb_utils.InferenceRequest(
                model_name="counter", requested_output_names=["I"], inputs=tensors
            )
            for response in request.exec(decoupled=True):
                i = pb_utils.get_output_tensor_by_name(response, "I").as_numpy()
                x = pb_utils.Tensor("X", i.astype(np.float32).reshape(1, 1))
                doubled = pb_utils.InferenceRequest(
                    model_name="later", requested_output_names=["Y"], inputs=[x]
                ).exec()
                y = pb_utils.get_output_tensor_by_name(doubled, "Y").as_numpy()
                answer = pb_utils.Tensor("I", y.reshape(1).astype(np.int32))
                sender.send(pb_utils.InferenceResponse([answer]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
RELAY_CONFIG = f"model_transaction_policy {{ decoupled: true }}\n{OWN_CALLER_CONFIG}"
AT_ONCE = DOUBLER_CONFIG.replace("max_queue_delay_microseconds: 50000", "")


def add_passing_on(root: Path, name: str, to: str) -> None:
    """A model that asks another one and adds one."""
    add_model(root, name, PASSING_ON, PASSING_ON_CONFIG % to)


def add_callers(root: Path) -> None:
    """The models that call, in the repository `root`, and all that they call."""
    add_model(root, "caller", CALLER, CALLER_CONFIG)
    add_model(root, "own_caller", OWN_CALLER, OWN_CALLER_CONFIG)
    add_model(root, "relay", RELAY, RELAY_CONFIG)
    add_model(root, "own", OWN, AT_ONCE)
    add_model(root, "later", ASYNCHRONOUS, AT_ONCE)
    add_model(root, "counter", COUNTER, COUNTER_CONFIG)
    add_model(root, "sleeper", SLEEPER, AT_ONCE)
    add_passing_on(root, "ping", "pong")
    add_passing_on(root, "pong", "ping")
    add_passing_on(root, "into_round", "round")
    step = ("into_round", {"X": "X"}, {"Y": "Y"})
    add_ensemble(root, "round", config_of((step,), ("X TYPE_FP32 [ -1 ]",), ("Y TYPE_FP32 [ -1 ]",)))
    identity(root / "echo" / "1")
    identity(root / "echo_text" / "1", TensorProto.STRING)
