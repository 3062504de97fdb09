"""Sessions on the disk: what survives, what expires, and what a kill leaves."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gateway.core.errors import Conflict, ModelNotFound
from gateway.repository.archives import Limits
from gateway.repository.resumable import Plan, PlannedFile, Resumable, WrongOffset
from gateway.repository.uploads import RESUMABLE, Uploads

LIMITS = Limits(8, 1 << 20)
PLAN = Plan("m", 1, (PlannedFile("model.onnx", 4, hashlib.sha256(b"good").hexdigest()),))


def resumable(root: Path, now: float = 0.0) -> Resumable:
    return Resumable(Uploads(root, LIMITS), LIMITS, 3600.0, 3, lambda: now)


def write(session: str, one: Resumable, data: bytes, offset: int = 0) -> int:
    descriptor, left = one.open(session, "model.onnx", offset)
    os.write(descriptor, data)
    os.close(descriptor)
    return left


def test_the_next_gateway_goes_on(tmp_path: Path) -> None:
    session = resumable(tmp_path).begin(PLAN).id
    assert write(session, resumable(tmp_path), b"go") == 4
    Uploads(tmp_path, LIMITS).remove_abandoned()
    assert resumable(tmp_path).look(session).offsets == (2,)
    with pytest.raises(WrongOffset) as caught:
        write(session, resumable(tmp_path), b"x")
    assert caught.value.offset == 2
    with pytest.raises(Conflict, match="not whole"):
        resumable(tmp_path).finish(session)
    assert write(session, resumable(tmp_path), b"od", 2) == 2
    assert resumable(tmp_path).finish(session)
    assert (tmp_path / "m/1/model.onnx").read_bytes() == b"good"


def test_one_that_was_killed_before_its_plan_was_written_is_none(tmp_path: Path) -> None:
    half = tmp_path / ".uploads" / (RESUMABLE + "0" * 32)
    half.mkdir(parents=True)
    with pytest.raises(ModelNotFound):
        resumable(tmp_path).look("0" * 32)
    resumable(tmp_path).expire()
    assert not half.exists()


def test_nobody_touches_it_for_long(tmp_path: Path) -> None:
    session = resumable(tmp_path).begin(PLAN).id
    touched = (tmp_path / ".uploads" / (RESUMABLE + session)).stat().st_mtime
    resumable(tmp_path, touched + 3599).expire()
    assert resumable(tmp_path).look(session).id == session
    resumable(tmp_path, touched + 3601).expire()
    with pytest.raises(ModelNotFound):
        resumable(tmp_path).look(session)
