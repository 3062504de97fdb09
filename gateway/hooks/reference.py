"""The reference of the hooks, made of their specifications."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from gateway.hooks import specs
from gateway.hooks.contract import Contract, Mode


def reference(contracts: Iterable[Contract]) -> str:
    """The text about each hook: signature, mode, process, time, failure, and what is promised."""
    return "\n\n".join([_about(one) for one in contracts])


def _about(contract: Contract) -> str:
    function = getattr(specs, contract.name)
    signature = str(inspect.signature(function)).replace("'", "")
    text = contract.text.removeprefix(f"[{contract.mode.value}] ")
    lines = [f"{contract.name}{signature}", f"    {_facts(contract)}"]
    lines += [f"    {line}".rstrip() for line in text.splitlines()]
    return "\n".join(lines)


def _facts(contract: Contract) -> str:
    if contract.mode is Mode.REGISTER:
        return f"[register] once, at start ({contract.process.value})"
    facts = [f"in: {contract.process.value}", f"time: {contract.timeout_s:g} s"]
    if contract.mode is not Mode.NOTIFY:
        facts.append(f"fails {contract.fails.value}")
    return f"[{contract.mode.value}] {', '.join(facts)}"
