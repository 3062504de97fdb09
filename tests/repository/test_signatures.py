"""Which folders are vouched for: one of each way in which a signature can be wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.repository.settings import SignatureSettings
from gateway.repository.signatures import FILE, MAX_BYTES, checker
from tests.fakes.signing import Key, new_key


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return new_key(tmp_path)


@pytest.fixture
def version(tmp_path: Path, key: Key) -> Path:
    folder = tmp_path / "m" / "1"
    (folder / "data").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"weights")
    (folder / "data" / "vocabulary").write_bytes(b"words")
    key.sign(folder)
    return folder


def fault(version: Path, key: Key) -> str:
    return checker(SignatureSettings(policy="require", public_key=key.public))(version)


def test_what_was_signed_is_vouched_for_and_again(version: Path, key: Key) -> None:
    check = checker(SignatureSettings(policy="require", public_key=key.public))
    assert (check(version), check(version)) == ("", "")


def link(version: Path) -> None:
    os.rename(version / FILE, version.parent / FILE)
    (version / FILE).symlink_to(version.parent / FILE)


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (lambda version: (version / FILE).unlink(), "there is no signature: no file 'model.sig'"),
        (link, "there is no signature"),
        (lambda version: (version / FILE).write_bytes(b"{}"), ""),
        (lambda version: (version / FILE).write_bytes(b"\xff" * 100), ""),
        (lambda version: os.truncate(version / FILE, MAX_BYTES + 1), "is larger than"),
        (lambda version: (version / "model.onnx").write_bytes(b"Weights"), "Hash mismatch for 'model.onnx'"),
        (lambda version: (version / "data/vocabulary").unlink(), "Missing files"),
        (lambda version: (version / "more.py").write_bytes(b""), "Extra files found"),
    ],
)
def test_what_is_wrong_is_told_without_a_path(
    version: Path, key: Key, harm: Callable[[Path], object], text: str
) -> None:
    harm(version)
    told = fault(version, key)
    assert told
    assert text in told
    assert str(version.parent.parent) not in told


def test_another_key_vouches_for_nothing(version: Path, tmp_path: Path) -> None:
    assert fault(version, new_key(tmp_path, "other"))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "must name one of"),
        ({"identity": "a@example.org"}, "must name one of"),
        ({"public_key": "k", "identity": "a@example.org", "issuer": "https://i"}, "must name one of"),
        ({"public_key": "/nowhere/key"}, "there is no file '/nowhere/key'"),
    ],
)
def test_settings_that_name_nobody(fields: dict[str, str], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        SignatureSettings.model_validate({"policy": "require", **fields})
    SignatureSettings.model_validate(fields)


def test_an_engine_that_is_not_there_is_told_at_the_start(key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.repository.settings.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match="needs the extra 'signing'"):
        SignatureSettings(policy="warn", public_key=key.public)
