from pathlib import Path

import pytest

from gateway.config import ConfigError, load, validate


def faults(tree: dict[str, object]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        validate(tree)
    return error.value.faults


def test_defaults_are_a_configuration() -> None:
    config = load(None, {})
    assert (config.server.http_port, config.server.grpc_port, config.server.metrics_port) == (
        8000,
        8001,
        8002,
    )
    assert config.server.host == "127.0.0.1"


def test_flags_win_over_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("[wire]\nmax_body_bytes = 1\nmax_headers = 10\nmax_chunks = 20\n")
    config = load(
        file,
        {"GATEWAY_WIRE__MAX_HEADERS": "11", "GATEWAY_WIRE__MAX_CHUNKS": "21", "HOME": "/", "GATEWAY_X": "1"},
        {"wire.max_chunks": 22, "wire.idle_timeout_s": None},
    )
    assert (config.wire.max_body_bytes, config.wire.max_headers, config.wire.max_chunks) == (1, 11, 22)


def test_text_and_json_values_of_the_environment() -> None:
    config = load(None, {"GATEWAY_FRONTENDS__SERVER_NAME": "edge-7", "GATEWAY_SERVER__INSECURE_DEV": "true"})
    assert config.frontends.server_name == "edge-7"
    assert config.server.insecure_dev is True


def test_subsections_of_the_environment_leave_their_neighbours_alone(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("[frontends.grpc]\nmax_inflation = 7\n[frontends.rest]\nmax_inflation = 8\n")
    config = load(
        file,
        {
            "GATEWAY_FRONTENDS__GRPC__ENGINE": "grpcio",
            "GATEWAY_FRONTENDS__REST__MAX_INFLATION": "9",
            "GATEWAY_FRONTENDS__REST": '{"max_inflation": 6, "compress_min_bytes": 5}',
        },
    ).frontends
    assert (config.grpc.engine, config.grpc.max_inflation) == ("grpcio", 7)
    assert (config.rest.max_inflation, config.rest.compress_min_bytes) == (9, 5)


def test_a_section_that_is_none_is_a_fault_whatever_the_environment_adds(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("wire = 3\n")
    with pytest.raises(ConfigError, match="wire = 3"):
        load(file, {"GATEWAY_WIRE__MAX_HEADERS": "11"})


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (
            {"wire": {"max_body_bytes": -4}},
            ["wire.max_body_bytes = -4", "an integer at least 1 and at most", "Largest request body"],
        ),
        ({"wire": {"max_bdy": 3}}, ["wire.max_bdy = 3: unknown key", "max_body_bytes"]),
        ({"wires": {}}, ["wires = {}: unknown key", "wire"]),
        ({"wire": {"max_body_bytes": "many"}}, ["wire.max_body_bytes = 'many'", "an integer"]),
        ({"server": {"fronts": 0}}, ["server.fronts = 0", "1 to 64, or auto"]),
        ({"server": {"host": "0.0.0.0"}}, ["server.host = 0.0.0.0", "--insecure-dev"]),
        ({"server": {"http_port": 8001}}, ["must differ"]),
        ({"server": {"http_port": 70_000}}, ["server.http_port = 70000", "at most 65535"]),
        ({"repository": {"paths": []}}, ["repository.paths"]),
        (
            {"frontends": {"grpc": {"engine": "envoy"}}},
            ["frontends.grpc.engine = 'envoy'", "'native' or 'grpcio'"],
        ),
        ({"scheduling": {"batches_in_flight": 0}}, ["at least 1 and at most 16"]),
        ({"telemetry": {"trace_file": "/no/folder"}}, ["telemetry.trace_file = /no/folder", "no folder /no"]),
    ],
)
def test_a_fault_names_key_value_and_what_is_permitted(tree: dict[str, object], words: list[str]) -> None:
    (fault,) = faults(tree)
    for word in words:
        assert word in fault


def test_all_faults_are_told_at_once() -> None:
    assert len(faults({"wire": {"max_headers": 1, "nope": 2}, "server": {"fronts": 99}})) == 3


def test_every_address_needs_a_word_beyond_loopback() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        validate({"server": {"host": host}})
    validate({"server": {"host": "0.0.0.0", "insecure_dev": True}})


@pytest.mark.parametrize("content", ["[wire\n", "\xff"])
def test_a_file_that_is_no_toml(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        load(file, {})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load(tmp_path / "none.toml", {})


def test_it_travels_as_json() -> None:
    config = load(None, {}, {"repository.paths": ["/models"]})
    assert type(config).model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({}, "127.0.0.1"),
        ({"host": "0.0.0.0", "insecure_dev": True}, "0.0.0.0"),
        ({"host": "0.0.0.0", "behind_proxy": True}, "127.0.0.1"),
        ({"host": "0.0.0.0", "behind_proxy": True, "metrics_host": "10.0.0.1"}, "10.0.0.1"),
    ],
)
def test_metrics_are_not_for_strangers_unless_that_is_wanted(
    server: dict[str, object], expected: str
) -> None:
    config = validate({"server": server, "plugins": {"use": ["a"]}})
    assert config.server.metrics_address == expected
