from __future__ import annotations

from pathlib import Path

import pytest

from gateway.admin.doorkeeper import Doorkeeper, read_token
from gateway.core.errors import Forbidden, Unauthenticated

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer {TOKEN}"])
@pytest.mark.parametrize("is_open", [False, True])
def test_the_token_opens(authorization: str, is_open: bool) -> None:
    assert Doorkeeper(TOKEN, is_open=is_open).check(authorization) == "token"


@pytest.mark.parametrize(
    "authorization",
    ["", TOKEN, "Bearer ", f"Bearer {TOKEN}0", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer é"],
)
@pytest.mark.parametrize("is_open", [False, True])
def test_where_there_is_a_token_nothing_else_opens(authorization: str, is_open: bool) -> None:
    with pytest.raises(Unauthenticated) as refused:
        Doorkeeper(TOKEN, is_open=is_open).check(authorization)
    assert TOKEN not in refused.value.text


def test_without_a_token_it_is_open_only_where_that_was_asked_for() -> None:
    assert Doorkeeper("", is_open=True).check("") == "anybody"
    for authorization in ("", "Bearer ", "Bearer x"):
        with pytest.raises(Forbidden, match=r"admin\.token_file"):
            Doorkeeper("", is_open=False).check(authorization)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "localhost:8080", "[::1]:8080", "127.0.0.2"])
def test_without_a_token_this_machine_must_be_meant(host: str) -> None:
    assert Doorkeeper("", is_open=True).check("", host) == "anybody"


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "[::2]", "10.0.0.1"]
)
def test_a_page_under_another_name_changes_nothing(host: str) -> None:
    with pytest.raises(Forbidden, match="under a name of this machine"):
        Doorkeeper("", is_open=True).check("", host)
    assert Doorkeeper(TOKEN, is_open=True).check(f"Bearer {TOKEN}", host) == "token"


def test_the_token_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert read_token(tmp_path / "token") == TOKEN


@pytest.mark.parametrize(
    "content", [b"", b"short\n", b"0123456789 abcdef", b"0123456789\nabcdef", "é".encode() * 20]
)
def test_a_weak_token_is_refused_and_not_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ValueError, match="one token of at least") as refused:
        read_token(tmp_path / "token")
    assert "abcdef" not in str(refused.value)
