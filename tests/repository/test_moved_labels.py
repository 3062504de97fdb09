"""labels.json: what it may hold, and that labels moved there stand over those of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.repository.local import scan
from gateway.repository.moved_labels import parse_moved, write_moved
from gateway.repository.refusal import ConfigRefused


@given(
    st.dictionaries(st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,20}", fullmatch=True), st.integers(1, 2**63 - 1))
)
def test_what_is_written_is_read(labels: dict[str, int]) -> None:
    assert parse_moved(write_moved(labels)) == labels


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{", b'{"a": "1"}', b'{"a": 0}', b'{"a": -1}', b'{"1a": 1}', b'{"a": 1.5}'),
        *(b'{"\xff": 1}', write_moved({f"l{number}": 1 for number in range(65)})),
        b'{"a": 9223372036854775808}',
    ],
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(ConfigRefused, match=r"labels\.json"):
        parse_moved(data)


def test_they_stand_over_those_of_the_configuration_or_alone(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"x")
    (tmp_path / "m" / "labels.json").write_bytes(write_moved({"stable": 1}))
    assert scan(tmp_path).entries["m"].labels == {"stable": 1}
    told = 'parameters { key: "gateway.labels" value { string_value: "stable=7, old=1" } }'
    (tmp_path / "m" / "config.pbtxt").write_text(told)
    first = scan(tmp_path)
    assert first.entries["m"].labels == {"stable": 1, "old": 1}
    (tmp_path / "m" / "labels.json").unlink()
    assert scan(tmp_path, first).entries["m"].labels == {"stable": 7, "old": 1}
    (tmp_path / "m" / "labels.json").write_text("{")
    assert "labels.json" in scan(tmp_path, first).entries["m"].broken
