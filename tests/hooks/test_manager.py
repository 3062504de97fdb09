"""From names to plugins: what is refused at start, and in which order they are asked."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.core.caller import Credentials, Principal
from gateway.hooks import Start, hookimpl
from gateway.hooks.contract import Process
from gateway.hooks.manager import GROUP, Hooks, Installed, PluginFault, implemented_by, installed, load, told
from gateway.hooks.settings import PluginSettings
from gateway.hooks.watch import Watch
from gateway.testing import start
from tests.fakes.plugins import still


class NameSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str


class Named:
    """Knows everybody by one name.

    And more that nobody reads in a list.
    """

    Settings = NameSettings

    def __init__(self, settings: NameSettings, start: Start) -> None:
        if not settings.name:
            raise ValueError("name: must not be empty")
        self.name = settings.name

    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal:
        return Principal(self.name)


class Other(Named):
    pass


class Plain:
    def __init__(self, start: Start) -> None:
        self.start = start

    @hookimpl(tryfirst=True)
    def authenticate(self) -> Principal:
        return Principal("plain")


class Misspelt:
    def __init__(self, start: Start) -> None: ...

    @hookimpl
    def autenticate(self) -> None: ...


class WrongArgument(Plain):
    @hookimpl
    def authenticate(self, request: object) -> None: ...  # type: ignore[override]


class Wrapper(Plain):
    @hookimpl(wrapper=True)
    def authenticate(self):  # type: ignore[no-untyped-def, override]
        yield


class Nothing:
    def __init__(self, start: Start) -> None: ...


class Explodes(Plain):
    def __init__(self, start: Start) -> None:
        raise RuntimeError("no")


def point(kind: str) -> Installed:
    return Installed(kind.lower(), EntryPoint(kind.lower(), f"{__name__}:{kind}", GROUP))


KINDS = ["Named", "Other", "Plain", "Misspelt", "WrongArgument", "Wrapper", "Nothing", "Explodes"]
AVAILABLE = {kind.lower(): point(kind) for kind in KINDS} | {
    "absent": Installed("absent", EntryPoint("absent", "no_such_package.at_all:It", GROUP))
}


def first_asked(settings: PluginSettings) -> str:
    loaded = load(settings, start(), AVAILABLE)
    hook = Hooks(loaded, Process.FRONT, Watch(1.0), still()).get("authenticate")
    assert hook is not None
    answer = hook.first(Credentials(()))
    assert isinstance(answer, Principal)
    return answer.id


def test_the_order_of_the_configuration_is_the_order_of_the_calls() -> None:
    settings = {"named": {"name": "a"}, "other": {"name": "b"}}
    assert first_asked(PluginSettings(use=("named", "other"), settings=settings)) == "a"
    assert first_asked(PluginSettings(use=("other", "named"), settings=settings)) == "b"


def test_who_wants_to_be_first_is() -> None:
    settings = PluginSettings(use=("named", "plain"), settings={"named": {"name": "a"}})
    assert first_asked(settings) == "plain"


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("unknown", {}, "plugins.use: 'unknown' is not installed"),
        ("absent", {}, "plugin 'absent' cannot be imported: ModuleNotFoundError"),
        ("misspelt", {}, "unknown hook 'autenticate'"),
        ("wrongargument", {}, "Argument(s) {'request'}"),
        ("wrapper", {}, "is a wrapper"),
        ("nothing", {}, "implements no hook"),
        ("explodes", {}, "cannot be made: RuntimeError: no"),
        ("plain", {"a": 1}, "plugins.settings.plain: this plugin takes no settings"),
        ("named", {}, "plugins.settings.named.name: Field required"),
        ("named", {"name": "a", "b": "canary"}, "plugins.settings.named.b: Extra inputs are not permitted"),
        ("named", {"name": ""}, "plugins.settings.named: name: must not be empty"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(name: str, settings: dict[str, object], text: str) -> None:
    with pytest.raises(PluginFault) as caught:
        load(PluginSettings(use=(name,), settings={name: settings}), start(), AVAILABLE)
    assert text in str(caught.value)
    assert "canary" not in str(caught.value)


def test_an_optional_one_that_fails_is_left_out_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    settings = PluginSettings(use=("absent", "plain"), optional=frozenset({"absent"}))
    assert [one.name for one in load(settings, start(), AVAILABLE)] == ["plain"]
    assert "optional plugin left out: plugin 'absent' cannot be imported" in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"use": ("a", "a")},
        {"use": ("a",), "optional": {"b"}},
        {"use": ("a",), "settings": {"b": {}}},
        {"block_limit_s": 0},
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PluginSettings.model_validate(settings)


def test_two_packages_with_one_name_are_refused() -> None:
    points = [EntryPoint("a", "x:A", GROUP), EntryPoint("a", "y:A", GROUP)]
    with pytest.raises(PluginFault, match="plugin 'a' is installed twice"):
        installed(points)


def test_the_built_in_plugins_are_found_by_their_entry_points() -> None:
    assert "header_transform" in installed()


def test_what_a_plugin_says_of_itself() -> None:
    assert told(Named) == "Knows everybody by one name."
    assert implemented_by(Plain(start())) == ("authenticate",)
