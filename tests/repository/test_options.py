from __future__ import annotations

import pytest

from gateway.generated import model_config_pb2 as pb
from gateway.repository.options import (
    check_optional,
    read_concurrency,
    read_isolation,
    read_labels,
    read_options,
    told,
)
from gateway.repository.refusal import ConfigRefused


def labelled(text: str) -> dict[str, pb.ModelParameter]:
    return {"gateway.labels": pb.ModelParameter(string_value=text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stable=1", {"stable": 1}),
        (" stable = 1 , canary=12 ", {"stable": 1, "canary": 12}),
        ("a=1,b=1", {"a": 1, "b": 1}),
        ("v1.2_x-y=9223372036854775807", {"v1.2_x-y": (1 << 63) - 1}),
    ],
)
def test_labels(text: str, expected: dict[str, int]) -> None:
    assert read_labels(labelled(text)) == expected
    assert read_labels({}) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is no label"),
        ("stable=1,", "'' is no label"),
        ("1=1", "'1' is no label"),
        ("1st=1", "'1st' is no label"),
        ("a b=1", "'a b' is no label"),
        ("a/b=1", "'a/b' is no label"),
        ("ä=1", "'ä' is no label"),
        ("a=1,a=2", "'a' stands in it twice"),
        ("a", "'a' needs a version: a=1"),
        ("a=x", "'a' needs a version: a=1"),
        ("a=-1", "'a' needs a version: a=1"),
        ("a=1=2", "'a' needs a version: a=1"),
        ("a=0", ": a: 0 is not in 1.."),
        (",".join(f"l{n}=1" for n in range(65)), ": number of labels: 65 is not in 1..64"),
    ],
)
def test_what_is_no_label_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(ConfigRefused) as caught:
        read_labels(labelled(text))
    assert caught.value.text.startswith("config.pbtxt: parameters['gateway.labels']")
    assert reason in caught.value.text


@pytest.mark.parametrize(("backend", "key"), [("tensorrt", "level"), ("pytorch", "gpu_mem_limit")])
def test_options_of_one_engine_are_none_of_another(backend: str, key: str) -> None:
    message = pb.ModelConfig(backend=backend)
    message.parameters[key].string_value = "1"
    with pytest.raises(ConfigRefused, match="is not supported"):
        read_options(message)


def test_our_own_keys_are_no_options_of_the_engine() -> None:
    message = pb.ModelConfig()
    for key, value in (("gateway.labels", "a=1"), ("gateway.isolation", "inline"), ("level", "1")):
        message.parameters[key].string_value = value
    assert read_options(message) == {"level": "1"}
    assert read_isolation(message.parameters) == "inline"


def test_an_input_may_be_left_out_where_the_engine_can_do_without() -> None:
    config = pb.ModelConfig(input=[pb.ModelInput(name="x"), pb.ModelInput(name="y", optional=True)])
    for backend in ("", "python", "onnxruntime"):
        config.backend = backend
        check_optional(config)
    config.backend = "pytorch"
    with pytest.raises(ConfigRefused, match=r"input\[1\].optional: is not supported for backend 'pytorch'"):
        check_optional(config)


def remote(**options: str) -> pb.ModelConfig:
    message = pb.ModelConfig(backend="remote")
    for key, value in options.items():
        message.parameters[key].string_value = value
    return message


def test_a_remote_model_has_the_options_of_its_upstream() -> None:
    options = {"url": "grpc://upstream:8001", "max_in_flight": "7"}
    assert read_options(remote(**options)) == options
    assert read_concurrency("remote", options) == 7
    assert read_concurrency("remote", {"url": "http://a"}) == 64
    assert read_concurrency("python", {"max_in_flight": "7"}) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "parameters['url']: must be given"),
        ({"url": "ftp://a"}, "parameters['url']: must be given, and begin with http://"),
        ({"url": "http://a", "uri": "x"}, "parameters['uri']: is not one of url, model_name"),
        ({"url": "http://a", "retries": "9"}, "parameters['retries']: '9' is not in 0..4"),
        ({"url": "http://a", "gateway.isolation": "inline"}, "inline is not supported for backend 'remote'"),
    ],
)
def test_what_an_upstream_cannot_be_is_refused_by_name(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigRefused) as caught:
        read_options(remote(**options))
    assert words in caught.value.text


def test_a_model_that_is_served_elsewhere_has_no_file() -> None:
    message = remote(url="http://a")
    message.default_model_filename = "model.onnx"
    with pytest.raises(ConfigRefused, match="default_model_filename"):
        read_options(message)


def test_callers_are_not_shown_where_an_upstream_is() -> None:
    message = remote(url="https://a", token_env="TOKEN", ca_file="ca.pem", retries="1")
    assert set(told(message).parameters) == {"retries"}
    assert set(message.parameters) == {"url", "token_env", "ca_file", "retries"}
    other = pb.ModelConfig(backend="python")
    other.parameters["url"].string_value = "of its own"
    assert told(other) is other
