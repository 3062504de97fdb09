from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.model import check_name
from gateway.repository import local, pbtxt
from gateway.repository.catalogue import (
    Catalogue,
    ModelEntry,
    Override,
    PartialConfig,
    RefusedVersion,
    to_spec,
)
from gateway.repository.formats import FORMATS
from gateway.repository.local import Local, RepositoryUnreachable, scan, scan_all, scan_one
from gateway.repository.versions import parse_folder
from tests.fakes.ensembles import DIAMOND, add_ensemble, config_of

MODEL = b"not a real one: the scan never opens it"
NO_FILE = f"there is no {' or '.join(repr(known.file_name) for known in FORMATS)} in it"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inside = tmp_path / "repository"
    inside.mkdir()
    return inside


def put(root: Path, name: str, *versions: int | str, config: str | None = None) -> Path:
    for version in versions:
        (root / name / str(version)).mkdir(parents=True)
        (root / name / str(version) / "model.onnx").write_bytes(MODEL)
    if config is not None:
        (root / name).mkdir(exist_ok=True)
        (root / name / "config.pbtxt").write_text(config)
    return root / name


def only(root: Path) -> ModelEntry:
    (entry,) = scan(root).entries.values()
    check_texts(entry, root)
    return entry


def check_texts(entry: ModelEntry, root: Path) -> None:
    """What every entry keeps: the invariant, and no path in any text."""
    assert bool(entry.broken) == (not entry.versions)
    for text in (entry.broken, entry.config_file.problem, *(refused.reason for refused in entry.refused)):
        assert str(root.parent) not in text
        assert "/repository" not in text


def numbers(entry: ModelEntry) -> tuple[int, ...]:
    return tuple(version.version for version in entry.versions)


# ---- layout -------------------------------------------------------------------------------------


def test_an_empty_repository(root: Path) -> None:
    assert scan(root) == Catalogue()


def test_a_model_without_a_configuration(root: Path) -> None:
    put(root, "m", 1)
    entry = only(root)
    (version,) = entry.versions
    assert entry.config == PartialConfig()
    assert (version.version, version.path, version.runtime_file) == (1, str(root / "m" / "1"), "model.onnx")
    assert (version.platform, version.backend) == ("onnxruntime_onnx", "onnxruntime")


def test_the_latest_version_is_served_unless_said_otherwise(root: Path) -> None:
    put(root, "m", 2, 10, 9)
    assert numbers(only(root)) == (10,)
    put(root, "m", config="version_policy { all { } }")
    assert numbers(only(root)) == (2, 9, 10)
    put(root, "m", config="version_policy { latest { num_versions: 2 } }")
    assert numbers(only(root)) == (9, 10)
    put(root, "m", config="version_policy { specific { versions: [ 2, 3 ] } }")
    entry = only(root)
    assert numbers(entry) == (2,)
    assert entry.refused == (RefusedVersion(3, "version_policy names it, and it is not there"),)


@pytest.mark.parametrize(
    "name", ["01", "0", "-1", "v1", "1.0", "latest", "warmup", "configs", "99999999999999999999"]
)
def test_other_folders_of_a_model_are_ignored(root: Path, name: str) -> None:
    put(root, "m", 1, name)
    entry = only(root)
    assert numbers(entry) == (1,)
    assert entry.refused == ()


def test_files_beside_versions_and_models_are_ignored(root: Path) -> None:
    put(root, "m", 1)
    (root / "README.md").touch()
    (root / ".git").mkdir()
    (root / "m" / "train.py").touch()
    (root / "m" / "2").touch()
    catalogue = scan(root)
    assert numbers(catalogue.entries["m"]) == (1,)
    assert catalogue.entries["m"].refused == ()
    assert catalogue.ignored == ()


@pytest.mark.parametrize("name", ["my model", "_private", "a" * 129, "größe", "a\nb", os.fsdecode(b"a\xff")])
def test_a_folder_whose_name_no_caller_could_give_is_named_as_ignored(root: Path, name: str) -> None:
    put(root, "good", 1)
    (root / name).mkdir()
    catalogue = scan(root)
    assert list(catalogue.entries) == ["good"]
    (ignored,) = catalogue.ignored
    assert ignored.name.isascii()
    assert ignored.name.isprintable()
    assert "a model name is" in ignored.reason


