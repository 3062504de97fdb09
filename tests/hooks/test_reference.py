"""The reference has every hook, as it is specified."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.hooks.contract import Contract
from gateway.hooks.manager import CONTRACTS
from gateway.hooks.reference import reference

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda one: one.name)
def test_each_hook_is_told_of_with_its_mode_and_words(contract: Contract) -> None:
    text = reference([contract])
    assert text.startswith(f"{contract.name}(")
    assert f"    [{contract.mode.value}] " in text
    for line in contract.text.splitlines()[1:]:
        assert line.strip() in text


def test_all_of_them_in_their_order() -> None:
    text = reference(CONTRACTS.values())
    places = [text.index(f"\n\n{name}(") if index else 0 for index, name in enumerate(CONTRACTS)]
    assert places == sorted(places)


@pytest.mark.parametrize("name", CONTRACTS)
def test_each_hook_has_a_plugin_that_uses_it(name: str) -> None:
    """A built-in one, or a worked example: a hook that nobody needs is not in the contract."""
    sources = [*(ROOT / "plugins").rglob("*.py"), *(ROOT / "tests" / "examples").rglob("*.py")]
    assert any(f"def {name}(" in source.read_text() for source in sources)
