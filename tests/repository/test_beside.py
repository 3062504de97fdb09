from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.core.dtypes import DType
from gateway.core.sequence import SequenceBatching, SequenceState
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import Warmup, WarmupInput
from gateway.repository.beside import MAX_LABEL_BYTES, parse_labels, read_beside
from gateway.repository.catalogue import Beside, ModelEntry, PartialConfig
from gateway.repository.local import scan
from gateway.repository.refusal import ConfigRefused

LABELLED = PartialConfig(label_files={"y": "names.txt"})
WARM = PartialConfig(warmup=(Warmup("w", 1, 1, (WarmupInput("x", DType.FP32, (1,), "file", "x.raw"),)),))


def refusal(folder: Path, config: PartialConfig) -> str:
    with pytest.raises(ConfigRefused) as caught:
        read_beside(str(folder), str(folder), config)
    assert str(folder) not in caught.value.text
    return caught.value.text


def test_nothing_is_looked_for_where_nothing_is_named() -> None:
    assert read_beside("/nowhere", "/nowhere", PartialConfig()) == Beside()


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        (b"cat\ndog\n", ("cat", "dog")),
        (b"cat\r\n\r\ndog", ("cat", "", "dog")),
        ("n01440764 tench, Tinca\nhérisson\n\n".encode(), ("n01440764 tench, Tinca", "hérisson")),
        (b"", ("",)),
    ],
)
def test_a_label_a_line(tmp_path: Path, data: bytes, labels: tuple[str, ...]) -> None:
    (tmp_path / "names.txt").write_bytes(data)
    assert read_beside(str(tmp_path), str(tmp_path), LABELLED).class_labels == {"y": labels}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"cat\n\xff", "byte 4 is not UTF-8"),
        (b"cat\nd\0g", "line 2 has characters that cannot be printed"),
    ],
)
def test_what_is_no_label(data: bytes, reason: str) -> None:
    with pytest.raises(ConfigRefused, match=reason):
        parse_labels("label_filename 'l'", data)


def test_labels_that_cannot_be_had(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_text("a secret")
    model = tmp_path / "model"
    model.mkdir()
    names = model / "names.txt"
    assert refusal(model, LABELLED) == (
        "config.pbtxt: label_filename 'names.txt': there is no such file beside config.pbtxt"
    )
    names.symlink_to(outside)
    assert "is a link that leaves the repository" in refusal(model, LABELLED)
    names.unlink()
    os.mkfifo(names)
    assert "is not a regular file" in refusal(model, LABELLED)
    names.unlink()
    names.write_bytes(b"x" * (MAX_LABEL_BYTES + 1))
    assert f"the labels take more than {MAX_LABEL_BYTES} bytes" in refusal(model, LABELLED)


def test_warm_up_files_lie_in_their_folder_and_have_a_stamp(tmp_path: Path) -> None:
    assert "there is no such file in the model's folder 'warmup'" in refusal(tmp_path, WARM)
    (tmp_path / "warmup").mkdir()
    file = tmp_path / "warmup" / "x.raw"
    file.write_bytes(bytes(4))
    found = read_beside(str(tmp_path), str(tmp_path), WARM)
    assert found.warmup_paths == {"x.raw": str(file)}
    file.write_bytes(bytes(8))
    assert read_beside(str(tmp_path), str(tmp_path), WARM).fingerprint != found.fingerprint
    file.unlink()
    file.symlink_to("/etc/hostname")
    assert "is a link that leaves the repository" in refusal(tmp_path, WARM)
    file.unlink()
    file.mkdir()
    assert "is not a regular file" in refusal(tmp_path, WARM)


def test_initial_states_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    tensor = TensorSpec("s", DType.FP32, (1,))
    state = SequenceState(tensor, tensor, WarmupInput("s", DType.FP32, (1,), "file", "x.raw"))
    config = PartialConfig(sequence=SequenceBatching(states=(state,)))
    assert "there is no such file in the model's folder 'initial_state'" in refusal(tmp_path, config)
    (tmp_path / "initial_state").mkdir()
    file = tmp_path / "initial_state" / "x.raw"
    file.write_bytes(bytes(4))
    found = read_beside(str(tmp_path), str(tmp_path), config)
    assert (found.state_paths, found.warmup_paths) == ({"x.raw": str(file)}, {})
    file.write_bytes(bytes(8))
    assert read_beside(str(tmp_path), str(tmp_path), config).fingerprint != found.fingerprint


def entry(root: Path) -> ModelEntry:
    return scan(root).entries["m"]


def test_a_scan_finds_labels_and_sees_them_change(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"x")
    text = "output { name: 'y' data_type: TYPE_FP32 dims: 2 label_filename: 'names.txt' }"
    (tmp_path / "m" / "config.pbtxt").write_text(text)
    assert "there is no such file" in entry(tmp_path).broken
    (tmp_path / "m" / "names.txt").write_text("cat\ndog\n")
    first = scan(tmp_path, scan(tmp_path))
    assert first.entries["m"].beside.class_labels == {"y": ("cat", "dog")}
    assert scan(tmp_path, first) == first
    (tmp_path / "m" / "names.txt").write_text("cat\ncow\n")
    assert scan(tmp_path, first).entries["m"].beside.class_labels == {"y": ("cat", "cow")}