def test_order_is_that_of_names(root: Path) -> None:
    for name in ("b", "a10", "a2", "C"):
        put(root, name, 1)
    assert list(scan(root).entries) == ["C", "a10", "a2", "b"]
    assert scan(root) == scan(root)


def test_another_file_name(root: Path) -> None:
    put(root, "m", 1, config='default_model_filename: "net.onnx"')
    assert only(root).broken == "no version can be loaded; version 1: there is no 'net.onnx' in it"
    (root / "m" / "1" / "net.onnx").write_bytes(MODEL)
    assert only(root).versions[0].runtime_file == "net.onnx"


# ---- broken models ------------------------------------------------------------------------------

BROKEN = {
    "bad name": ("name: 'other'", "config.pbtxt: name: 'other' is not the name of the folder, 'm'"),
    "bad field": ("optimization { priority: PRIORITY_MAX }", "config.pbtxt: optimization.priority: is not"),
    "no text": ("\0", "config.pbtxt: line 1, column 1: "),
    "no such version": (
        "version_policy { specific { versions: 7 } }",
        "version_policy chooses none of the versions there are",
    ),
    "too large": ("#" * (pbtxt.MAX_CONFIG_BYTES + 1), "config.pbtxt: is larger than 1048576 bytes"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_configuration_breaks_its_model_only(root: Path, case: str) -> None:
    config, reason = BROKEN[case]
    put(root, "m", 1, config=config)
    put(root, "a", 1)
    put(root, "z", 1, config="max_batch_size: 4")
    entries = scan(root).entries
    check_texts(entries["m"], root)
    assert entries["m"].broken.startswith(reason)
    assert [entries[name].broken for name in ("a", "z")] == ["", ""]


def test_a_model_without_versions(root: Path) -> None:
    put(root, "m", config="")
    assert only(root).broken == "there is no version folder (a positive integer)"


def test_a_folder_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "m", 1)
    put(root, "n", 1)
    real = os.listdir

    def listdir(path: str) -> list[str]:
        if path == f"{root}/m":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    entries = scan(root).entries
    assert entries["m"].broken == "cannot be read: Permission denied"
    assert entries["n"].broken == ""


def test_a_version_that_goes_while_it_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "m", 1, 2)
    real = local.survey

    def survey(folder: str, inside: str) -> object:
        if folder.endswith("/2"):
            shutil.rmtree(folder)
        return real(folder, inside)

    monkeypatch.setattr(local, "survey", survey)
    entry = only(root)
    assert numbers(entry) == (1,)
    assert entry.refused == (RefusedVersion(2, "cannot be read: No such file or directory"),)


def test_a_python_model_is_found_by_its_file_and_never_runs_inline(root: Path) -> None:
    put(root, "both", 1)
    (root / "both" / "1" / "model.py").write_text("raise SystemExit")
    (root / "code" / "1").mkdir(parents=True)
    (root / "code" / "1" / "model.py").write_text("raise SystemExit")
    found = scan(root).entries
    assert [found[name].versions[0].backend for name in ("both", "code")] == ["onnxruntime", "python"]
    inline = 'parameters { key: "gateway.isolation" value { string_value: "inline" } }'
    (root / "code" / "config.pbtxt").write_text(inline)
    assert scan(root).entries["code"].broken == (
        "no version can be loaded; version 1: "
        "'model.py' is code and never runs in a front: gateway.isolation inline"
    )


# ---- half-written models ------------------------------------------------------------------------


def test_a_model_that_is_served_elsewhere_needs_a_version_folder_and_nothing_in_it(root: Path) -> None:
    config = 'backend: "remote" parameters { key: "url" value { string_value: "http://127.0.0.1:1" } }'
    (root / "far" / "1").mkdir(parents=True)
    (root / "far" / "config.pbtxt").write_text(config)
    entry = only(root)
    assert numbers(entry) == (1,)
    assert (entry.versions[0].backend, entry.versions[0].runtime_file) == ("remote", "")
    spec = to_spec(entry, 1).spec
    assert (spec.platform, spec.concurrency) == ("remote", 64)
    (root / "far" / "1").rmdir()
    assert only(root).broken == "there is no version folder (a positive integer)"


