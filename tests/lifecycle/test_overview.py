"""All models at a glance."""

from __future__ import annotations

import msgspec

from gateway.core.device import Usage
from gateway.core.model import ModelKey
from gateway.lifecycle.following import Following
from gateway.lifecycle.offers import RUNTIMES, Catalogue
from gateway.lifecycle.operated import Operated
from gateway.lifecycle.overview import ModelOverview, Overview, VersionOverview
from gateway.repository.settings import RepositorySettings
from tests.fakes.worlds import World, offer


def overview(world: World) -> Overview:
    async_free = Following(RepositorySettings(), RUNTIMES, world.lifecycle)
    memory = {ModelKey("m", 1): {"cpu": 7}}
    return Overview(world.lifecycle, async_free, lambda: memory, lambda _: Usage(10.0, 2), lambda: 15.0)


def test_where_each_version_is_and_what_it_takes() -> None:
    world = World()
    world.lifecycle.reconcile(Catalogue({offer().key: offer()}, {"bad": "no good"}))
    (bad, one) = overview(world).models()
    assert bad == ModelOverview("bad", {}, (), "no good")
    (version,) = one.versions
    assert (version.state, version.phase, version.ready, version.wanted) == ("READY", "absent", 0, 0)
    world.lifecycle.on_activate(offer().key, 5.0)
    world.workers.made[-1].loads()
    (_, one) = overview(world).models()
    (version,) = one.versions
    assert version == VersionOverview(1, "READY", "ready", "", 1, 1, 2, 5.0, {"cpu": 7})
    assert msgspec.to_builtins(one)["versions"][0]["memory_bytes"] == {"cpu": 7}


def test_operators_see_it_too() -> None:
    world = World()
    world.lifecycle.reconcile(Catalogue({offer().key: offer()}))
    assert Operated(overview(world), None, None).models() == overview(world).models()  # type: ignore[arg-type]
