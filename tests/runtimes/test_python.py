from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import Reason
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.model import CallFailed
from gateway.runtimes.calls import desk_of
from gateway.runtimes.contract import ABSENT, Array, BadInput, LoadError, ModelFailed, StreamEnded
from gateway.runtimes.python import PythonModel, PythonRuntime
from tests.fakes.calling import FakeLine
from tests.fakes.python_files import ADD_SUB, ASYNCHRONOUS, OWN, REPEAT, SCALER, TRITON_SCALER, write
from tests.fakes.responses import KeptResponses

pytestmark = pytest.mark.usefixtures("interpreter")

EMPTY = ModelSpec("m", 1, "python", "python", (), ())
DOUBLER = msgspec.structs.replace(
    EMPTY,
    inputs=(TensorSpec("X", DType.FP32, (-1,)),),
    outputs=(TensorSpec("Y", DType.FP32, (-1,)),),
    max_batch_size=16,
)
TEXT = msgspec.structs.replace(
    DOUBLER, inputs=(TensorSpec("X", DType.BYTES, (1,)),), outputs=(TensorSpec("Y", DType.BYTES, (1,)),)
)
HEAD = "import numpy as np\nfrom gateway.model import Model\n"


class Memory:
    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array | None:
        return None


def load(folder: Path, spec: ModelSpec = DOUBLER, **options: str) -> PythonModel:
    known = bool(spec.inputs or spec.max_batch_size)
    return PythonRuntime().load(folder, spec, options, max_batch_known=known, default_max_batch_size=64)


def run(model: PythonModel, *inputs: Any, outputs: tuple[int, ...] = (0,)) -> list[Any]:
    arrays = [one if isinstance(one, np.ndarray) else np.array(one, np.float32) for one in inputs]
    for array in arrays:
        array.flags.writeable = False
    return [one.tolist() for one in model.infer(arrays, outputs, len(arrays[0]), Memory())]


def own(body: str) -> str:
    """A model whose infer is `body`."""
    return f"{HEAD}class M(Model):\n    def infer(self, inputs):\n        {body}\n"


def refused(folder: Path, text: str, spec: ModelSpec = DOUBLER) -> str:
    """Why the file cannot be loaded: one line, without a path."""
    with pytest.raises(LoadError) as caught:
        load(write(folder / "1", text), spec)
    assert "\n" not in str(caught.value)
    assert str(folder) not in str(caught.value)
    return str(caught.value)


# ---- our own class ------------------------------------------------------------------------------


def test_a_class_of_ours_is_told_its_parameters_and_gets_whole_batches(tmp_path: Path) -> None:
    model = load(write(tmp_path / "1", OWN), factor="3")
    assert model.spec == DOUBLER
    assert run(model, [[1, 2], [3, 4]]) == [[[3, 6], [9, 12]]]
    model.close()


def test_the_context_tells_everything(tmp_path: Path) -> None:
    text = f"""{HEAD}
class M(Model):
    def load(self, context):
        assert (context.folder / "model.py").is_file()
        assert (context.name, context.version, context.max_batch_size) == ("m", 1, 16)
        assert dict(context.parameters) == {{"a": "b"}}
        assert [one.name for one in (*context.inputs, *context.outputs)] == ["X", "Y"]
    def infer(self, inputs):
        return {{}}
"""
    load(write(tmp_path / "1", text), a="b", default_model_filename="model.py")


@pytest.mark.parametrize("how", ["", "async "])
def test_a_model_asks_others_at_its_own_desk(tmp_path: Path, how: str) -> None:
    text = f"""{HEAD}
class M(Model):
    def load(self, context):
        self.gateway = context.gateway
    {how}def infer(self, inputs):
        return {"await self.gateway.infer_async" if how else "self.gateway.infer"}("other", inputs)
"""
    model = load(write(tmp_path / "1", text))
    desk = desk_of(model)
    assert desk is not None
    desk.line = FakeLine({"Y": np.array([[5]], np.float32)})
    assert run(model, [[1]]) == [[[5]]]
    desk.line = FakeLine(CallFailed(Reason.NOT_FOUND, "who?"))
    with pytest.raises(ModelFailed, match=r"^a model that this one calls: who\?$"):
        run(model, [[1]])
    model.close()


def test_coroutines_share_one_loop(tmp_path: Path) -> None:
    model = load(write(tmp_path / "1", ASYNCHRONOUS))
    assert [run(model, [[one]]) for one in (1, 2)] == [[[[2]]], [[[4]]]]
    model.close()


