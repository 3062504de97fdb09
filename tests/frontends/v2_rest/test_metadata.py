from __future__ import annotations

import json

import msgspec

from gateway.frontends.v2_rest.metadata import model_metadata, server_metadata
from gateway.pipeline.service import ModelDescription
from tests.fakes.inference import FRAUD


def test_server():
    assert json.loads(server_metadata("gw", "1.2")) == {
        "name": "gw",
        "version": "1.2",
        "extensions": [
            "classification",
            "schedule_policy",
            "model_configuration",
            "binary_tensor_data",
            "parameters",
            "statistics",
        ],
    }


def test_model_with_and_without_a_batch_axis():
    told = json.loads(model_metadata(ModelDescription(FRAUD, (1, 3))))
    assert told == {
        "name": "fraud",
        "versions": ["1", "3"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 30]}],
        "outputs": [{"name": "score", "datatype": "FP32", "shape": [-1, 1]}],
    }
    alone = msgspec.structs.replace(FRAUD, max_batch_size=0)
    assert json.loads(model_metadata(ModelDescription(alone, (3,))))["inputs"][0]["shape"] == [30]
