from pathlib import Path

from gateway.cli.serve import announcement, sample_call
from gateway.config import validate

PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}


def test_the_sample_is_found_and_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    (folder / "digits").mkdir(parents=True)
    (folder / "digits" / "sample.json").write_text("{}")
    line = sample_call("http://h:1", [tmp_path, folder])
    assert line == f"curl http://h:1/v2/models/digits/infer --data @'{folder}/digits/sample.json'"


def test_without_a_sample_the_server_itself_is_called(tmp_path: Path) -> None:
    assert sample_call("http://h:1", [tmp_path]) == "curl http://h:1/v2"


def test_addresses_are_ones_a_client_can_use() -> None:
    for host, shown in (("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")):
        config = validate({"server": {"host": host, "insecure_dev": True}})
        text = "\n".join(announcement(config, PORTS))
        assert f"http://{shown}:8000" in text
        assert f"{shown}:8001" in text
        assert f"http://{shown}:8002/metrics" in text