def test_exceptions_fail_the_batch_and_are_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load(write(tmp_path / "1", OWN))
    with pytest.raises(RuntimeError, match="thirteen"):
        run(model, [[13]])
    text = capsys.readouterr().err
    assert text.startswith("python model m/1: an exception")
    assert "in infer" in text
    with pytest.raises(BadInput, match=r"^X must not have a 14$"):
        run(model, [[14]])
    assert capsys.readouterr().err == ""
    assert run(model, [[1]]) == [[[2]]]


def test_what_a_model_prints_goes_to_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(load(write(tmp_path / "1", own("print('hello') or 1; return {'Y': inputs['X']}"))), [[1]])
    assert capsys.readouterr() == ("", "hello\n")


def test_strings_of_every_kind_are_bytes(tmp_path: Path) -> None:
    text = own("return {'Y': {0: np.array([['a']]), 1: np.array([[b'b']])}[len(inputs['X'][0, 0])]}")
    model = load(write(tmp_path / "1", text), TEXT)
    for value, answer in ((b"", "a"), (b"x", b"b")):
        assert run(model, np.array([[value]], object)) == [[[answer]]]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return 7", "infer returned int, not a dict of arrays by name"),
        ("return (x for x in ())", "infer returned generator, not a dict"),
        ("return {'Z': inputs['X']}", "the model's answer lacks output 'Y'"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, body: str, problem: str) -> None:
    model = load(write(tmp_path / "1", own(body)))
    with pytest.raises(ModelFailed, match=f"^{problem}"):
        run(model, [[1]])


def test_a_model_that_cannot_end_in_order_is_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = own("return {}") + "    def unload(self):\n        raise ValueError('still here')\n"
    load(write(tmp_path / "1", text)).close()
    assert "ValueError: still here" in capsys.readouterr().err


def test_a_class_between_is_not_served(tmp_path: Path) -> None:
    text = own("return {'Y': inputs['X']}") + "class Last(M):\n    pass\n"
    assert run(load(write(tmp_path / "1", text)), [[5]]) == [[[5]]]


# ---- Triton's class ------------------------------------------------------------------------------


def test_a_file_for_triton_completes_its_own_configuration(tmp_path: Path) -> None:
    model = load(write(tmp_path / "1", ADD_SUB), EMPTY)
    assert [one.name for one in (*model.spec.inputs, *model.spec.outputs)] == [
        *("INPUT0", "INPUT1"),
        *("OUTPUT0", "OUTPUT1"),
    ]
    assert model.spec.max_batch_size == 0
    a, b = np.array([1, 2, 3, 4], np.float32), np.ones(4, np.float32)
    assert run(model, a, b, outputs=(1, 0)) == [[0, 1, 2, 3], [2, 3, 4, 5]]
    with pytest.raises(BadInput, match=r"^thirteen is refused$"):
        run(model, a * 13, b)
    model.close()


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def infer(:\n", "model.py: SyntaxError: invalid syntax (model.py, line 1)"),
        ("import no_such_module", "model.py: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys\nsys.exit('/opt/licence/key is missing')", "model.py: SystemExit: key is missing"),
        ("X = 1", "'model.py' has no class derived from gateway.model.Model and no TritonPythonModel"),
        (
            own("return {}") + "class N(Model):\n    def infer(self, inputs):\n        return {}\n",
            "'model.py' has several models, must be one: M, N",
        ),
        (
            own("return {}") + "class TritonPythonModel:\n    pass\n",
            "'model.py' has several models, must be one: M, TritonPythonModel",
        ),
        (f"{HEAD}class M(Model):\n    pass\n", "model.py: TypeError: Can't instantiate abstract class M"),
        (
            "class TritonPythonModel:\n    def execute(self, requests):\n        yield None\n",
            "TritonPythonModel.execute is a generator: a decoupled model answers by a response sender",
        ),
        ("class TritonPythonModel:\n    pass\n", "TritonPythonModel has no method 'execute'"),
        (
            own("return {}") + "    def load(self, context):\n        raise OSError('no /data/a/b.bin')\n",
            "model.py: OSError: no b.bin",
        ),
    ],
)
def test_what_cannot_be_loaded_and_why(tmp_path: Path, text: str, problem: str) -> None:
    assert refused(tmp_path, text).startswith(problem)


