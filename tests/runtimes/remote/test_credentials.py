from __future__ import annotations

from pathlib import Path

import pytest

from gateway.runtimes.contract import LoadError
from gateway.runtimes.remote.credentials import Tls, read_tls, read_token
from gateway.runtimes.remote.target import parse

URL = {"url": "https://a"}


def test_a_token_comes_from_a_file_or_a_variable(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" s3cr3t\n")
    assert read_token(parse(URL), tmp_path, {}) == ""
    assert read_token(parse({**URL, "token_file": "token"}), tmp_path, {}) == "s3cr3t"
    assert read_token(parse({**URL, "token_file": f"{tmp_path}/token"}), Path("/"), {}) == "s3cr3t"
    assert read_token(parse({**URL, "token_env": "T"}), tmp_path, {"T": "other"}) == "other"


@pytest.mark.parametrize("content", [b"", b" \n", b"two words", b"\xff\xff", b"line\nline", b"x" * 20_000])
def test_what_is_no_token_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(LoadError, match=r"parameters\['token_file'\]") as caught:
        read_token(parse({**URL, "token_file": "token"}), tmp_path, {})
    assert "line" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="No such file"):
        read_token(parse({**URL, "token_file": "token"}), tmp_path, {})
    with pytest.raises(LoadError, match="token_env"):
        read_token(parse({**URL, "token_env": "T"}), tmp_path, {})
    with pytest.raises(LoadError, match="ca_file"):
        read_tls(parse({**URL, "ca_file": "ca.pem"}), tmp_path)


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
@pytest.mark.parametrize("content", [b"", b" \r\n"])
def test_an_empty_file_is_refused_and_trusts_nobody_else(tmp_path: Path, key: str, content: bytes) -> None:
    files = {"ca_file": "ca", "cert_file": "cert", "key_file": "key"}
    for name in files.values():
        (tmp_path / name).write_text("PEM")
    (tmp_path / files[key]).write_bytes(content)
    with pytest.raises(LoadError, match=rf"^parameters\['{key}'\]: the file is empty$"):
        read_tls(parse({**URL, **files}), tmp_path)


def test_certificates_are_read_where_there_is_tls(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(name.upper())
    assert read_tls(parse({"url": "http://a"}), tmp_path) is None
    assert read_tls(parse(URL), tmp_path) == Tls(None, None, None)
    options = {**URL, "ca_file": "ca", "cert_file": "cert", "key_file": "key"}
    assert read_tls(parse(options), tmp_path) == Tls(b"CA", b"CERT", b"KEY")
