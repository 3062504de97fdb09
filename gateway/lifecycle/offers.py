"""What a repository offers, as far as loading it is concerned, and what a worker adds to that. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.core.ensemble import EnsembleGraph
from gateway.core.environment import FOLDER_OPTION, PARAMETER
from gateway.core.model import ModelKey, ModelSpec
from gateway.core.placement import Place, places
from gateway.core.scaling import ScalePolicy
from gateway.core.warmup import Warmup
from gateway.repository import catalogue as repository
from gateway.repository.catalogue import PartialConfig, StoredFile
from gateway.workers.messages import Load

# Engines by the backend names of config.pbtxt; WorkerSettings.runtimes adds to them.
RUNTIMES: Mapping[str, str] = {
    "onnxruntime": "gateway.runtimes.onnx:OnnxRuntime",
    "pytorch": "gateway.runtimes.torch:TorchRuntime",
    "python": "gateway.runtimes.python:PythonRuntime",
    "tensorrt": "gateway.runtimes.tensorrt:TensorrtRuntime",
    "remote": "gateway.runtimes.remote.runtime:RemoteRuntime",
}

_encode = msgspec.msgpack.Encoder(order="sorted").encode


class Offer(msgspec.Struct, frozen=True):
    """One version that could be loaded: from where, by which engine, and what is known of it already.

    `fingerprint` changes when its files or its configuration do. `spec` may lack inputs, outputs and
    (`max_batch_known` False) the batch size: a worker then reads them from the file. `config` is the
    configuration as written, for whoever asks: what of it matters for loading stands in the rest;
    `state_paths` are the files of its initial states, by name. With an
    `ensemble` there is nothing to load: path and runtime are "", and the fronts run it.
    `places` are those of its instances, as many as `spec` says, () where nobody asked for any.
    `size_bytes` is that of its files.
    `source` is the store it comes from, "" where `path` is a folder here; its `files` there are known by
    `mark`, whatever the configuration says.
    """

    spec: ModelSpec
    path: str
    fingerprint: str
    runtime: str
    max_batch_known: bool = False
    default_max_batch_size: int = 64
    options: Mapping[str, str] = {}
    warmup: tuple[Warmup, ...] = ()
    state_paths: Mapping[str, str] = {}
    config: bytes = b""
    ensemble: EnsembleGraph | None = None
    places: tuple[Place, ...] = ()
    scale: ScalePolicy = ScalePolicy()
    size_bytes: int = 0
    source: str = ""
    files: tuple[StoredFile, ...] = ()
    mark: str = ""

    @property
    def key(self) -> ModelKey:
        return self.spec.key


class Catalogue(msgspec.Struct, frozen=True):
    """All that a repository offers at one look; `broken`: models it has and cannot offer, and why.

    `labels` are, by model, names for its versions; a model without any is not in it.
    """

    offers: Mapping[ModelKey, Offer]
    broken: Mapping[str, str] = {}
    labels: Mapping[str, Mapping[str, int]] = {}


def place_at(offer: Offer, index: int) -> Place:
    """Where the instance of that number is to be; there may be more than anybody asked for places for."""
    return offer.places[index % len(offer.places)] if offer.places else Place()


def first_count(offer: Offer) -> int:
    """Instances that a first request loads: those its groups name, or fewer where it may scale."""
    scale = offer.scale
    return max(1, scale.min_instances, 0 if scale.max_instances else offer.spec.instances)


def is_pinned(offer: Offer) -> bool:
    """True for one that never makes room for another: it is to be there, or sequences may be open in it."""
    return offer.scale.pinned or offer.scale.min_instances > 0 or offer.spec.sequence is not None


def order(offer: Offer, place: Place | None = None, path: str = "", *, is_on_gpu: bool = False) -> Load:
    """What the worker of an instance at `place` is told; `path` is where its files are, if not as offered."""
    place = place_at(offer, 0) if place is None else place
    return Load(
        offer.runtime,
        path or offer.path,
        _without_labels(offer.spec),
        offer.max_batch_known,
        offer.default_max_batch_size,
        {**offer.options, **place.options()},
        offer.warmup,
        offer.state_paths,
        is_on_gpu,
    )


def inline_load(offer: Offer, spec: ModelSpec) -> bytes:
    """What a front is told of a model it runs itself, in msgpack; b"" where a worker runs it.

    Without the warm-up, which its worker has been through: in the front it would hold up every request.
    """
    if spec.isolation != "inline":
        return b""
    load = msgspec.structs.replace(order(offer), spec=_without_labels(spec), max_batch_known=True, warmup=())
    return _encode(load)


def _without_labels(spec: ModelSpec) -> ModelSpec:
    return msgspec.structs.replace(spec, class_labels={}) if spec.class_labels else spec


def known_spec(offer: Offer) -> ModelSpec | None:
    """The spec where the configuration alone tells all of it."""
    spec = offer.spec
    return spec if spec.inputs and spec.outputs and offer.max_batch_known else None


def merged(offer: Offer, reported: ModelSpec) -> ModelSpec:
    """The complete spec: the signature as the worker found it, all else as the repository has it.

    A worker cannot rename a model, move it to another engine or change how it is batched or isolated.
    """
    spec = offer.spec
    return msgspec.structs.replace(
        spec,
        platform=spec.platform or reported.platform,
        inputs=reported.inputs or spec.inputs,
        outputs=reported.outputs or spec.outputs,
        max_batch_size=spec.max_batch_size if offer.max_batch_known else reported.max_batch_size,
        decoupled=spec.decoupled or reported.decoupled,
    )


def catalogue_of(
    found: repository.Catalogue,
    runtimes: Mapping[str, str],
    default_max_batch_size: int,
    environments: Path | None = None,
    gpus: int = 0,
    fronts: int = 1,
) -> Catalogue:
    """What a look at the repository offers; `runtimes` maps backend names to "package.module:Class".

    `environments` is where the environments are that models may name; `gpus` are visible.
    No stateful model with several `fronts`: which of them a connection reaches is chance, and a sequence
    that began in one is unknown to the others.
    """
    offers: dict[ModelKey, Offer] = {}
    broken: dict[str, str] = {}
    for entry in found.entries.values():
        engines = {} if entry.config.ensemble else {one.backend for one in entry.versions}
        unknown = sorted(engines - runtimes.keys())
        if entry.broken or unknown:
            broken[entry.name] = entry.broken or f"there is no engine for its backend '{unknown[0]}'"
            continue
        if entry.config.sequence and fronts > 1:
            broken[entry.name] = f"sequence_batching: is supported with server.fronts = 1, there are {fronts}"
            continue
        for one in entry.versions:
            runtime = "" if entry.config.ensemble else runtimes[one.backend]
            options = _options(entry.config.options, one.runtime_file, environments)
            offer = _offer(entry, one, runtime, options, default_max_batch_size)
            offer = _placed(offer, places(entry.config.groups, gpus))
            offers[offer.key] = offer
    labels = {name: entry.labels for name, entry in found.entries.items() if entry.labels}
    return Catalogue(offers, broken, labels)


def _placed(offer: Offer, found: tuple[Place, ...]) -> Offer:
    if offer.ensemble is not None or all(place == Place() for place in found):
        return offer
    spec = msgspec.structs.replace(offer.spec, instances=len(found))
    return msgspec.structs.replace(offer, spec=spec, places=found)


def _options(told: Mapping[str, str], runtime_file: str, environments: Path | None) -> dict[str, str]:
    options = {**told, "default_model_filename": runtime_file}
    if PARAMETER in told and environments is not None:
        options[FOLDER_OPTION] = str(environments.absolute())
    return options


def _offer(
    entry: repository.ModelEntry,
    one: repository.VersionEntry,
    runtime: str,
    options: Mapping[str, str],
    default_max_batch_size: int,
) -> Offer:
    draft = repository.to_spec(entry, one.version)
    warmup = _with_paths(entry.config.warmup, entry.beside.warmup_paths)
    configured = _encode((
        *(draft.spec, draft.max_batch_known, options, runtime),
        *((warmup, entry.beside.fingerprint) if warmup else ()),
        *((entry.config.ensemble,) if entry.config.ensemble else ()),
        *((entry.config.groups,) if entry.config.groups != PartialConfig().groups else ()),
        *((entry.beside.fingerprint,) if entry.beside.state_paths else ()),
    ))
    return Offer(
        spec=draft.spec,
        path=one.path,
        fingerprint=f"{one.fingerprint}-{hashlib.sha256(configured).hexdigest()[:16]}",
        runtime=runtime,
        max_batch_known=draft.max_batch_known,
        default_max_batch_size=default_max_batch_size,
        options=options,
        warmup=warmup,
        state_paths=entry.beside.state_paths,
        config=entry.config.written,
        ensemble=entry.config.ensemble,
        size_bytes=one.size_bytes,
        scale=entry.config.scale,
        source=one.source,
        files=one.files,
        mark=one.fingerprint if one.source else "",
    )


def _with_paths(samples: tuple[Warmup, ...], paths: Mapping[str, str]) -> tuple[Warmup, ...]:
    return tuple(
        msgspec.structs.replace(
            sample,
            inputs=tuple(
                msgspec.structs.replace(one, file=paths[one.file]) if one.file else one
                for one in sample.inputs
            ),
        )
        for sample in samples
    )
