"""The configuration: every package's settings in one frozen value, from file, environment and flags.

Later sources win: defaults, the TOML file, `GATEWAY_<SECTION>__<KEY>` variables (a subsection is one
more step: `GATEWAY_FRONTENDS__GRPC__ENGINE`), flags. The field
descriptions are the reference; `gateway serve --help` and errors quote them.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.admin.settings import AdminSettings
from gateway.control.settings import ServerSettings
from gateway.devices.settings import DeviceSettings
from gateway.frontends.settings import FrontendSettings
from gateway.hooks.settings import PluginSettings
from gateway.lifecycle.settings import MemorySettings, PrefetchSettings, ScalingSettings
from gateway.repository.settings import RepositorySettings
from gateway.scheduling.settings import SchedulingSettings
from gateway.telemetry.settings import TelemetrySettings
from gateway.wire.settings import WireSettings
from gateway.wire.tls import TlsSettings
from gateway.workers.settings import WorkerSettings

_PREFIX = "GATEWAY_"
_KINDS: Mapping[Any, str] = {int: "an integer", float: "a number", str: "a text"}


class GatewayConfig(BaseModel):
    """Everything an operator can set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server: ServerSettings = ServerSettings()
    admin: AdminSettings = AdminSettings()
    tls: TlsSettings | None = None
    repository: RepositorySettings = RepositorySettings()
    devices: DeviceSettings = DeviceSettings()
    workers: WorkerSettings = WorkerSettings()
    memory: MemorySettings = MemorySettings()
    scaling: ScalingSettings = ScalingSettings()
    prefetch: PrefetchSettings = PrefetchSettings()
    frontends: FrontendSettings = FrontendSettings()
    scheduling: SchedulingSettings = SchedulingSettings()
    wire: WireSettings = WireSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    plugins: PluginSettings = PluginSettings()

    @model_validator(mode="after")
    def _doors_are_closed(self) -> GatewayConfig:
        """Beyond loopback: only who is known, and not in the clear; which plugins know is found at start."""
        server = self.server
        if server.is_open:
            return self
        if not self.plugins.use:
            raise ValueError(
                f"server.host = {server.host}: beyond loopback an authentication plugin is needed and "
                "plugins.use names none; --insecure-dev serves everybody without one"
            )
        if self.tls is None and not server.behind_proxy:
            raise ValueError(
                f"server.host = {server.host}: beyond loopback credentials need [tls], or --behind-proxy "
                "where a proxy in front speaks it"
            )
        return self

    @model_validator(mode="after")
    def _uploads_are_served(self) -> GatewayConfig:
        uploads = self.admin.uploads
        if uploads is not None and uploads not in self.repository.paths:
            raise ValueError(f"admin.uploads = {uploads}: must be one of repository.paths")
        return self


class ConfigError(Exception):
    """The configuration cannot be used; one line per fault: key, value, what is permitted."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


Tree = dict[str, Any]


def load(
    file: Path | None, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> GatewayConfig:
    """Builds the configuration; `flags` maps "section.key" to a value, None meaning not given.

    Raises ConfigError with every fault at once.
    """
    tree = _from_file(file) if file is not None else {}
    for path, value in _from_environment(os.environ if environment is None else environment):
        _put(tree, path, value)
    for key, value in (flags or {}).items():
        if value is not None:
            section, _, name = key.partition(".")
            tree.setdefault(section, {})[name] = value
    return validate(tree)


def validate(tree: Mapping[str, Any]) -> GatewayConfig:
    """The configuration of a tree of sections; raises ConfigError."""
    try:
        return GatewayConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError([_fault(detail) for detail in error.errors()]) from None


def _from_file(file: Path) -> Tree:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{file}: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: {error}"]) from None


def _from_environment(environment: Mapping[str, str]) -> list[tuple[list[str], Any]]:
    """GATEWAY_WIRE__MAX_BODY_BYTES=1000 is wire.max_body_bytes; values are JSON, or plain text.

    What is set more exactly comes later, and so wins.
    """
    found = []
    for name, text in environment.items():
        path = name.removeprefix(_PREFIX).lower().split("__")
        if name.startswith(_PREFIX) and len(path) > 1:
            found.append((path, _value(text)))
    return sorted(found, key=lambda one: len(one[0]))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _put(tree: Tree, path: list[str], value: Any) -> None:
    """Sets what `path` leads to; leaves a section that is none as it is, for validation to find."""
    section = tree
    for step in path[:-1]:
        section = section.setdefault(step, {})
        if not isinstance(section, dict):
            return
    section[path[-1]] = value


def _fault(detail: ErrorDetails) -> str:
    path = [str(part) for part in detail["loc"]]
    key = ".".join(path)
    if detail["type"] == "extra_forbidden":
        return f"{key} = {detail['input']!r}: unknown key; {_known_keys(path[:-1])}"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    field = _field(path)
    told = f" ({field.description})" if field is not None and field.description else ""
    return f"{key} = {detail['input']!r}: {_permitted(field) or detail['msg']}{told}"


def _known_keys(path: list[str]) -> str:
    model: Any = GatewayConfig
    for part in path:
        model = _model_of(model.model_fields[part])
    return f"[{'.'.join(path) or 'top level'}] knows {', '.join(model.model_fields)}"


def _field(path: list[str]) -> FieldInfo | None:
    model: Any = GatewayConfig
    field: FieldInfo | None = None
    for part in path:
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return field
        field = fields[part]
        model = _model_of(field)
    return field


def _model_of(field: FieldInfo) -> Any:
    annotation: Any = field.annotation
    for option in getattr(annotation, "__args__", ()):
        if hasattr(option, "model_fields"):
            return option
    return annotation


def _permitted(field: FieldInfo | None) -> str:
    """The permitted type and range, as far as the field's own constraints tell."""
    if field is None:
        return ""
    bounds = []
    for constraint in field.metadata:
        for name, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
            if hasattr(constraint, name):
                bounds.append(f"{words} {getattr(constraint, name)}")
    kind = _KINDS.get(field.annotation, "")
    return f"must be {kind} {' and '.join(bounds)}".rstrip() if bounds else ""
