"""The values of a repository: what is configured, what lies in the folders, and what may be served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from gateway.core.ensemble import EnsembleGraph
from gateway.core.model import BatchPolicy, ModelSpec
from gateway.core.placement import InstanceGroup
from gateway.core.scaling import ScalePolicy
from gateway.core.sequence import SequenceBatching
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import Warmup
from gateway.repository.options import Isolation, read_concurrency
from gateway.repository.versions import Latest, VersionPolicy


class PartialConfig(msgspec.Struct, frozen=True):
    """What config.pbtxt says of a model; the default value is that of a model without one.

    Empty `inputs` or `outputs`, platform, backend and file name are left to the model file;
    `isolation` None to the gateway's own default. `options` are the engine's, by Triton's keys.
    `labels` are names for versions; `label_files` by output, and `warmup` names files too: all of them
    lie beside config.pbtxt and are found by `beside`. `ensemble` is None but for an ensemble, which has
    no file of its own. `written` is the file as a serialised ModelConfig, b"" without one.
    `instances` are those of all `groups`, as far as that can be told without a look at the GPUs.
    A model may be `decoupled` without saying so here. `sequence` is None but for a stateful model.
    """

    platform: str = ""
    backend: str = ""
    max_batch_size: int = 0
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    batching: BatchPolicy = BatchPolicy()
    version_policy: VersionPolicy = Latest()
    instances: int = 1
    groups: tuple[InstanceGroup, ...] = (InstanceGroup(),)
    model_filename: str = ""
    options: Mapping[str, str] = {}
    isolation: Isolation | None = None
    labels: Mapping[str, int] = {}
    label_files: Mapping[str, str] = {}
    warmup: tuple[Warmup, ...] = ()
    ensemble: EnsembleGraph | None = None
    written: bytes = b""
    decoupled: bool = False
    sequence: SequenceBatching | None = None
    scale: ScalePolicy = ScalePolicy()

    @property
    def is_max_batch_known(self) -> bool:
        """False where the engine must find out: protobuf cannot tell max_batch_size 0 from none."""
        return self.max_batch_size > 0 or bool(self.inputs)


class Beside(msgspec.Struct, frozen=True):
    """What the files that a configuration names add to it.

    `class_labels` by output, in the order of the classes; `warmup_paths` and `state_paths` by name of the
    file, for the worker alone; `fingerprint` changes with the files of both. `moved_labels` are names for
    versions, over those that the configuration has.
    """

    class_labels: Mapping[str, tuple[str, ...]] = {}
    warmup_paths: Mapping[str, str] = {}
    fingerprint: str = ""
    state_paths: Mapping[str, str] = {}
    moved_labels: Mapping[str, int] = {}


class ConfigFile(msgspec.Struct, frozen=True):
    """A config.pbtxt as it was read; `problem` is empty where it is sound.

    `fingerprint` is empty without a file, and where the file must be read again at the next look.
    """

    fingerprint: str = ""
    config: PartialConfig = PartialConfig()
    problem: str = ""
    beside: Beside = Beside()


class StoredFile(msgspec.Struct, frozen=True):
    """A file of a version in a store: its path within the version, its key there, and what it must be.

    `tag` is the store's own for its content; `sha256` is "" where no manifest tells it.
    """

    path: str
    key: str
    size_bytes: int
    tag: str
    sha256: str = ""


class VersionEntry(msgspec.Struct, frozen=True):
    """A version that may be loaded: `runtime_file` in the folder `path`, both checked; "" for an ensemble.

    `fingerprint` changes with the name, size, modification time or inode of any file in the folder.
    `path` is for the worker alone and must not appear in an answer. `size_bytes` is that of all files.
    One in the store `source` has `files` instead of a path.
    """

    version: int
    path: str
    fingerprint: str
    runtime_file: str
    platform: str
    backend: str
    size_bytes: int = 0
    source: str = ""
    files: tuple[StoredFile, ...] = ()


class RefusedVersion(msgspec.Struct, frozen=True):
    """A version folder that cannot be loaded as it is now."""

    version: int
    reason: str


class ModelEntry(msgspec.Struct, frozen=True):
    """One model: the versions its policy serves, ascending.

    Invariant: `bool(broken) == (not versions)`.
    """

    name: str
    versions: tuple[VersionEntry, ...]
    config_file: ConfigFile = ConfigFile()
    refused: tuple[RefusedVersion, ...] = ()
    broken: str = ""

    @property
    def config(self) -> PartialConfig:
        return self.config_file.config

    @property
    def beside(self) -> Beside:
        return self.config_file.beside

    @property
    def labels(self) -> Mapping[str, int]:
        """Names for versions, served or not."""
        moved = self.beside.moved_labels
        return {**self.config.labels, **moved} if moved else self.config.labels

    def find(self, version: int) -> VersionEntry | None:
        """The served version of that number, or None."""
        return next((entry for entry in self.versions if entry.version == version), None)


class Override(msgspec.Struct, frozen=True):
    """What a caller has put in place of a model's own: `config` of its config.pbtxt, `root` of its folder.

    `root` is the path of another repository, which holds nothing but this model; "" leaves the folder.
    """

    config: bytes
    root: str = ""


class Ignored(msgspec.Struct, frozen=True):
    """A folder beside the models that cannot be one; `name` is printable ASCII."""

    name: str
    reason: str


class Catalogue(msgspec.Struct, frozen=True):
    """Every model of one or several repositories, in order of name."""

    entries: Mapping[str, ModelEntry] = {}
    ignored: tuple[Ignored, ...] = ()


class SpecDraft(NamedTuple):
    """A spec as far as the repository knows it; where not `max_batch_known` the engine decides that too."""

    spec: ModelSpec
    max_batch_known: bool


def to_spec(entry: ModelEntry, version: int, default_isolation: Isolation = "auto") -> SpecDraft:
    """What a worker is told of a served version; KeyError where it is not served."""
    found = entry.find(version)
    if found is None:
        raise KeyError(f"{entry.name}/{version}")
    config = entry.config
    spec = ModelSpec(
        name=entry.name,
        version=version,
        platform=found.platform,
        backend=found.backend,
        inputs=config.inputs,
        outputs=config.outputs,
        max_batch_size=config.max_batch_size,
        batching=config.batching,
        instances=config.instances,
        isolation=config.isolation or default_isolation,
        class_labels=entry.beside.class_labels,
        decoupled=config.decoupled,
        concurrency=read_concurrency(found.backend, config.options),
        sequence=config.sequence,
    )
    return SpecDraft(spec, config.is_max_batch_known)