def test_a_version_being_uploaded_does_not_displace_the_one_that_serves(root: Path) -> None:
    put(root, "m", 1)
    served = only(root).versions
    new = root / "m" / "2"
    new.mkdir()
    assert only(root).refused == (RefusedVersion(2, NO_FILE),)
    (new / "weights.bin").write_bytes(b"1")
    (new / "model.onnx.part").write_bytes(b"1")
    assert only(root).versions == served
    (new / "model.onnx").touch()
    assert only(root).refused == (RefusedVersion(2, "'model.onnx' is empty"),)
    assert only(root).versions == served
    (new / "model.onnx").write_bytes(MODEL)
    assert numbers(only(root)) == (2,)


def test_a_new_model_being_uploaded_is_broken_until_it_is_there(root: Path) -> None:
    (root / "m").mkdir()
    assert only(root).broken
    (root / "m" / "1").mkdir()
    assert only(root).broken == f"no version can be loaded; version 1: {NO_FILE}"
    put(root, "m", config="max_batch_size")
    assert only(root).broken.startswith("config.pbtxt: line 1")
    put(root, "m", config="max_batch_size: 8\n")
    (root / "m" / "1" / "model.onnx").write_bytes(MODEL)
    assert only(root).config.max_batch_size == 8


def test_a_fingerprint_follows_the_files_of_its_version_only(root: Path) -> None:
    put(root, "m", 1, 2, config="version_policy { all { } }")
    one, two = only(root).versions
    (root / "m" / "2" / "weights.bin").write_bytes(b"1")
    (root / "m" / "note").touch()
    assert only(root).versions[0] == one
    assert only(root).versions[1].fingerprint != two.fingerprint


# ---- links, devices, hard links -----------------------------------------------------------------


def outside(root: Path) -> Path:
    """A complete model beside the repository."""
    return put(root.parent / "outside", "m", 1, config="")


def link_model(root: Path) -> None:
    (root / "m").symlink_to(outside(root))


def link_version(root: Path) -> None:
    (root / "m").mkdir()
    (root / "m" / "1").symlink_to(outside(root) / "1")


def link_file(root: Path) -> None:
    (root / "m" / "1").mkdir(parents=True)
    (root / "m" / "1" / "model.onnx").symlink_to("../../../outside/m/1/model.onnx")


def link_weights(root: Path) -> None:
    put(root, "m", 1)
    (root / "m" / "1" / ".weights").symlink_to("/etc/passwd")


def link_folder_of_weights(root: Path) -> None:
    put(root, "m", 1)
    (root / "m" / "1" / "weights").symlink_to(outside(root))


def link_config(root: Path) -> None:
    put(root, "m", 1)
    (root / "m" / "config.pbtxt").symlink_to(outside(root) / "config.pbtxt")


def link_config_to_nothing(root: Path) -> None:
    put(root, "m", 1)
    (root / "m" / "config.pbtxt").symlink_to("gone")


def device_config(root: Path) -> None:
    put(root, "m", 1)
    (root / "m" / "config.pbtxt").symlink_to("/dev/zero")


def fifo_config(root: Path) -> None:
    put(root, "m", 1)
    os.mkfifo(root / "m" / "config.pbtxt")


def folder_config(root: Path) -> None:
    put(root, "m", 1)
    (root / "m" / "config.pbtxt").mkdir()


def fifo_file(root: Path) -> None:
    (root / "m" / "1").mkdir(parents=True)
    os.mkfifo(root / "m" / "1" / "model.onnx")


def device_file(root: Path) -> None:
    (root / "m" / "1").mkdir(parents=True)
    (root / "m" / "1" / "model.onnx").symlink_to("/dev/urandom")


def folder_file(root: Path) -> None:
    put(root, "m", "1/model.onnx")


