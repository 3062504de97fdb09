"""A browser against the gateway: HTTP/1.1 in the clear, HTTP/2 by ALPN."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fakes.gateway_process import gateway

MODELS = Path("model_repo")
CERTIFICATES = Path("tests/wire/certificates")
TLS = {
    "GATEWAY_TLS__CERTIFICATE": str(CERTIFICATES / "server.pem"),
    "GATEWAY_TLS__KEY": str(CERTIFICATES / "server.key"),
}
# Nothing but the page asked for, and no sandbox, which root cannot have.
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--ignore-certificate-errors",
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("environment", "is_http2"), [({}, False), (TLS, True)], ids=["clear", "tls"])
def test_a_page_is_shown(tmp_path: Path, environment: Mapping[str, str], is_http2: bool) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    log = tmp_path / "net.json"
    with gateway(MODELS, "--insecure-dev", environment=environment) as served:
        done = subprocess.run(
            [
                browser,
                *QUIET,
                f"--user-data-dir={tmp_path / 'profile'}",
                f"--log-net-log={log}",
                "--dump-dom",
                served.http + "/v2/models/simple",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert '"name":"simple"' in done.stdout, done.stdout
        assert served.stop() == 0, served.log.read_text()
    assert is_http2 == has_http2(log)


def has_http2(log: Path) -> bool:
    """True if the browser's own log tells of an HTTP/2 session that was used."""
    told = json.loads(log.read_text())
    kinds = told["constants"]["logEventTypes"]
    seen = {event["type"] for event in told["events"]}
    return kinds["HTTP2_SESSION_RECV_HEADERS"] in seen
