from __future__ import annotations

import json

import msgspec
import pytest

from gateway.core.dtypes import DType
from gateway.core.tensor_spec import TensorSpec
from gateway.frontends.v2_rest.openapi import openapi
from gateway.pipeline.service import ModelDescription
from tests.fakes.inference import FRAUD


def document(spec=FRAUD, version=0):
    return json.loads(openapi("1.0", version, ModelDescription(spec, (1, 3))))


def references(value):
    match value:
        case {"$ref": found}:
            return {found}
        case dict():
            return set().union(*map(references, value.values()))
        case list():
            return set().union(*map(references, value))
    return set()


@pytest.mark.parametrize("max_batch_size", [0, 8])
def test_the_shape_of_an_input_is_the_signatures(max_batch_size):
    found = document(msgspec.structs.replace(FRAUD, max_batch_size=max_batch_size))
    request = found["components"]["schemas"]["Request"]["properties"]["inputs"]
    (features,) = request["items"]["oneOf"]
    assert (request["minItems"], request["maxItems"]) == (1, 1)
    assert features["properties"]["name"] == {"const": "features"}
    assert features["properties"]["datatype"] == {"const": "FP32"}
    dims = features["properties"]["shape"]["prefixItems"]
    assert dims == [{"type": "integer", "minimum": 0}, {"const": 30}][max_batch_size == 0 :]


@pytest.mark.parametrize("dtype", DType)
def test_every_reference_has_a_target_for_every_datatype(dtype):
    found = document(msgspec.structs.replace(FRAUD, inputs=(TensorSpec("x", dtype, (-1,)),)))
    schemas = found["components"]["schemas"]
    assert references(found) <= {f"#/components/schemas/{name}" for name in schemas}
    element, deeper = schemas[f"{dtype.name}Elements"]["items"]["anyOf"]
    assert element["type"] in {"integer", "number", "string", "boolean"}
    assert deeper == {"$ref": f"#/components/schemas/{dtype.name}Elements"}


def test_integers_have_their_range():
    found = document(msgspec.structs.replace(FRAUD, inputs=(TensorSpec("x", DType.UINT64, ()),)))
    element = found["components"]["schemas"]["UINT64Elements"]["items"]["anyOf"][0]
    assert element == {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}


def test_paths():
    for version, prefix in ((0, "/v2/models/fraud"), (3, "/v2/models/fraud/versions/3")):
        paths = document(version=version)["paths"]
        below = [path.removeprefix(prefix) for path in paths]
        assert below == ["", "/ready", "/config", "/stats", "/infer", "/generate"]
        assert paths[f"{prefix}/infer"]["post"]["requestBody"]["required"] is True
        for operations in paths.values():
            for operation in operations.values():
                assert set(operation["responses"]) == {"200", "default"}


def test_an_optional_input_is_not_required():
    optional = TensorSpec("y", DType.FP32, (1,), is_optional=True)
    schemas = document(msgspec.structs.replace(FRAUD, inputs=(*FRAUD.inputs, optional)))["components"][
        "schemas"
    ]
    request = schemas["Request"]["properties"]["inputs"]
    assert (request["minItems"], request["maxItems"]) == (1, 2)
    assert schemas["Generate"]["required"] == ["features"]
    assert "y" in schemas["Generate"]["properties"]