def hard_link_file(root: Path) -> None:
    (root / "m" / "1").mkdir(parents=True)
    (root / "m" / "1" / "model.onnx").hardlink_to(outside(root) / "1" / "model.onnx")


def hard_link_config(root: Path) -> None:
    put(root, "m", 1)
    (root / "m" / "config.pbtxt").hardlink_to(outside(root) / "config.pbtxt")


def circle(root: Path) -> None:
    put(root, "m", 1)
    (root / "m" / "1" / "again").symlink_to("../1")


HOSTILE = {
    link_model: "'m' is a link that leaves the repository",
    link_version: "version 1: '1' is a link that leaves the repository",
    link_file: "version 1: 'model.onnx' is a link that leaves the repository",
    link_weights: "version 1: '.weights' is a link that leaves the repository",
    link_folder_of_weights: "version 1: 'weights' is a link that leaves the repository",
    link_config: "'config.pbtxt' is a link that leaves the repository",
    link_config_to_nothing: "'config.pbtxt' is a link to nothing",
    device_config: "'config.pbtxt' is a link that leaves the repository",
    fifo_config: "'config.pbtxt' is not a regular file",
    folder_config: "'config.pbtxt' is not a regular file",
    fifo_file: "version 1: 'model.onnx' is not a regular file",
    device_file: "version 1: 'model.onnx' is a link that leaves the repository",
    folder_file: f"version 1: {NO_FILE}",
    hard_link_file: "version 1: 'model.onnx' is a hard link (2 names): copy it instead",
    hard_link_config: "'config.pbtxt' is a hard link (2 names): copy it instead",
    circle: "version 1: holds more than 4096 files or 8 levels of folders",
}


@pytest.mark.parametrize("make", HOSTILE)
def test_what_is_not_what_it_seems_is_refused(root: Path, make: object) -> None:
    assert callable(make)
    make(root)
    put(root, "good", 1)
    entries = scan(root).entries
    check_texts(entries["m"], root)
    assert entries["m"].broken.endswith(HOSTILE[make])
    assert entries["good"].broken == ""


def test_links_that_stay_inside_are_followed(root: Path) -> None:
    """As an orchestrator mounts a volume: everything is a link into a folder that is swapped whole."""
    put(root / "..data", "m", 1, config="max_batch_size: 4")
    (root / "m").mkdir()
    (root / "m" / "1").symlink_to("../..data/m/1")
    (root / "m" / "config.pbtxt").symlink_to("../..data/m/config.pbtxt")
    (root / "alias").symlink_to("..data/m")
    entries = scan(root).entries
    assert list(entries) == ["alias", "m"]
    assert entries["m"].config.max_batch_size == 4
    assert [entry.versions[0].path for entry in entries.values()] == [f"{root}/..data/m/1"] * 2


def test_the_repository_itself_may_be_a_link(root: Path) -> None:
    put(root, "m", 1)
    (root.parent / "link").symlink_to(root)
    assert scan(root.parent / "link") == scan(root)


def test_names_that_differ_in_case_only(root: Path) -> None:
    for name in ("net", "Net", "other"):
        put(root, name, 1)
    entries = scan(root).entries
    assert {name: bool(entry.broken) for name, entry in entries.items()} == {
        "Net": True,
        "net": True,
        "other": False,
    }


# ---- the repository as a whole ------------------------------------------------------------------


def test_an_unreachable_repository_is_no_empty_one(root: Path) -> None:
    for path in (root / "gone", root / "file"):
        (root / "file").touch()
        with pytest.raises(RepositoryUnreachable) as caught:
            scan(path)
        assert caught.value.text.startswith(f"repository '{path.name}': ")
        assert str(root) not in caught.value.text


