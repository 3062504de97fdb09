"""The committed models, run by ONNX Runtime itself and seen through the repository."""

from __future__ import annotations

import json
import runpy
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from gateway.core.dtypes import DType
from gateway.core.model import BatchPolicy, ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.repository.catalogue import Catalogue, to_spec
from gateway.repository.local import scan
from gateway.workers.messages import Loaded
from tests.fakes.forked_worker import ForkedWorker

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repo"
NAMES = ["digits", "fraud", "identity", "identity_bytes", "simple"]
ONNX_NAMES = [name for name in NAMES if name != "identity_bytes"]


@cache
def session(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = REPOSITORY / name / "1" / "model.onnx"
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@cache
def catalogue() -> Catalogue:
    return scan(REPOSITORY)


def run(name: str, **inputs: np.ndarray) -> list[np.ndarray]:
    return session(name).run(None, inputs)


def draft(name: str, **known: object) -> ModelSpec:
    engine = {"platform": "onnxruntime_onnx", "backend": "onnxruntime"}
    return ModelSpec(name=name, version=1, **engine | {"inputs": (), "outputs": ()} | known)


def tensors(dtype: DType, size: int, *names: str) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, dtype, (size,)) for name in names)


GOLDEN = {
    "digits": (draft("digits"), False),
    "identity": (draft("identity"), False),
    "identity_bytes": (
        draft(
            "identity_bytes",
            platform="python",
            backend="python",
            inputs=tensors(DType.BYTES, -1, "INPUT0"),
            outputs=tensors(DType.BYTES, -1, "OUTPUT0"),
            max_batch_size=64,
        ),
        True,
    ),
    "fraud": (
        draft(
            "fraud",
            inputs=tensors(DType.FP32, 30, "features"),
            outputs=tensors(DType.FP32, 1, "score"),
            max_batch_size=64,
        ),
        True,
    ),
    "simple": (
        draft(
            "simple",
            inputs=tensors(DType.INT32, 16, "INPUT0", "INPUT1"),
            outputs=tensors(DType.INT32, 16, "OUTPUT0", "OUTPUT1"),
            max_batch_size=8,
            batching=BatchPolicy(enabled=False),
        ),
        True,
    ),
}


def test_the_repository_is_these_five() -> None:
    assert list(catalogue().entries) == NAMES
    assert catalogue().ignored == ()
    assert all(entry.broken == "" and entry.refused == () for entry in catalogue().entries.values())


@pytest.mark.parametrize("name", NAMES)
def test_what_the_repository_says_of_it(name: str) -> None:
    assert to_spec(catalogue().entries[name], 1) == GOLDEN[name]


@pytest.mark.parametrize("name", ONNX_NAMES)
def test_it_is_small_plain_and_old_enough(name: str) -> None:
    path = REPOSITORY / name / "1" / "model.onnx"
    model = onnx.load(path)
    assert path.stat().st_size < 100_000
    assert model.ir_version <= 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("name", ONNX_NAMES)
def test_a_config_agrees_with_the_file(name: str) -> None:
    spec = to_spec(catalogue().entries[name], 1).spec
    for told, real in (
        (spec.inputs, session(name).get_inputs()),
        (spec.outputs, session(name).get_outputs()),
    ):
        for one, other in zip(told, real, strict=bool(told)):
            assert (one.name, ["batch", *one.shape]) == (other.name, other.shape)


def test_the_scripts_make_the_committed_bytes(tmp_path: Path) -> None:
    runpy.run_path(str(REPOSITORY / "make_models.py"))["main"](tmp_path)
    for name in ("fraud", "identity", "simple"):
        part = Path(name, "1", "model.onnx")
        assert (tmp_path / part).read_bytes() == (REPOSITORY / part).read_bytes(), name


def test_digits_reads_images_it_never_saw() -> None:
    held_out = np.load(REPOSITORY / "digits" / "heldout.npy", allow_pickle=False)
    images, labels = held_out[:, :64].astype(np.float32).reshape(-1, 8, 8), held_out[:, 64]
    (scores,) = run("digits", image=images)
    assert scores.shape == (360, 10)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    accuracy = float((scores.argmax(axis=1) == labels).mean())
    assert accuracy >= 0.95
    # The figure in the README.
    assert round(100 * accuracy, 1) == 98.3


def test_the_digits_sample_is_a_seven() -> None:
    request = json.loads((REPOSITORY / "digits" / "sample.json").read_text(encoding="utf-8"))
    (image,) = request["inputs"]
    assert (image["name"], image["datatype"], image["shape"]) == ("image", "FP32", [1, 8, 8])
    (scores,) = run("digits", image=np.array(image["data"], np.float32).reshape(image["shape"]))
    assert scores.argmax() == 7
    assert scores.max() > 0.9


def test_fraud_is_the_network_its_weights_describe() -> None:
    model = onnx.load(REPOSITORY / "fraud" / "1" / "model.onnx")
    weights = {w.name: numpy_helper.to_array(w).astype(np.float64) for w in model.graph.initializer}
    assert [weights[f"w{index}"].shape for index in range(3)] == [(30, 64), (64, 32), (32, 1)]
    features = np.random.Generator(np.random.Philox(1)).normal(size=(64, 30)).astype(np.float32)
    hidden = features.astype(np.float64)
    for index in range(2):
        hidden = np.maximum(hidden @ weights[f"w{index}"] + weights[f"b{index}"], 0)
    expected = 1 / (1 + np.exp(-(hidden @ weights["w2"] + weights["b2"])))
    (score,) = run("fraud", features=features)
    assert score.shape == (64, 1)
    np.testing.assert_allclose(score, expected, atol=1e-5)
    # Scores that say something about their row, so that two rows mixed up cannot hide.
    assert len(np.unique(score)) == 64
    assert score.std() > 0.05


def test_fraud_scores_a_row_alike_alone_and_in_a_batch() -> None:
    features = np.random.Generator(np.random.Philox(2)).normal(size=(64, 30)).astype(np.float32)
    (together,) = run("fraud", features=features)
    alone = np.concatenate([run("fraud", features=row[None])[0] for row in features])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_simple_adds_and_subtracts() -> None:
    one = np.arange(32, dtype=np.int32).reshape(2, 16)
    other = np.full((2, 16), 3, np.int32)
    total, difference = run("simple", INPUT0=one, INPUT1=other)
    np.testing.assert_array_equal(total, one + other)
    np.testing.assert_array_equal(difference, one - other)


def test_identity_takes_16_mib_and_shares_its_axes() -> None:
    (source,), (result,) = session("identity").get_inputs(), session("identity").get_outputs()
    assert source.shape == result.shape == ["batch", "length"]
    value = np.arange(1 << 22, dtype=np.float32).reshape(1, -1)
    (answer,) = run("identity", INPUT0=value)
    np.testing.assert_array_equal(answer, value)


def test_identity_bytes_gives_back_what_it_gets() -> None:
    """In a process of its own, as a worker would: loading it changes what the process can import."""
    with ForkedWorker() as worker:
        spec = to_spec(catalogue().entries["identity_bytes"], 1).spec
        path = REPOSITORY / "identity_bytes" / "1"
        loaded = worker.load(path, spec, "gateway.runtimes.python:PythonRuntime", max_batch_known=True)
        assert isinstance(loaded, Loaded), loaded
        assert loaded.spec == spec
    assert [file.name for file in path.iterdir()] == ["model.py"]
