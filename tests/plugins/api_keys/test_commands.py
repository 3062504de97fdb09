"""gateway keys, as an operator types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.testing import ManualClock
from gateway_plugins.api_keys.commands import keys_command
from gateway_plugins.api_keys.keys import parse_key
from gateway_plugins.api_keys.store import Store


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(1_700_000_000.0)
        self.app = keys_command(self.clock)
        self.environment = {
            "GATEWAY_KEYS_FILE": str(folder / "keys.db"),
            "GATEWAY_KEYS_PEPPER_FILE": str(folder / "pepper"),
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(self.app, arguments, env=self.environment)

    def create(self, *more: str) -> Result:
        return self("create", "--owner", "anna", "--grant", "infer:fraud*", *more)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_key_is_alone_on_standard_output_and_in_no_list(desk: Desk) -> None:
    made = desk.create("--tenant", "shop", "--expires", "90d")
    assert made.exit_code == 0
    key = parse_key(made.stdout.strip())
    assert key is not None
    assert "shown this once" in made.stderr
    assert key.secret not in made.stderr
    listed = desk("list")
    for word in (key.id, "anna", "shop", "infer:fraud*", "valid", "2024-02-12"):
        assert word in listed.stdout
    assert key.secret not in listed.stdout


def test_revoke_and_rotate(desk: Desk) -> None:
    first = parse_key(desk.create().stdout.strip())
    assert first is not None
    second = parse_key(desk("rotate", first.id, "--overlap", "1h").stdout.strip())
    assert second is not None
    assert desk("revoke", second.id).exit_code == 0
    states = {one.id: (one.expires, one.revoked) for one in Store(desk.folder / "keys.db").entries()}
    assert states == {first.id: (desk.clock() + 3600, None), second.id: (None, desk.clock())}
    assert "revoked" in desk("list").stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("revoke", "nobody"), "there is no key 'nobody'"),
        (("rotate", "nobody"), "there is no valid key 'nobody'"),
        (("create", "--owner", "a", "--grant", "fly:a"), "operations are"),
        (("create", "--owner", "a\n", "--grant", "infer:a"), "owner"),
        (("create", "--owner", "a", "--grant", "infer:a", "--expires", "soon"), "no span of time"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(
    desk: Desk, arguments: tuple[str, ...], text: str
) -> None:
    desk.create()
    done = desk(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert text in done.stderr
    assert len(Store(desk.folder / "keys.db").entries()) == 1


def test_without_a_store_there_is_nothing_to_list(desk: Desk) -> None:
    assert "there is no key store" in desk("list").stderr
