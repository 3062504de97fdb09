"""The command as a person runs it: a real process, its words and its exit status."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__

ROOT = Path(__file__).parents[2]


def gateway(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={"PATH": "", "COLUMNS": "160", **environment},
    )


def test_version_and_help() -> None:
    assert gateway("--version").stdout == f"gateway {__version__}\n"
    shown = gateway("--help").stdout
    for command in ("serve", "check", "models", "plugins", "bench"):
        assert command in shown


def test_models_lists_the_committed_ones() -> None:
    shown = gateway("models", "-r", "model_repo").stdout
    for name in ("digits", "fraud", "identity", "simple"):
        assert name in shown


def test_check_passes_the_committed_ones_and_names_a_fault(tmp_path: Path) -> None:
    assert gateway("check", "-r", "model_repo").returncode == 0
    (tmp_path / "bad" / "1").mkdir(parents=True)
    (tmp_path / "bad" / "1" / "model.onnx").write_bytes(b"x")
    (tmp_path / "bad" / "config.pbtxt").write_text("max_batch_size: many")
    done = gateway("check", "-r", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.startswith("bad: ")
    assert "0 of 1 models can be served" in done.stdout


@pytest.mark.parametrize("command", ["check", "serve", "models"])
def test_a_bad_configuration_is_status_2_and_one_line_a_fault(command: str) -> None:
    done = gateway(command, GATEWAY_WIRE__MAX_HEADERS="0", GATEWAY_SERVER__HTTP_PORT="-1")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("error: ") for line in lines)


def test_a_repository_that_is_not_there() -> None:
    done = gateway("check", "-r", "/nowhere/at/all")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_plugins_lists_the_built_in_ones() -> None:
    assert "header_transform" in gateway("plugins", COLUMNS="200").stdout


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"GATEWAY_PLUGINS__USE": '["nobody"]'}, "plugins.use: 'nobody' is not installed"),
        (
            {
                "GATEWAY_PLUGINS__USE": '["header_transform"]',
                "GATEWAY_PLUGINS__SETTINGS": '{"header_transform": {"parameters": {"cookie": "c"}}}',
            },
            "plugins.settings.header_transform: parameters: 'cookie' may hold a credential",
        ),
        ({"GATEWAY_SERVER__HOST": "0.0.0.0"}, "plugins.use names none"),
        (
            {"GATEWAY_SERVER__HOST": "0.0.0.0", "GATEWAY_PLUGINS__USE": '["header_transform"]'},
            "credentials need [tls], or --behind-proxy",
        ),
        (
            {
                "GATEWAY_SERVER__HOST": "0.0.0.0",
                "GATEWAY_SERVER__BEHIND_PROXY": "true",
                "GATEWAY_PLUGINS__USE": '["header_transform"]',
            },
            "none of plugins.use (header_transform) does that",
        ),
    ],
)
def test_serve_refuses_plugins_it_cannot_use_and_doors_that_nobody_keeps(
    environment: dict[str, str], text: str
) -> None:
    done = gateway("serve", "-r", "model_repo", **environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert text in done.stderr
    assert "Traceback" not in done.stderr