def test_several_repositories(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "second"
    put(root, "a", 1)
    put(root, "twice", 1)
    put(other, "b", 1)
    put(other, "twice", 1)
    catalogue = scan_all([root, other])
    assert {name: entry.broken for name, entry in catalogue.entries.items()} == {
        "a": "",
        "b": "",
        "twice": "stands in 2 repositories",
    }
    with pytest.raises(RepositoryUnreachable):
        scan_all([root, tmp_path / "gone"])


def test_an_unchanged_configuration_is_not_parsed_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "good", 1, config="max_batch_size: 4")
    put(root, "bad", 1, config="nonsense")
    put(root, "changing", 1, config="max_batch_size: 1")
    first = scan(root)
    parsed: list[str] = []
    real = pbtxt.parse

    def parse(data: bytes, folder: str) -> PartialConfig:
        parsed.append(folder)
        return real(data, folder)

    monkeypatch.setattr(pbtxt, "parse", parse)
    put(root, "changing", config="max_batch_size: 2")
    second = scan(root, first)
    assert parsed == ["changing"]
    assert second.entries["changing"].config.max_batch_size == 2
    assert second == scan(root)


def test_a_configuration_that_goes_is_forgotten(root: Path) -> None:
    put(root, "m", 1, config="max_batch_size: 4")
    first = scan(root)
    (root / "m" / "config.pbtxt").unlink()
    assert scan(root, first).entries["m"].config == PartialConfig()


# No "/" and no NUL: what a folder can be called at all.
FILE_NAME = st.one_of(
    st.integers(-3, 1 << 70).map(str),
    st.from_regex(r"[0-9A-Za-z._ +-]{1,20}", fullmatch=True),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20),
).filter(lambda name: name not in {".", "..", "config.pbtxt"} and len(name.encode()) <= 200)


@settings(max_examples=60, deadline=None)
@given(st.sets(FILE_NAME, max_size=6))
def test_any_version_folder_names(names: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), "m", *names, config="version_policy { all { } }")
        entry = scan(Path(folder)).entries["m"]
    found = sorted(version for version in map(parse_folder, names) if version)
    assert list(numbers(entry)) == found
    assert entry.refused == ()


