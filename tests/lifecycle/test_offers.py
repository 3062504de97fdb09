"""From a repository's words to a worker's orders and back."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.core.dtypes import DType
from gateway.core.model import BatchPolicy, ModelKey, ModelSpec
from gateway.core.placement import InstanceGroup, Place, place_of
from gateway.core.scaling import ScalePolicy
from gateway.core.sequence import SequenceBatching
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import Warmup, WarmupInput
from gateway.lifecycle.offers import (
    RUNTIMES,
    Offer,
    catalogue_of,
    first_count,
    inline_load,
    is_pinned,
    known_spec,
    merged,
    order,
    place_at,
)
from gateway.repository.catalogue import (
    Beside,
    Catalogue,
    ConfigFile,
    ModelEntry,
    PartialConfig,
    VersionEntry,
)
from gateway.workers.messages import Load
from tests.fakes.ensembles import DIAMOND, Row, graph_of
from tests.fakes.worlds import offer as worlds_offer

X = TensorSpec("x", DType.FP32, (2,))
Y = TensorSpec("y", DType.FP32, (1,))
PARTIAL = ModelSpec("m", 1, "", "onnxruntime", (), (), 0, BatchPolicy(max_queue_delay_s=0.1), instances=2)
OFFER = Offer(PARTIAL, "/r/m/1", "f", "a:B", default_max_batch_size=32, options={"k": "v"})


def test_a_worker_is_told_all_that_is_known() -> None:
    assert order(OFFER) == Load("a:B", "/r/m/1", PARTIAL, False, 32, {"k": "v"})


def test_a_worker_completes_the_signature_and_changes_nothing_else() -> None:
    lie = ModelSpec("other", 9, "onnx", "tensorrt", (X,), (Y,), 64, BatchPolicy(enabled=False), 7, "inline")
    assert merged(OFFER, lie) == msgspec.structs.replace(
        PARTIAL, platform="onnx", inputs=(X,), outputs=(Y,), max_batch_size=64
    )
    fixed = msgspec.structs.replace(OFFER, max_batch_known=True)
    assert merged(fixed, lie).max_batch_size == 0


def test_a_spec_is_known_only_if_nothing_is_left_to_the_file() -> None:
    whole = msgspec.structs.replace(PARTIAL, inputs=(X,), outputs=(Y,))
    for spec, is_known, expected in (
        (PARTIAL, True, None),
        (msgspec.structs.replace(PARTIAL, inputs=(X,)), True, None),
        (whole, False, None),
        (whole, True, whole),
    ):
        assert known_spec(Offer(spec, "", "", "", max_batch_known=is_known)) == expected


def entry(backend: str = "onnxruntime", **config: object) -> ModelEntry:
    version = VersionEntry(3, "/r/m/3", "stamp", "weights.onnx", "onnxruntime_onnx", backend)
    return ModelEntry("m", (version,), ConfigFile("c", PartialConfig(**config)))  # type: ignore[arg-type]


def test_a_repository_entry_becomes_an_offer() -> None:
    found = catalogue_of(Catalogue({"m": entry(options={"level": "1"})}), RUNTIMES, 16)
    one = found.offers[ModelKey("m", 3)]
    assert (one.path, one.runtime, one.default_max_batch_size) == (
        "/r/m/3",
        "gateway.runtimes.onnx:OnnxRuntime",
        16,
    )
    assert one.options == {"level": "1", "default_model_filename": "weights.onnx"}
    assert not one.max_batch_known


def test_a_model_that_names_an_environment_is_told_where_they_are() -> None:
    for told, expected in (({"EXECUTION_ENV_PATH": "blue"}, "/srv/environments"), ({"other": "x"}, None)):
        found = catalogue_of(
            Catalogue({"m": entry("python", options=told)}), RUNTIMES, 16, Path("/srv/environments")
        )
        assert found.offers[ModelKey("m", 3)].options.get("gateway.environments") == expected


def test_instances_have_places() -> None:
    two = entry(groups=(InstanceGroup("gpu"), InstanceGroup("cpu")), instances=2)
    one = catalogue_of(Catalogue({"m": two}), RUNTIMES, 16, gpus=2).offers[ModelKey("m", 3)]
    assert one.spec.instances == 3
    assert one.places == (Place("gpu", 0), Place("gpu", 1), Place("cpu"))
    assert [place_of(order(one, place_at(one, index)).options) for index in range(3)] == list(one.places)
    plain = catalogue_of(Catalogue({"m": entry(instances=1)}), RUNTIMES, 16, gpus=2).offers[ModelKey("m", 3)]
    assert plain.places == ()
    assert order(plain).options == plain.options
    assert one.fingerprint != plain.fingerprint


def test_a_fingerprint_changes_with_the_configuration_too() -> None:
    prints = {
        catalogue_of(Catalogue({"m": changed}), RUNTIMES, 16).offers[ModelKey("m", 3)].fingerprint
        for changed in (entry(), entry(max_batch_size=4), entry(options={"a": "b"}), entry())
    }
    assert len(prints) == 3


SAMPLE = Warmup("w", 1, 1, (WarmupInput("x", DType.FP32, (2,), "file", "x.raw"),))


def warm(path: str = "/r/m/warmup/x.raw", stamp: str = "s") -> ModelEntry:
    there = entry(warmup=(SAMPLE,), written=b"words", labels={"stable": 3})
    beside = Beside({"y": ("cat", "dog")}, {"x.raw": path}, stamp)
    return msgspec.structs.replace(
        there, config_file=msgspec.structs.replace(there.config_file, beside=beside)
    )


def test_a_worker_is_told_where_the_warm_up_lies_and_no_class_labels() -> None:
    found = catalogue_of(Catalogue({"m": warm()}), RUNTIMES, 16)
    one = found.offers[ModelKey("m", 3)]
    load = order(one)
    assert [made.file for sample in load.warmup for made in sample.inputs] == ["/r/m/warmup/x.raw"]
    assert load.spec.class_labels == {}
    assert one.spec.class_labels == {"y": ("cat", "dog")}
    assert merged(one, load.spec).class_labels == {"y": ("cat", "dog")}
    assert one.config == b"words"
    assert found.labels == {"m": {"stable": 3}}
    inline = msgspec.structs.replace(one.spec, isolation="inline")
    front = msgspec.msgpack.decode(inline_load(one, inline), type=Load)
    assert (front.warmup, front.spec.class_labels) == ((), {})


def test_another_warm_up_is_another_offer_and_another_label_is_not() -> None:
    entries = (warm(), warm(stamp="t"), warm(path="/r/m/warmup/y.raw"))
    prints = {print_of(one) for one in entries}
    assert len(prints) == 3
    assert print_of(entry(labels={"a": 1}, written=b"a")) == print_of(entry())


def print_of(one: ModelEntry) -> str:
    return catalogue_of(Catalogue({"m": one}), RUNTIMES, 16).offers[ModelKey("m", 3)].fingerprint


def test_a_stateful_model_is_for_one_front_and_its_worker_hears_of_its_files() -> None:
    there = entry(sequence=SequenceBatching())
    beside = Beside(fingerprint="s", state_paths={"x.raw": "/r/m/initial_state/x.raw"})
    stateful = msgspec.structs.replace(
        there, config_file=msgspec.structs.replace(there.config_file, beside=beside)
    )
    one = catalogue_of(Catalogue({"m": stateful}), RUNTIMES, 16).offers[ModelKey("m", 3)]
    assert order(one).state_paths == beside.state_paths
    assert order(one).spec.sequence == SequenceBatching()
    assert len({one.fingerprint, print_of(there), print_of(entry())}) == 3
    found = catalogue_of(Catalogue({"m": stateful, "n": entry()}), RUNTIMES, 16, fronts=2)
    assert found.broken == {"m": "sequence_batching: is supported with server.fronts = 1, there are 2"}


def test_what_cannot_be_offered_has_a_reason() -> None:
    found = catalogue_of(
        Catalogue({"m": entry("tensorflow"), "n": ModelEntry("n", (), broken="no version")}), RUNTIMES, 16
    )
    assert not found.offers
    assert found.broken == {"m": "there is no engine for its backend 'tensorflow'", "n": "no version"}
    assert catalogue_of(Catalogue({"m": entry("lab")}), {"lab": "a:B"}, 16).offers


def test_an_inline_model_s_load_is_complete_and_others_have_none() -> None:
    inline = msgspec.structs.replace(OFFER.spec, isolation="inline", max_batch_size=4)
    load = msgspec.msgpack.decode(inline_load(OFFER, inline), type=Load)
    assert load.spec == inline
    assert load.max_batch_known
    assert inline_load(OFFER, OFFER.spec) == b""


def ensemble_entry(*rows: Row, version: int = 3) -> ModelEntry:
    config = PartialConfig(platform="ensemble", inputs=(X,), outputs=(Y,), ensemble=graph_of(rows))
    return ModelEntry(
        "e", (VersionEntry(version, "/r/e/3", "stamp", "", "ensemble", ""),), ConfigFile("c", config)
    )


def test_an_ensemble_is_offered_without_an_engine() -> None:
    prints = set()
    for rows in (DIAMOND, DIAMOND[:1], DIAMOND):
        found = catalogue_of(Catalogue({"e": ensemble_entry(*rows)}), {}, 16)
        one = found.offers[ModelKey("e", 3)]
        assert (one.ensemble, one.runtime) == (graph_of(rows), "")
        assert known_spec(one) == one.spec
        prints.add(one.fingerprint)
    assert len(prints) == 2


def test_who_never_makes_room_for_another() -> None:
    plain = worlds_offer()
    assert not is_pinned(plain)
    for scale in (ScalePolicy(pinned=True), ScalePolicy(min_instances=1)):
        assert is_pinned(msgspec.structs.replace(plain, scale=scale))
    spec = msgspec.structs.replace(plain.spec, sequence=SequenceBatching())
    assert is_pinned(msgspec.structs.replace(plain, spec=spec))


def test_how_many_a_first_request_loads() -> None:
    plain = worlds_offer(instances=3)
    assert first_count(plain) == 3
    assert first_count(msgspec.structs.replace(plain, scale=ScalePolicy(max_instances=5))) == 1
    assert first_count(msgspec.structs.replace(plain, scale=ScalePolicy(2, 5))) == 2
    assert first_count(msgspec.structs.replace(plain, scale=ScalePolicy(4))) == 4
