"""From the names in the configuration to the hooks of one process."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

import pluggy
from pydantic import BaseModel, ValidationError

from gateway.core.clock import Clock
from gateway.hooks import specs
from gateway.hooks.calling import Hook
from gateway.hooks.contract import PROJECT, Contract, Process, contracts_of
from gateway.hooks.guarding import Guarded, OnFailure
from gateway.hooks.settings import PluginSettings
from gateway.hooks.values import Start
from gateway.hooks.watch import Watch

log = logging.getLogger("gateway.plugins")

GROUP = "gateway.plugins"
CONTRACTS: Mapping[str, Contract] = contracts_of(specs)


class PluginFault(Exception):
    """A plugin cannot be used as configured: one line for the operator."""


class Installed(NamedTuple):
    """A plugin as its entry point names it."""

    name: str
    point: EntryPoint

    @property
    def distribution(self) -> str:
        """Whose it is, with the version."""
        dist = self.point.dist
        return f"{dist.name} {dist.version}" if dist is not None else ""


class Loaded(NamedTuple):
    """A plugin in use: the object whose functions are called, and what it implements."""

    name: str
    plugin: object
    hooks: tuple[str, ...]


def installed(points: Iterable[EntryPoint] | None = None) -> dict[str, Installed]:
    """What the environment has by name; raises PluginFault where two packages claim one name."""
    found: dict[str, Installed] = {}
    for point in entry_points(group=GROUP) if points is None else points:
        other = found.get(point.name)
        if other is not None and other.point.value != point.value:
            raise PluginFault(
                f"plugin '{point.name}' is installed twice: {other.point.value} and {point.value}"
            )
        found[point.name] = Installed(point.name, point)
    return dict(sorted(found.items()))


def load(settings: PluginSettings, start: Start, available: Mapping[str, Installed]) -> list[Loaded]:
    """The plugins in use, in their order; raises PluginFault, but leaves out optional ones that fail."""
    loaded = []
    for name in settings.use:
        try:
            loaded.append(_load(name, settings.settings.get(name, {}), start, available))
        except PluginFault as fault:
            if name not in settings.optional:
                raise
            log.error("optional plugin left out: %s", fault)
    return loaded


def _load(name: str, settings: Mapping[str, Any], start: Start, available: Mapping[str, Installed]) -> Loaded:
    if name not in available:
        known = ", ".join(available) or "none"
        raise PluginFault(f"plugins.use: '{name}' is not installed (group {GROUP} has: {known})")
    try:
        found = available[name].point.load()
    except Exception as error:
        raise PluginFault(f"plugin '{name}' cannot be imported: {type(error).__name__}: {error}") from error
    made = _made(name, found, settings, start)
    _check(name, made)
    return Loaded(name, made, implemented_by(made))


def _made(name: str, found: Any, settings: Mapping[str, Any], start: Start) -> object:
    """The plugin of an entry point: a class is called with settings and `start`, all else is one already."""
    model = getattr(found, "Settings", None)
    if not isinstance(found, type):
        if settings:
            raise PluginFault(f"plugins.settings.{name}: this plugin takes no settings")
        return found
    if model is None and settings:
        raise PluginFault(f"plugins.settings.{name}: this plugin takes no settings")
    arguments = () if model is None else (_validated(name, model, settings),)
    try:
        return found(*arguments, start)
    except ValueError as error:  # what a plugin says of settings that fit no reality
        raise PluginFault(f"plugins.settings.{name}: {error}") from error
    except Exception as error:
        raise PluginFault(f"plugin '{name}' cannot be made: {type(error).__name__}: {error}") from error


def _validated(name: str, model: type[BaseModel], settings: Mapping[str, Any]) -> BaseModel:
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, ('plugins.settings', name, *one['loc'])))}: {one['msg']}"
            for one in error.errors(include_input=False)  # what was given may be a secret
        ]
        raise PluginFault("\n".join(faults)) from None


def _check(name: str, plugin: object) -> None:
    """Refuses implementations of hooks that do not exist, with arguments that do not, or as wrappers."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(specs)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginFault(f"plugin '{name}': {error}") from error
    for hook in CONTRACTS:
        for one in getattr(manager.hook, hook).get_hookimpls():
            if one.hookwrapper or one.wrapper:
                raise PluginFault(f"plugin '{name}': '{hook}' is a wrapper; use a hook of mode [around]")
    if not implemented_by(plugin):
        raise PluginFault(f"plugin '{name}' implements no hook")


def implemented_by(plugin: object) -> tuple[str, ...]:
    """The names of the hooks that a plugin implements, and has a use for as it is configured."""
    manager, unused = pluggy.PluginManager(PROJECT), getattr(plugin, "unused", ())
    return tuple([
        name
        for name in CONTRACTS
        if name not in unused and manager.parse_hookimpl_opts(plugin, name) is not None
    ])


class Hooks:
    """The hooks of one process: what is implemented, ready to be called; one attribute look-up a stage.

    Invariant: a hook that nobody implements is None, so that its stage can be left out.
    """

    def __init__(
        self,
        loaded: Sequence[Loaded],
        process: Process,
        watch: Watch,
        clock: Clock,
        on_failure: OnFailure = lambda plugin, hook, way: None,
    ) -> None:
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(specs)
        # pluggy calls last what was registered first; here the first named is asked first.
        for one in reversed(loaded):
            manager.register(one.plugin, one.name)
        used = {one.name: one.hooks for one in loaded}
        self._hooks: dict[str, Hook] = {}
        for name, contract in CONTRACTS.items():
            if contract.process not in {process, Process.EVERYWHERE}:
                continue
            members = [
                Guarded(one.plugin_name, contract, *_function(contract, one), watch, clock, on_failure)
                for one in reversed(getattr(manager.hook, name).get_hookimpls())
                if name in used[one.plugin_name]
            ]
            if members:
                self._hooks[name] = Hook(contract, members)

    def get(self, name: str) -> Hook | None:
        """The hook called `name`; None where nobody implements it."""
        return self._hooks.get(name)


NO_HOOKS = Hooks((), Process.FRONT, Watch(1.0), lambda: 0.0)


def registered(loaded: Iterable[Loaded], hook: str) -> list[tuple[str, Any]]:
    """What each plugin returns at a [register] hook; raises PluginFault."""
    contract, found = CONTRACTS[hook], []
    for one in loaded:
        if hook in one.hooks:
            function: Callable[[], Any] = getattr(one.plugin, hook)
            try:
                answer = function()
            except Exception as error:
                raise PluginFault(f"plugin '{one.name}' failed at '{hook}': {error}") from error
            if not isinstance(answer, contract.answers):
                raise PluginFault(f"plugin '{one.name}' returned a {type(answer).__name__} at '{hook}'")
            found.append((one.name, answer))
    return found


def _function(contract: Contract, one: pluggy.HookImpl) -> tuple[Callable[..., Any], tuple[int, ...] | None]:
    """What to call, and which of the hook's arguments it takes; None for all in their order."""
    direct: Callable[..., Any] | None = getattr(one.plugin, "direct", {}).get(contract.name)
    if direct is not None:
        return direct, None
    names = tuple(one.argnames)
    if names == contract.arguments:
        return one.function, None
    return one.function, tuple([contract.arguments.index(name) for name in names])


def told(plugin: object) -> str:
    """The first line that a plugin's own text says of it."""
    return (inspect.getdoc(plugin) or "").partition("\n")[0]
