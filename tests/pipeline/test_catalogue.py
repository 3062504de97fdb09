import msgspec
import pytest

from gateway.control.messages import ModelView, Snapshot, VersionState, VersionView
from gateway.control.views import shared
from gateway.core.model import BatchPolicy, ModelKey, QueuePolicy
from gateway.generated import model_config_pb2 as pb
from gateway.pipeline.catalogue import Catalogue, VersionSlot
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue import ModelQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.telemetry.executions import Executions
from tests.fakes.ensembles import DIAMOND, graph_of
from tests.fakes.links import FakeEvents
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.specs import doubling_spec


def view(name: str, *states: VersionState, broken: str = "") -> ModelView:
    return ModelView(
        name,
        tuple(VersionView(number + 1, state, retry_in_s=5.0) for number, state in enumerate(states)),
        broken,
    )


def catalogue(*views: ModelView) -> Catalogue:
    made = Catalogue(10, 30.0)
    made.apply(Snapshot(1, views), 0.0)
    return made


def heat(slot: VersionSlot) -> None:
    clock = FakeClock()
    executions = Executions("double", 1, clock)
    slot.queue = slot.hot = ModelQueue(
        doubling_spec(),
        SchedulingSettings(),
        FakeLoop(clock),
        clock,
        PoisonList(1.0),
        FakeEvents(),
        executions,
    )


@pytest.mark.parametrize(
    ("states", "hot", "latest", "successor"),
    [
        (("absent",), (), 1, None),
        (("absent", "absent"), (), 2, None),
        (("absent", "failed"), (), 1, None),
        (("failed", "failed"), (), 2, None),
        (("ready", "absent"), (1,), 1, 2),
        (("ready", "ready"), (1, 2), 2, None),
        (("ready", "failed"), (1,), 1, None),
        (("absent", "ready"), (2,), 2, None),
    ],
)
def test_latest_is_the_highest_that_can_answer(
    states: tuple[VersionState, ...], hot: tuple[int, ...], latest: int, successor: int | None
) -> None:
    models = catalogue(view("m", *states))
    for version in hot:
        slot = models.slot(ModelKey("m", version))
        assert slot is not None
        heat(slot)
    models.resolve("m", 0.0)
    found = models.route(("m", 0))
    assert found is not None
    assert found.key.version == latest
    assert (found.successor.key.version if found.successor else None) == successor


def test_a_step_changes_only_what_it_names_and_keeps_slots() -> None:
    models = catalogue(view("a", "absent"), view("b", "absent", "absent"))
    a, b1 = models.slot(ModelKey("a", 1)), models.slot(ModelKey("b", 1))
    changed, gone = models.apply(Snapshot(2, (view("b", "ready"),), ("a",)), 0.0)
    assert [slot.key for slot in changed] == [ModelKey("b", 1)]
    assert [slot.key for slot in gone] == [ModelKey("a", 1), ModelKey("b", 2)]
    assert models.slot(ModelKey("b", 1)) is b1
    assert a is not None
    assert models.route(("a", 1)) is models.route(("a", 0)) is models.route(("b", 2)) is None
    assert not models.knows("a")
    assert models.number == 2


def test_failing_ends_when_the_time_is_over_and_broken_does_not() -> None:
    models = catalogue(view("m", "failed"), view("b", "absent", broken="no such backend"))
    failed, broken = models.slot(ModelKey("m", 1)), models.slot(ModelKey("b", 1))
    assert failed is not None
    assert broken is not None
    assert failed.is_failing(4.9)
    assert not failed.is_failing(5.0)
    assert broken.is_failing(1e9)
    assert models.broken("b") == "no such backend"


def test_a_label_leads_to_its_version_as_long_as_there_is_one() -> None:
    labels = {"stable": 1, "canary": 2, "gone": 7}
    two = ModelView("m", view("m", "absent", "ready").versions, labels=labels)
    models = catalogue(two)
    for label, version in (("stable", 1), ("canary", 2)):
        found = models.route(("m", label))
        assert found is models.slot(ModelKey("m", version)) is not None
    assert models.route(("m", "gone")) is None
    assert models.labels("m") == labels
    models.apply(Snapshot(2, (view("m", "absent", "ready"),)), 0.0)
    assert models.route(("m", "stable")) is None
    models.apply(Snapshot(3, (), ("m",)), 0.0)
    assert models.labels("m") == {}


def test_what_versions_share_is_in_each_of_their_slots() -> None:
    spec = msgspec.structs.replace(doubling_spec(), class_labels={"y": ("cat", "dog")})
    told = ModelView("m", tuple(VersionView(n, "ready", spec, config=b"words") for n in (1, 2)))
    models = catalogue(shared(told))
    for version in (1, 2):
        slot = models.slot(ModelKey("m", version))
        assert slot is not None
        assert (slot.spec, slot.view.config) == (spec, b"words")


def test_complete_once_the_last_packet_said_so() -> None:
    models = Catalogue(10, 30.0)
    models.apply(Snapshot(1, (), complete=False), 0.0)
    assert not models.is_complete
    models.apply(Snapshot(2, (), complete=True), 0.0)
    models.apply(Snapshot(3, (), complete=False), 0.0)
    assert models.is_complete


def test_how_requests_wait_is_known_before_the_signature_is() -> None:
    config = pb.ModelConfig()
    config.dynamic_batching.default_queue_policy.max_queue_size = 5
    known = doubling_spec(policy=BatchPolicy(max_queue_delay_s=0.5))
    versions = (
        VersionView(1, "absent"),
        VersionView(2, "absent", config=config.SerializeToString()),
        VersionView(3, "ready", known, config=config.SerializeToString()),
    )
    models = catalogue(ModelView("m", versions))
    found = [slot.batching for slot in models.slots()]
    assert found == [BatchPolicy(), BatchPolicy(queue_policy=QueuePolicy(max_queue_size=5)), known.batching]


@pytest.mark.parametrize(
    ("ensembles", "latest", "successor"),
    [((True, True), 2, None), ((False, True), 2, None), ((True, False), 1, 2)],
)
def test_an_ensemble_can_answer_at_once(
    ensembles: tuple[bool, ...], latest: int, successor: int | None
) -> None:
    versions = tuple(
        VersionView(number + 1, "ready", doubling_spec(), ensemble=graph_of(DIAMOND))
        if is_ensemble
        else VersionView(number + 1, "absent", doubling_spec())
        for number, is_ensemble in enumerate(ensembles)
    )
    models = catalogue(ModelView("m", versions))
    found = models.route(("m", 0))
    assert found is not None
    assert found.key.version == latest
    assert (found.successor.key.version if found.successor else None) == successor
    assert found.spec is not None
