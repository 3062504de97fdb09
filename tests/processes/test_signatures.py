"""Signed models in whole gateways: required, only told of, and sent by an operator."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.bench.serverless import models
from tests.fakes.gateway_process import gateway
from tests.fakes.signing import new_key
from tests.fakes.waiting import until_blocking
from tests.processes.test_uploads import REQUEST, admin_port, asked, environment
from tests.repository.test_archives import packed


def test_only_what_was_signed_is_loaded_and_taken(tmp_path: Path) -> None:
    root, key = tmp_path / "models", new_key(tmp_path)
    models.many(root, 3)
    key.sign(root / "m0/1")
    key.sign(root / "m2/1")
    (root / "m2/1/extra").write_bytes(b"slipped in")
    own = {
        "GATEWAY_REPOSITORY__SIGNATURES__POLICY": "require",
        "GATEWAY_REPOSITORY__SIGNATURES__PUBLIC_KEY": str(key.public),
    }
    with gateway(root, "--insecure-dev", environment={**environment(root), **own}) as served:
        assert served.infer("m0", REQUEST)[0] == 200
        for model, text in (("m1", "there is no signature"), ("m2", "Extra files found")):
            status, answer, _ = served.infer(model, REQUEST)
            assert (status, "its signature is not accepted" in answer["error"]) == (503, True)
            assert text in answer["error"]
            assert str(tmp_path) not in answer["error"]
        port, bare = admin_port(served), (root / "m0/1/model.onnx").read_bytes()
        assert asked(port, "PUT", 2, packed("zip", {"model.onnx": bare}))[0] == 400
        assert not (root / "m0/2").exists()
        signed = (root / "m0/1/model.sig").read_bytes()
        sent = packed("zip", {"model.onnx": bare, "model.sig": signed})
        assert asked(port, "PUT", 2, sent)[0] == 201
        until_blocking(lambda: served.ask("/v2/models/m0/versions/2/ready")[0] == 200)
        shutil.copy(root / "m0/1/model.sig", root / "m1/1/model.sig")
        until_blocking(lambda: served.infer("m1", REQUEST)[0] in {200, 503})
        assert served.stop() == 0, served.log.read_text()


def test_a_warning_is_told_once_and_all_are_served(tmp_path: Path) -> None:
    root, key = tmp_path / "models", new_key(tmp_path)
    models.many(root, 1)
    own = {
        "GATEWAY_REPOSITORY__SIGNATURES__POLICY": "warn",
        "GATEWAY_REPOSITORY__SIGNATURES__PUBLIC_KEY": str(key.public),
    }
    with gateway(root, environment=own) as served:
        assert [served.infer("m0", REQUEST)[0] for _ in range(3)] == [200] * 3
        assert served.log.read_text().count("its signature is not accepted") == 1
        assert served.stop() == 0