@settings(max_examples=60, deadline=None)
@given(st.sets(FILE_NAME, max_size=6))
def test_any_model_folder_names(names: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            put(Path(folder), name, 1)
        catalogue = scan(Path(folder))
    visible = {name for name in names if not name.startswith(".")}
    assert len(catalogue.entries) + len(catalogue.ignored) == len(visible)
    assert all(check_name(name) in visible for name in catalogue.entries)


# ---- ensembles ------------------------------------------------------------------------------------


ENDS = (["in TYPE_FP32 [ 2 ]"], ["out TYPE_FP32 [ 2 ]"])


def test_an_ensemble_needs_a_version_folder_and_no_file(root: Path) -> None:
    put(root, "double", 1)
    put(root, "add", 1)
    (root / "e").mkdir()
    (root / "e" / "config.pbtxt").write_text(config_of(DIAMOND, *ENDS))
    assert "no version folder" in scan_all([root]).entries["e"].broken
    (root / "e" / "3").mkdir()
    entry = scan_all([root]).entries["e"]
    assert not entry.broken
    assert [(one.version, one.runtime_file, one.platform) for one in entry.versions] == [(3, "", "ensemble")]
    (root / "e" / "3" / ".gitkeep").touch()
    assert numbers(scan_all([root]).entries["e"]) == (3,)


def test_an_ensemble_s_parts_may_stand_in_another_repository(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    put(other, "double", 1)
    add_ensemble(root, "e", config_of(DIAMOND, *ENDS))
    (entry,) = [one for one in scan_all([root, other]).entries.values() if one.name == "e"]
    assert entry.broken == "step 2 (model 'add'): there is no such model"
    put(other, "add", 1)
    assert numbers(scan_all([root, other]).entries["e"]) == (1,)


# ---- overrides, and one model ------------------------------------------------------------------------


def test_one_model_is_found_as_among_all(root: Path) -> None:
    put(root, "a", 1, 2, config="version_policy { all { } }")
    put(root, "b", 1, config="nonsense: 1")
    whole = scan_all([root])
    for name in ("a", "b"):
        assert scan_one([root], name, Catalogue()) == whole.entries[name]
    assert scan_one([root], "c", whole) is None
    (root / "file").write_bytes(b"")
    assert scan_one([root], "file", whole) is None
    with pytest.raises(RepositoryUnreachable):
        scan_one([root / "nowhere"], "a", whole)


def test_one_model_in_two_repositories_or_beside_a_name_like_it_is_refused(
    root: Path, tmp_path: Path
) -> None:
    put(root, "a", 1)
    other = tmp_path / "other"
    put(other, "a", 1)
    put(other, "A", 1)
    twice = scan_one([root, other], "a", Catalogue())
    assert twice is not None
    assert "2 repositories" in twice.broken
    alike = scan_one([root], "a", scan_all([other]))
    assert alike is not None
    assert "upper and lower case" in alike.broken


def test_a_configuration_given_stands_in_place_of_the_file(root: Path) -> None:
    put(root, "a", 1, 2, config="nonsense: 1")
    given = Override(b"version_policy { all { } }")
    found = scan_all([root], overrides={"a": given})
    assert numbers(found.entries["a"]) == (1, 2)
    assert scan_one([root], "a", Catalogue(), given) == found.entries["a"]
    again = scan_all([root], found)
    assert again.entries["a"].broken, "the file counts again"
    bad = scan_one([root], "a", found, Override(b"max_batch_size: -1"))
    assert bad is not None
    assert "max_batch_size" in bad.broken


def test_a_folder_given_hides_that_of_the_model_or_makes_a_new_one(root: Path, tmp_path: Path) -> None:
    put(root, "a", 1)
    staged = tmp_path / "staged"
    put(staged, "a", 7)
    put(staged, "n", 3)
    overrides = {"a": Override(b"", str(staged)), "n": Override(b"max_batch_size: 4", str(staged))}
    found = scan_all([root], overrides=overrides)
    assert [(name, numbers(entry)) for name, entry in found.entries.items()] == [("a", (7,)), ("n", (3,))]
    assert found.entries["n"].config.max_batch_size == 4
    assert scan_one([root], "n", found, overrides["n"]) == found.entries["n"]
    assert scan_all([root], found).entries.keys() == {"a"}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["a", "A", "b", "ens", "bad name"]),
        st.sampled_from(["put", "drop", "config", "broken", "link", "other"]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_a_look_at_what_has_changed_finds_what_a_look_at_everything_does(
    changes: list[tuple[str, str]],
) -> None:
    with tempfile.TemporaryDirectory() as made:
        roots = [Path(made, "one"), Path(made, "two")]
        for root in roots:
            root.mkdir()
        known = Local(roots)
        known.look()
        for name, what in changes:
            _change(roots, name, what)
            assert known.look(names={name}) == scan_all(roots)
        assert known.look() == scan_all(roots)


def _change(roots: list[Path], name: str, what: str) -> None:
    root = roots[what == "other"]
    folder = root / name
    if what in {"put", "other"} and not (folder / "1").exists():
        put(root, name, 1)
    elif what == "drop" and folder.exists():
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)
    elif what == "config":
        folder.mkdir(exist_ok=True)
        (folder / "config.pbtxt").write_text("max_batch_size: 4")
    elif what == "broken":
        folder.mkdir(exist_ok=True)
        (folder / "config.pbtxt").write_text("max_batch_size: {")
    elif what == "link" and not folder.exists():
        (root / f".{name}").mkdir(exist_ok=True)
        folder.symlink_to(root / f".{name}")


def test_models_of_which_a_part_lies_elsewhere_are_known(root: Path) -> None:
    put(root, "plain", 1)
    put(root, ".kept", 1)
    (root / "linked").symlink_to(root / ".kept")
    put(root, "half", 1)
    (root / "half" / "2").symlink_to(root / "half" / "1")
    known = Local([root])
    known.look()
    assert known.linked == {"linked", "half"}


def test_an_ensemble_hears_of_its_parts(root: Path) -> None:
    add_ensemble(root, "e", config_of(DIAMOND, *ENDS))
    known = Local([root])
    assert known.look().entries["e"].broken
    for name in ("double", "add"):
        put(root, name, 1)
    after = known.look(names={"double", "add"})
    assert after == scan_all([root])
    assert not after.entries["e"].broken
