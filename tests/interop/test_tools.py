"""What people have at hand: curl and h2load, over HTTP/1.1, HTTP/2 with prior knowledge, and ALPN."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.fakes.gateway_process import Gateway, gateway

MODELS = Path("model_repo")
CERTIFICATES = Path("tests/wire/certificates")
REQUESTS = 5000
FEATURES = {"inputs": [{"name": "features", "shape": [1, 30], "datatype": "FP32", "data": [0.5] * 30}]}


def tool(name: str, package: str) -> str:
    """The program's path; skips, saying what to install, where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found


@pytest.fixture(scope="module")
def curl() -> str:
    return tool("curl", "curl")


@pytest.fixture(scope="module")
def h2load() -> str:
    return tool("h2load", "nghttp2-client")


@pytest.fixture(scope="module")
def plain() -> Generator[Gateway]:
    with gateway(MODELS, "--insecure-dev", "--fronts", "2") as running:
        yield running
        assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="module")
def secure() -> Generator[Gateway]:
    """The same behind TLS."""
    files = {
        name: str(CERTIFICATES / f"server.{end}") for name, end in (("CERTIFICATE", "pem"), ("KEY", "key"))
    }
    environment = {f"GATEWAY_TLS__{name}": path for name, path in files.items()}
    with gateway(MODELS, "--insecure-dev", environment=environment) as running:
        yield running
        assert running.stop() == 0, running.log.read_text()


def run(*command: str) -> str:
    """What the command printed; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_line_that_serve_prints_works_when_pasted(curl: str, plain: Gateway) -> None:
    answer = json.loads(run("sh", "-c", plain.curl.replace("curl", f"{curl} -sS")))
    (scores,) = answer["outputs"]
    assert scores["shape"] == [1, 10]
    assert scores["data"].index(max(scores["data"])) == 7


@pytest.mark.parametrize(
    ("flags", "version"), [(["--http1.1"], "1.1"), (["--http2-prior-knowledge"], "2"), (["--http1.0"], "1.0")]
)
def test_curl_in_the_clear(curl: str, plain: Gateway, flags: list[str], version: str) -> None:
    show = ["-sS", "-w", "\n%{http_version} %{response_code}"]
    url = plain.http + "/v2/models/fraud/infer"
    body, line = run(curl, *flags, *show, url, "--data", json.dumps(FEATURES)).rsplit("\n", 1)
    # An HTTP/1.0 request is answered by HTTP/1.1, as RFC 9110 section 6.2 wants of a 1.1 server.
    assert line == f"{'2' if version == '2' else '1.1'} 200"
    assert json.loads(body)["outputs"][0]["shape"] == [1, 1]


@pytest.mark.parametrize(("flag", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl_over_tls(curl: str, secure: Gateway, flag: str, version: str) -> None:
    show = ["-sS", "-o", "/dev/null", "-w", "%{http_version} %{response_code}"]
    trust = ["--cacert", str(CERTIFICATES / "server.pem")]
    url = secure.http + "/v2/models/fraud/infer"
    assert run(curl, flag, *show, *trust, url, "--data", json.dumps(FEATURES)) == f"{version} 200"


def test_curl_uploads_and_downloads_megabytes(curl: str, plain: Gateway, tmp_path: Path) -> None:
    """16 MiB each way in Expect: 100-continue's way, over both protocols."""
    count = (16 << 20) // 4
    head = json.dumps({
        "inputs": [
            {
                "name": "INPUT0",
                "shape": [1, count],
                "datatype": "FP32",
                "parameters": {"binary_data_size": 4 * count},
            }
        ],
        "parameters": {"binary_data_output": True},
    }).encode()
    body, answer = tmp_path / "body", tmp_path / "answer"
    tensor = bytes(range(256)) * (4 * count // 256)
    body.write_bytes(head + tensor)
    headers = ["-H", f"Inference-Header-Content-Length: {len(head)}", "-H", "Expect: 100-continue"]
    url = plain.http + "/v2/models/identity/infer"
    for flag in ("--http1.1", "--http2-prior-knowledge"):
        run(curl, flag, "-sS", "--fail", *headers, url, "--data-binary", f"@{body}", "-o", str(answer))
        assert answer.read_bytes().endswith(tensor)


@pytest.mark.parametrize("streams", [1, 50])
def test_h2load_has_no_failed_request(h2load: str, plain: Gateway, tmp_path: Path, streams: int) -> None:
    body = tmp_path / "body"
    body.write_text(json.dumps(FEATURES))
    told = run(
        *(h2load, f"-n{REQUESTS}", "-c8", f"-m{streams}", f"-d{body}"),
        *("-H", "content-type: application/json", plain.http + "/v2/models/fraud/infer"),
    )
    assert f"{REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout" in told
    assert f"status codes: {REQUESTS} 2xx" in told


def test_h2load_over_alpn(h2load: str, secure: Gateway) -> None:
    told = run(h2load, f"-n{REQUESTS}", "-c8", "-m10", secure.http + "/v2/models/fraud/ready")
    assert "Application protocol: h2" in told
    assert re.search(rf"status codes: {REQUESTS} 2xx", told)
