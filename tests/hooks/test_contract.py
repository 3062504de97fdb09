"""Every hook says in one place how it is called, and somebody uses it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from gateway.hooks import specs
from gateway.hooks.contract import Contract, Mode, contracts_of, hook

CONTRACTS = contracts_of(specs)
PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda one: one.name)
def test_each_hook_is_documented_and_typed(contract: Contract) -> None:
    function = getattr(specs, contract.name)
    assert contract.text.startswith(f"[{contract.mode.value}] ")
    assert len(contract.text.splitlines()) <= 5
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(one.annotation is not inspect.Parameter.empty for one in signature.parameters.values())
    assert contract.timeout_s > 0
    # A gate may be one that only refuses.
    assert bool(contract.answers) is (contract.mode is not Mode.NOTIFY) or contract.mode is Mode.GATE


def test_a_hook_without_its_mode_is_refused() -> None:
    def undocumented() -> None:
        """What it is called for."""

    with pytest.raises(TypeError, match="undocumented must begin with \\[first\\]"):
        hook(Mode.FIRST)(undocumented)


def test_every_function_of_the_specifications_is_a_hook() -> None:
    functions = [
        name
        for name, one in vars(specs).items()
        if inspect.isfunction(one) and one.__module__ == specs.__name__
    ]
    assert functions == list(CONTRACTS)
