import pytest

from gateway.core.errors import InvalidInput
from gateway.core.model import check_name, parse_version


@pytest.mark.parametrize("name", ["a", "resnet50.v2_x-y", "0", "A" * 128])
def test_plain_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "a\0", "a\n", "-a", "ä", "A" * 129, "a b", "%2e"]
)
def test_anything_else_is_no_name(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_name(name)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        *(("", 0), ("1", 1), ("9223372036854775807", 2**63 - 1), ("007", 7)),
        *(("canary", "canary"), ("v1.2_a-b", "v1.2_a-b"), ("x" * 64, "x" * 64)),
    ],
)
def test_versions_and_labels(text: str, version: int | str) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    "text", ["0", "-1", "1.0", "x y", "1a", "x" * 65, "9223372036854775808", "9" * 4000, "\u0661", " 1"]
)
def test_no_versions(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_version(text)