def test_a_signature_is_needed(tmp_path: Path) -> None:
    assert refused(tmp_path, own("return {}"), EMPTY) == (
        "config.pbtxt does not name the model's inputs and outputs"
    )
    text = """
        class TritonPythonModel:
            @staticmethod
            def auto_complete_config(config):
                return config

            def execute(self, requests):
                return []
    """
    assert refused(tmp_path, text, EMPTY) == (
        "neither config.pbtxt nor auto_complete_config names the model's inputs and outputs"
    )


def test_code_never_runs_in_a_front(tmp_path: Path) -> None:
    inline = msgspec.structs.replace(DOUBLER, isolation="inline")
    assert "never runs in a front" in refused(tmp_path, "raise SystemExit", inline)


def test_requirements_come_first(tmp_path: Path) -> None:
    write(tmp_path / "1", "no-such-package", "requirements.txt")
    assert "no-such-package" in refused(tmp_path, "import no_such_package")


@pytest.mark.parametrize("name", ["../model.py", "other.py", ""])
def test_the_file_must_be_in_the_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path, OWN)
    with pytest.raises(LoadError, match="there is no file"):
        load(write(tmp_path / "1", OWN), default_model_filename=name)


# ---- any number of answers -----------------------------------------------------------------------


def streamed(model: PythonModel, value: float = 1.0, limit: int = 100) -> KeptResponses:
    kept = KeptResponses(limit)
    model.stream([np.array([[value]], np.float32)], (0,), 1, kept)
    return kept


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_generator_is_decoupled_by_itself(tmp_path: Path, kind: str) -> None:
    body = "for one in range(3):\n            yield {'Y': inputs['X'] * one}"
    model = load(write(tmp_path / "1", own(body).replace("def infer", f"{kind} infer")))
    assert model.spec == msgspec.structs.replace(DOUBLER, decoupled=True)
    assert [results[0].tolist() for results, _ in streamed(model, 2.0).sent] == [[[0]], [[2]], [[4]]]
    model.close()


def test_a_generator_may_fail_and_blame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = own(
        "yield {'Y': inputs['X']}\n        raise {1: KeyError, 2: InvalidInput}[inputs['X'][0, 0]]('x')"
    )
    model = load(write(tmp_path / "1", text.replace("import Model", "import InvalidInput, Model")))
    with pytest.raises(KeyError):
        streamed(model, 1)
    assert "KeyError" in capsys.readouterr().err
    with pytest.raises(BadInput, match=r"^x$"):
        streamed(model, 2)
    with pytest.raises(StreamEnded):
        streamed(model, limit=0)
    assert capsys.readouterr().err == ""


def test_a_model_that_is_configured_decoupled_may_answer_once(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(DOUBLER, decoupled=True)
    kept = streamed(load(write(tmp_path / "1", own("return {'Y': inputs['X']}")), spec))
    assert [is_last for _, is_last in kept.sent] == [True]


def test_a_decoupled_file_for_triton_answers_by_a_thread_of_its_own(tmp_path: Path) -> None:
    spec = ModelSpec(
        "m", 1, "python", "python",
        tuple(TensorSpec(name, DType.INT32, (-1,)) for name in ("IN", "DELAY", "WAIT")),
        tuple(TensorSpec(name, DType.INT32, (1,)) for name in ("OUT", "IDX")),
        decoupled=True,
    )  # fmt: skip
    model, kept = load(write(tmp_path / "1", REPEAT), spec), KeptResponses()
    model.stream([np.array(one, np.int32) for one in ([7, 8], [1, 1], [0])], (1, 0), 1, kept)
    assert [[int(one[0]) for one in results] for results, _ in kept.sent] == [[0, 7], [1, 8]]


# ---- optional inputs ----------------------------------------------------------------------------

SCALED = msgspec.structs.replace(
    DOUBLER, inputs=(*DOUBLER.inputs, TensorSpec("SCALE", DType.FP32, (1,), is_optional=True))
)


@pytest.mark.parametrize("text", [SCALER, TRITON_SCALER])
def test_an_optional_input_that_is_left_out_is_not_there(tmp_path: Path, text: str) -> None:
    model = load(write(tmp_path / "1", text), SCALED)
    x = np.array([[1, 2]], np.float32)
    for scale, expected in ((ABSENT, 2), (np.array([[3]], np.float32), 3)):
        (found,) = model.infer([x, scale], (0,), 1, Memory())
        assert found.tolist() == (x * expected).tolist()
