from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.repository.catalogue import (
    Beside,
    Catalogue,
    ConfigFile,
    Ignored,
    ModelEntry,
    PartialConfig,
    RefusedVersion,
    VersionEntry,
)
from gateway.repository.index import Changes, VersionChanges, diff, diff_versions, merge, settle
from gateway.repository.versions import All


def version(number: int, fingerprint: str = "f") -> VersionEntry:
    return VersionEntry(
        number, f"models/{number}", fingerprint, "model.onnx", "onnxruntime_onnx", "onnxruntime"
    )


def model(name: str, *versions: VersionEntry, mark: str = "", **config: object) -> ModelEntry:
    return ModelEntry(
        name,
        versions,
        ConfigFile(mark, PartialConfig(**config)),
        broken="" if versions else "there is nothing",
    )


def catalogue(*entries: ModelEntry) -> Catalogue:
    return Catalogue({entry.name: entry for entry in entries})


MODELS = st.builds(
    lambda name, numbers, size: model(name, *map(version, sorted(numbers)), max_batch_size=size),
    st.sampled_from("abcd"),
    st.sets(st.integers(1, 3)),
    st.integers(0, 1),
)
CATALOGUES = st.lists(MODELS, max_size=5).map(lambda models: catalogue(*models))


def test_diff_names_what_came_changed_and_went() -> None:
    stays, goes, comes = model("stays", version(1)), model("goes", version(1)), model("comes", version(1))
    old, new = model("moves", version(1)), model("moves", version(2))
    changes = diff(catalogue(stays, goes, old), catalogue(comes, stays, new))
    assert changes == Changes((comes,), ((old, new),), (goes,))


def test_diff_sees_reasons_and_options_but_no_comments() -> None:
    entry = model("m", version(1), mark="a", options={"level": "1"})
    replace = msgspec.structs.replace
    commented = replace(entry, config_file=replace(entry.config_file, fingerprint="b"))
    assert diff(catalogue(entry), catalogue(commented)) == Changes((), (), ())
    for other in (
        replace(entry, refused=(RefusedVersion(2, "'model.onnx' is empty"),)),
        model("m", version(1), options={"level": "2"}),
        model("m", version(1, "g"), options={"level": "1"}),
        model("m"),
    ):
        assert diff(catalogue(entry), catalogue(other)).changed == ((entry, other),)


@given(CATALOGUES, CATALOGUES)
def test_applying_a_diff_gives_the_new_catalogue(old: Catalogue, new: Catalogue) -> None:
    changes = diff(old, new)
    entries = dict(old.entries)
    for entry in changes.removed:
        del entries[entry.name]
    entries |= {entry.name: entry for entry in changes.added}
    entries |= {change.new.name: change.new for change in changes.changed}
    assert entries == new.entries
    assert all(change.old == old.entries[change.new.name] != change.new for change in changes.changed)


@given(CATALOGUES)
def test_nothing_differs_from_itself(same: Catalogue) -> None:
    assert diff(same, same) == Changes((), (), ())
    assert diff(Catalogue(), same).added == tuple(same.entries[name] for name in sorted(same.entries))


def test_versions_come_go_and_are_rewritten() -> None:
    old = model("m", version(1), version(2), version(3))
    new = model("m", version(2), version(3, "g"), version(4))
    assert diff_versions(old, new) == VersionChanges((version(4),), (version(3, "g"),), (version(1),))


def test_a_configuration_rewrites_every_version_that_stays_but_a_policy_does_not() -> None:
    old = model("m", version(1), version(2))
    options = model("m", version(2), version(3), instances=2)
    assert diff_versions(old, options) == VersionChanges((version(3),), (version(2),), (version(1),))
    policy = model("m", version(1), version(2), version(3), version_policy=All())
    assert diff_versions(old, policy) == VersionChanges((version(3),), (), ())


# ---- settling -----------------------------------------------------------------------------------


def test_a_model_is_taken_over_when_two_scans_agree() -> None:
    old, half, new = model("m", version(1)), model("m", version(2, "half")), model("m", version(2))
    scans = [catalogue(entry) for entry in (old, half, new, new)]
    served = scans[0]
    seen = []
    for previous, current in pairwise(scans):
        served = settle(served, previous, current)
        seen.append(served.entries["m"])
    assert seen == [old, old, new]


def test_a_model_comes_and_goes_when_two_scans_agree() -> None:
    entry, nothing = model("m", version(1)), Catalogue()
    there = catalogue(entry)
    assert settle(nothing, nothing, there) == nothing
    assert settle(nothing, there, there) == there
    assert settle(there, there, nothing) == there
    assert settle(there, nothing, nothing) == nothing


@given(CATALOGUES, CATALOGUES, CATALOGUES)
def test_settling_invents_nothing(served: Catalogue, previous: Catalogue, current: Catalogue) -> None:
    settled = settle(served, previous, current)
    assert list(settled.entries) == sorted(settled.entries)
    for name, entry in settled.entries.items():
        assert entry in (served.entries.get(name), current.entries.get(name))
    assert settle(settled, current, current).entries == current.entries


def test_the_ignored_are_those_of_now() -> None:
    current = Catalogue({}, (Ignored("x y", "not a name"),))
    assert settle(Catalogue(), Catalogue(), current) == current


# ---- several repositories -----------------------------------------------------------------------


def test_merging_keeps_what_stands_once() -> None:
    a, b, c = (model(name, version(1)) for name in "abc")
    one = Catalogue({"c": c, "a": a}, (Ignored("x", "no"),))
    other = Catalogue({"b": b}, (Ignored("y", "no"),))
    merged = merge([one, other])
    assert list(merged.entries.items()) == [("a", a), ("b", b), ("c", c)]
    assert merged.ignored == (Ignored("x", "no"), Ignored("y", "no"))
    assert merge([]) == Catalogue()


def test_a_name_in_two_repositories_is_served_from_neither() -> None:
    merged = merge([catalogue(model("m", version(1))), catalogue(model("m", version(2)))])
    assert merged.entries == {"m": ModelEntry("m", (), broken="stands in 2 repositories")}


def test_names_that_differ_in_case_only_are_served_from_neither() -> None:
    merged = merge([catalogue(model("net", version(1))), catalogue(model("NET", version(1)))])
    assert {name: entry.broken for name, entry in merged.entries.items()} == {
        "NET": "differs from 'net' in upper and lower case only",
        "net": "differs from 'NET' in upper and lower case only",
    }


@given(CATALOGUES)
def test_merging_one_changes_nothing(one: Catalogue) -> None:
    assert merge([one]) == one


def test_new_labels_change_a_model_and_rewrite_no_version() -> None:
    old = model("m", version(1), labels={"stable": 1}, written=b"old")
    new = model("m", version(1), labels={"canary": 1}, written=b"new")
    assert diff(catalogue(old), catalogue(new)).changed == ((old, new),)
    assert diff_versions(old, new) == VersionChanges((), (), ())


def test_other_files_beside_the_configuration_rewrite_every_version() -> None:
    old = model("m", version(1))
    file = msgspec.structs.replace(old.config_file, beside=Beside({"y": ("a",)}))
    new = msgspec.structs.replace(old, config_file=file)
    assert diff(catalogue(old), catalogue(new)).changed == ((old, new),)
    assert diff_versions(old, new).rewritten == (version(1),)
