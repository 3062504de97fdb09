"""How a specification says in what way a hook is called; read by the caller, the tests and the reference."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import pluggy

PROJECT = "gateway"

# Marks a plugin's implementations.
hookimpl = pluggy.HookimplMarker(PROJECT)
_marker = pluggy.HookspecMarker(PROJECT)
_F = TypeVar("_F", bound=Callable[..., Any])


class Mode(enum.Enum):
    """In which way the implementations of a hook make one outcome."""

    FIRST = "first"  # asked in order until one answers
    CHAIN = "chain"  # each may replace the first argument
    GATE = "gate"  # each is asked and may refuse; the functions they return are called at the end
    AROUND = "around"  # the async context managers that they return are entered, the first outermost
    NOTIFY = "notify"  # told; results mean nothing
    COLLECT = "collect"  # asked now and then, and what all return is taken together
    REGISTER = "register"  # asked once at start, and what all return is collected


class Fails(enum.Enum):
    """What becomes of a request when a plugin fails in it."""

    CLOSED = "closed"  # it is refused with PluginFailed
    OPEN = "open"  # it goes on as if the plugin had not been there


class Process(enum.Enum):
    """Where a hook is called."""

    FRONT = "front"
    CONTROLLER = "controller"
    EVERYWHERE = "everywhere"
    CLI = "cli"


class Contract(NamedTuple):
    """`answers` are the types of what an implementation may return beside None."""

    name: str
    mode: Mode
    fails: Fails
    process: Process
    timeout_s: float
    answers: tuple[type, ...]
    arguments: tuple[str, ...]
    text: str


def hook(
    mode: Mode,
    *,
    fails: Fails = Fails.CLOSED,
    process: Process = Process.FRONT,
    timeout_s: float = 0.5,
    answers: tuple[type, ...] = (),
) -> Callable[[_F], _F]:
    """Marks a function as the specification of a hook; its docstring must begin with the mode."""

    def mark(function: _F) -> _F:
        text = inspect.getdoc(function) or ""
        if not text.startswith(f"[{mode.value}] "):
            raise TypeError(f"the docstring of {function.__name__} must begin with [{mode.value}]")
        arguments = tuple(inspect.signature(function).parameters)
        contract = Contract(function.__name__, mode, fails, process, timeout_s, answers, arguments, text)
        function.__dict__["contract"] = contract
        return _marker(function)

    return mark


def contracts_of(specs: object) -> dict[str, Contract]:
    """The contracts of all hooks in a module of specifications, in its order."""
    found = [getattr(one, "contract", None) for one in vars(specs).values()]
    return {one.name: one for one in found if isinstance(one, Contract)}
