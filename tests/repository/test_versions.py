from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import MAX_VERSION
from gateway.repository.versions import All, Latest, Specific, VersionPolicy, parse_folder, select


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("1", 1),
        ("10", 10),
        ("9223372036854775807", MAX_VERSION),
        ("9223372036854775808", None),
        ("99999999999999999999", None),
        ("0", None),
        ("01", None),
        ("-1", None),
        ("+1", None),
        ("1 ", None),
        ("1\n", None),
        ("1_0", None),
        ("1.0", None),
        ("", None),
        ("²", None),
        ("१", None),
        ("\uff11", None),
        ("v1", None),
        ("0x1", None),
    ],
)
def test_folder_names(name: str, version: int | None) -> None:
    assert parse_folder(name) == version


@given(st.integers(1, MAX_VERSION))
def test_every_version_has_exactly_one_folder_name(version: int) -> None:
    assert parse_folder(str(version)) == version
    assert parse_folder(f"0{version}") is None


@given(st.text(max_size=25) | st.from_regex(r"[0-9 +_.-]{1,25}", fullmatch=True))
def test_a_folder_name_is_the_version_in_decimal_or_nothing(name: str) -> None:
    version = parse_folder(name)
    assert version is None or (str(version) == name and 1 <= version <= MAX_VERSION)


@pytest.mark.parametrize(
    ("policy", "available", "served"),
    [
        (Latest(), [], ()),
        (Latest(), [3, 1, 10], (10,)),
        (Latest(2), [3, 1, 10], (3, 10)),
        (Latest(9), [3, 1, 10], (1, 3, 10)),
        (All(), [3, 1, 10], (1, 3, 10)),
        (Specific((1, 4)), [3, 1, 10], (1,)),
        (Specific((4,)), [3], ()),
    ],
)
def test_policies(policy: VersionPolicy, available: list[int], served: tuple[int, ...]) -> None:
    assert select(policy, available) == served


@given(
    st.sampled_from([Latest(), Latest(3), All(), Specific((1, 2, 5))]),
    st.lists(st.integers(1, 8)),
)
def test_served_versions_are_there_and_ascend(policy: VersionPolicy, available: list[int]) -> None:
    served = select(policy, available)
    assert set(served) <= set(available)
    assert list(served) == sorted(set(served))
    assert select(policy, reversed(available)) == served
