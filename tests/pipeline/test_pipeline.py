"""The pipeline with its instances, over fake links: from a snapshot to answers, cold and warm."""

from math import inf
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.control.messages import (
    Activate,
    FromFront,
    ModelView,
    Snapshot,
    Suspect,
    VersionState,
    VersionView,
)
from gateway.core.ensemble import EnsembleGraph
from gateway.core.errors import GatewayError, InvalidInput, ModelNotFound, Reason
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.model import BatchPolicy, ModelKey, ModelSpec, QueuePolicy
from gateway.core.records import RequestRecord
from gateway.pipeline.catalogue import Catalogue
from gateway.pipeline.instances import Instances
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.service import InferenceService, ModelDescription
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue import ModelQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.telemetry.executions import Executions
from tests.fakes.ensembles import graph_of
from tests.fakes.links import FakeLink
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.specs import CountedLease, KeptStream, doubling_spec, row_request

KEY = ModelKey("double", 1)


class World:
    """A front without sockets or processes; the test is the controller and the workers."""

    def __init__(self, **settings: float) -> None:
        self.clock = FakeClock()
        self.loop = FakeLoop(self.clock)
        self.settings = SchedulingSettings(**settings)  # type: ignore[arg-type]
        self.told: list[FromFront] = []
        self.records: list[RequestRecord] = []
        self.catalogue = Catalogue(self.settings.max_cold_waiters, self.settings.cold_wait_s)
        self.instances = Instances(self.catalogue, self.make_queue, self.clock, self.told.append)
        self.asked: list[tuple[str, tuple[ModelKey, ...]]] = []
        self.pipeline = Pipeline(
            self.catalogue,
            self.settings,
            self.clock,
            self.records.append,
            self.told.append,
            lambda model, keys, counted: self.asked.append((model, keys)),
        )
        self.steps = 0
        self.got: list[InferResponse | GatewayError] = []

    def make_queue(self, spec: ModelSpec, events: Instances) -> ModelQueue:
        executions = Executions(spec.name, spec.version, self.clock)
        return ModelQueue(spec, self.settings, self.loop, self.clock, PoisonList(1.0), events, executions)

    def world(
        self,
        *states: VersionState,
        spec: bool = True,
        reason: str = "",
        broken: str = "",
        policy: BatchPolicy | None = None,
    ) -> None:
        self.steps += 1
        versions = tuple(
            VersionView(
                number + 1,
                state,
                doubling_spec(version=number + 1, policy=policy) if spec else None,
                reason,
                retry_in_s=5.0,
            )
            for number, state in enumerate(states)
        )
        self.instances.apply(Snapshot(self.steps, (ModelView("double", versions, broken),)))

    def anew(self, state: VersionState, width: int) -> None:
        """The controller loads the model's only version as one with another signature."""
        self.steps += 1
        view = VersionView(1, state, doubling_spec(width=width))
        self.instances.apply(Snapshot(self.steps, (ModelView("double", (view,)),)))

    def attach(self, worker: int = 1, version: int = 1) -> FakeLink:
        key = ModelKey("double", version)
        queue = self.instances.queue_for(key)
        assert queue is not None
        link = FakeLink(worker, queue)
        self.instances.attach(key, link)
        self.loop.turn()
        return link

    def ask(self, value: float = 1.0, request: InferRequest | None = None) -> None:
        self.pipeline.infer(request or row_request(value), self.got.append)
        self.loop.turn()

    def reasons(self) -> list[str]:
        return ["OK" if record.reason is None else record.reason.value for record in self.records]


def test_it_is_the_service_the_frontends_need() -> None:
    service: InferenceService = World().pipeline
    assert service.is_live()


def test_a_warm_request_is_answered_and_recorded() -> None:
    world = World()
    world.world("ready")
    link = world.attach()
    world.ask(2.0)
    world.clock.now += 0.25
    link.double()
    (answer,) = world.got
    assert isinstance(answer, InferResponse)
    assert np.frombuffer(answer.outputs[0].data, "<f4")[0] == 4.0
    (record,) = world.records
    assert record == RequestRecord("double", 1, "rest", None, 0.25, 0.0, record.compute_s, 1, 1, False)
    assert record.compute_s == pytest.approx(5e-6)
    assert world.told == []


def test_the_first_request_wakes_its_model_once_and_all_who_wait_go_on() -> None:
    world = World()
    world.world("absent", spec=False)
    for value in range(5):
        world.ask(float(value))
    assert world.told == [Activate(KEY, 30.0)]
    world.world("ready")
    link = world.attach()
    assert [batch.rows for batch in link.sent] == [5]
    link.double()
    assert len(world.got) == 5
    assert all(record.is_cold for record in world.records)


def test_a_failed_load_is_told_to_all_and_remembered_until_its_time_is_over() -> None:
    world = World()
    world.world("absent")
    world.ask()
    world.ask()
    world.world("failed", reason="corrupt")
    world.ask()
    assert world.reasons() == ["MODEL_UNAVAILABLE"] * 3
    assert all("corrupt" in str(error) and error.retry_after_s for error in world.got)  # type: ignore[union-attr]
    assert len(world.told) == 1
    world.clock.now += 5.0
    world.ask()
    assert len(world.told) == 2, "the next call after that tries again"


def test_a_cancelled_waiter_does_not_stop_the_load() -> None:
    world = World()
    world.world("absent")
    lease = CountedLease()
    ticket = world.pipeline.infer(row_request(1.0, lease=lease), world.got.append)
    assert ticket is not None
    ticket.cancel()
    assert lease.holds == 0
    world.ask(2.0)
    world.world("ready")
    link = world.attach()
    assert [batch.rows for batch in link.sent] == [1]
    assert world.reasons() == ["CANCELLED"]


@pytest.mark.parametrize(
    ("wait", "deadline", "reason"), [(0.5, inf, "MODEL_LOADING"), (30.0, 0.5, "DEADLINE_EXCEEDED")]
)
def test_waiting_for_a_load_ends(wait: float, deadline: float, reason: str) -> None:
    world = World(cold_wait_s=wait)
    world.world("absent")
    world.ask(request=row_request(1.0, deadline=world.clock.now + deadline))
    world.clock.now += 0.6
    world.pipeline.sweep(world.clock.now)
    assert world.reasons() == [reason]
    assert world.pipeline.is_idle


def test_too_many_waiters_are_turned_away() -> None:
    world = World(max_cold_waiters=2)
    world.world("absent")
    for _ in range(3):
        world.ask()
    assert world.reasons() == ["OVERLOADED"]


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("nope", 0, "Request for unknown model: 'nope' is not found"),
        ("double", 9, "Request for unknown model: 'double' version 9 is not found"),
    ],
)
def test_unknown_names_are_said_to_be_and_make_no_label(name: str, version: int, words: str) -> None:
    world = World()
    world.world("ready")
    world.ask(request=InferRequest(name, version, ()))
    (error,) = world.got
    assert isinstance(error, ModelNotFound)
    assert str(error) == words
    assert (world.records[0].model, world.records[0].version) == ("", 0)


def test_before_the_repository_was_read_nobody_knows_what_is_unknown() -> None:
    world = World()
    world.ask(request=InferRequest("double", 0, ()))
    assert world.reasons() == ["OVERLOADED"]
    assert str(world.got[0]) == "the repository has not been read yet"
    world.world("ready")
    world.ask(request=InferRequest("nope", 0, ()))
    assert world.reasons()[1:] == ["NOT_FOUND"]


def test_a_model_that_lost_all_its_versions_and_a_broken_one_are_told_apart() -> None:
    world = World()
    world.world()
    world.ask()
    assert "has no available versions" in str(world.got[0])
    world.world(broken="config.pbtxt: bad")
    world.ask()
    assert world.reasons()[1] == "MODEL_UNAVAILABLE"
    assert not world.pipeline.is_model_ready("double", 0)


def test_the_newer_version_takes_over_once_it_is_there() -> None:
    world = World()
    world.world("ready", "absent")
    old = world.attach(1, version=1)
    world.ask()
    assert world.told == [Activate(ModelKey("double", 2), 30.0)]
    assert len(old.sent) == 1
    world.world("ready", "ready")
    new = world.attach(2, version=2)
    world.ask()
    assert len(new.sent) == 1
    world.ask(request=InferRequest("double", 1, row_request(1.0).inputs))
    assert len(old.sent) == 2, "the old one still answers whoever names it"


def test_a_dead_worker_s_requests_run_again_on_its_successor() -> None:
    world = World()
    world.world("ready")
    link = world.attach(1)
    world.ask(3.0)
    link.die()
    world.ask(4.0)
    assert world.told == [Activate(KEY, 30.0)]
    successor = world.attach(2)
    while successor.sent:
        successor.double()
        world.loop.turn()
    assert world.reasons() == ["OK", "OK"]


def test_what_a_dead_worker_had_fails_when_its_model_cannot_come_back() -> None:
    world = World()
    world.world("ready")
    link = world.attach(1)
    world.ask(3.0)
    link.die()
    world.loop.turn()
    world.world("failed", reason="crash loop")
    assert world.reasons() == ["MODEL_UNAVAILABLE"]


def test_a_detached_instance_answers_and_is_reported() -> None:
    world = World()
    world.world("ready")
    link = world.attach(1)
    world.ask()
    world.instances.detach(1)
    assert not link.is_closed
    link.double()
    assert link.is_closed
    world.instances.detach(99)
    assert [type(message).__name__ for message in world.told] == ["Detached", "Detached"]


def test_suspects_are_reported() -> None:
    world = World()
    world.world("ready")
    world.attach(1)
    world.instances.on_suspect(1, "wrong shape")
    assert world.told == [Suspect(1, "wrong shape")]


def test_a_version_that_is_gone_fails_its_waiters() -> None:
    world = World()
    world.world("absent")
    world.ask()
    world.instances.apply(Snapshot(9, (), ("double",)))
    assert world.reasons() == ["NOT_FOUND"]


def test_bad_input_is_refused_warm_and_cold() -> None:
    world = World()
    world.world("absent")
    world.ask(request=row_request(1.0, width=3))
    world.world("ready")
    world.attach()
    world.ask(request=row_request(1.0, width=3))
    assert world.reasons() == ["INVALID_INPUT"] * 2
    assert isinstance(world.got[0], InvalidInput)


def test_describing_needs_a_load_only_where_nobody_knows_the_signature() -> None:
    world = World()
    told: list[ModelDescription | GatewayError] = []
    world.world("absent", spec=False)
    world.pipeline.describe("double", 0, told.append)
    assert told == []
    assert world.told == [Activate(KEY, 30.0)]
    world.world("ready")
    world.attach()
    world.pipeline.describe("double", 1, told.append)
    world.pipeline.describe("nope", 0, told.append)
    assert [one.versions for one in told[:2] if isinstance(one, ModelDescription)] == [(1,), (1,)]
    assert isinstance(told[2], ModelNotFound)


def test_what_a_label_names_answers_and_what_it_does_not_is_said() -> None:
    world = World()
    spec = doubling_spec()
    view = VersionView(1, "ready", spec, config=b"\x0a\x06double")
    labels = {"stable": 1, "canary": 3}
    world.instances.apply(Snapshot(1, (ModelView("double", (view,), labels=labels),)))
    link = world.attach()
    world.ask(request=row_request(2.0, version="stable"))
    link.double()
    (answer,) = world.got
    assert isinstance(answer, InferResponse)
    assert answer.version == 1
    for label, text in (("canary", "version 3, which label 'canary' names"), ("none", "has no label 'none'")):
        world.ask(request=row_request(2.0, version=label))
        error = world.got.pop()
        assert isinstance(error, ModelNotFound)
        assert text in error.text
    assert [(record.model, record.version) for record in world.records] == [("double", 1), ("", 0), ("", 0)]
    told: list[ModelDescription | GatewayError] = []
    world.pipeline.describe("double", "stable", told.append)
    assert told == [ModelDescription(spec, (1,), b"\x0a\x06double")]
    assert world.pipeline.is_model_ready("double", "stable")


def test_a_label_of_a_model_that_cannot_be_served_at_all() -> None:
    world = World()
    world.world(broken="a typing error")
    world.ask(request=row_request(2.0, version="stable"))
    assert world.reasons() == ["MODEL_UNAVAILABLE"]
    assert world.records[0].version == 0


def test_ready_means_callable_loaded_or_not() -> None:
    world = World()
    assert not world.pipeline.is_ready()
    world.world("absent", "failed")
    assert world.pipeline.is_ready()
    assert world.pipeline.is_model_ready("double", 1)
    assert not world.pipeline.is_model_ready("double", 2)
    with pytest.raises(ModelNotFound):
        world.pipeline.is_model_ready("nope", 0)
    world.pipeline.drain()
    assert not world.pipeline.is_ready()
    assert not world.pipeline.is_model_ready("double", 1)


def test_a_model_whose_only_instance_is_in_trouble_is_not_ready_and_is_asked_all_the_same() -> None:
    world = World()
    world.world("ready")
    link = world.attach()
    link.queue.on_state(link, "its upstream is down")
    assert not world.pipeline.is_model_ready("double", 0)
    world.ask()
    assert len(link.sent) == 1  # what it says to a request is better than what it said last
    link.queue.on_state(link, "")
    assert world.pipeline.is_model_ready("double", 0)


def test_a_request_that_was_not_understood_leaves_a_record() -> None:
    world = World()
    world.pipeline.refused("grpc", InvalidInput("garbage"))
    (record,) = world.records
    assert (record.protocol, record.reason) == ("grpc", Reason.INVALID_INPUT)


REJECTING = BatchPolicy(queue_policy=QueuePolicy("reject", 1.0, allow_timeout_override=True))


@pytest.mark.parametrize(
    ("policy", "reason"), [(None, "DEADLINE_EXCEEDED"), (REJECTING, "QUEUE_TIMEOUT")], ids=["none", "one"]
)
def test_a_timeout_is_a_deadline_or_the_policys(policy: BatchPolicy | None, reason: str) -> None:
    world = World()
    world.world("ready", policy=policy)
    world.attach()
    world.ask(1.0)
    world.ask(2.0)
    world.ask(request=row_request(3.0, timeout_at=world.clock.now + 0.5))
    world.clock.now += 0.6
    world.pipeline.sweep(world.clock.now)
    assert world.reasons() == [reason]


@pytest.mark.parametrize(("policy", "reasons"), [(None, ["DEADLINE_EXCEEDED"]), (REJECTING, ["OK"])])
def test_the_time_to_load_is_not_the_queues(policy: BatchPolicy | None, reasons: list[str]) -> None:
    world = World()
    world.world("absent", policy=policy)
    world.ask(request=row_request(3.0, timeout_at=world.clock.now + 0.5))
    world.clock.now += 0.6
    world.pipeline.sweep(world.clock.now)
    world.world("ready", policy=policy)
    link = world.attach()
    if link.sent:
        link.double()
    assert world.reasons() == reasons


# ---- ensembles ------------------------------------------------------------------------------------

TWICE = graph_of([("double", {"x": "x"}, {"y": "t"}), ("double", {"x": "t"}, {"y": "y"})])


def with_ensemble(
    world: World, state: VersionState = "absent", *, spec: bool = True, graph: EnsembleGraph = TWICE
) -> None:
    """`double`, and `twice`, an ensemble of it."""
    world.world(state, spec=spec)
    whole = msgspec.structs.replace(doubling_spec(max_batch_size=4), name="twice", platform="ensemble")
    view = VersionView(1, "ready", whole, ensemble=graph)
    world.steps += 1
    world.instances.apply(Snapshot(world.steps, (ModelView("twice", (view,)),)))


def to_twice(value: float, **more: Any) -> InferRequest:
    return row_request(value, **more, model="twice")


def settle(world: World, link: FakeLink) -> None:
    """Answers until nothing is asked any more."""
    world.loop.turn()
    while link.sent:
        link.double()
        world.loop.turn()


@pytest.mark.parametrize("spec", [True, False])
def test_an_ensemble_wakes_its_parts_and_leaves_a_record_like_any_model(*, spec: bool) -> None:
    world = World()
    with_ensemble(world, spec=spec)
    world.ask(request=to_twice(1.0))
    assert world.told == [Activate(KEY, 30.0)]
    world.world("ready")
    settle(world, world.attach())
    (answer,) = world.got
    assert isinstance(answer, InferResponse)
    assert (answer.model, answer.version) == ("twice", 1)
    assert np.frombuffer(answer.outputs[0].data, "<f4")[0] == 4.0
    assert [(record.model, record.protocol, record.reason) for record in world.records] == [
        ("double", "ensemble", None),
        ("double", "ensemble", None),
        ("twice", "rest", None),
    ]
    assert world.records[-1].is_cold
    assert (world.records[-1].rows, world.records[-1].batch_rows) == (1, 1)
    world.pipeline.sweep(world.clock.now)
    assert world.pipeline.is_idle


def test_steps_and_other_callers_share_a_batch() -> None:
    world = World()
    with_ensemble(world, "ready")
    link = world.attach()
    world.pipeline.infer(to_twice(1.0), world.got.append)
    world.pipeline.infer(to_twice(2.0, rows=2), world.got.append)
    world.pipeline.infer(row_request(3.0), world.got.append)
    world.loop.turn()
    assert [batch.rows for batch in link.sent] == [4]
    settle(world, link)
    assert world.reasons() == ["OK"] * 7
    firsts = [np.frombuffer(one.outputs[0].data, "<f4")[0] for one in world.got]  # type: ignore[union-attr]
    assert sorted(firsts) == [4.0, 6.0, 8.0]


def test_a_step_runs_again_when_its_worker_dies() -> None:
    world = World()
    with_ensemble(world, "ready")
    first = world.attach(1)
    world.ask(request=to_twice(1.0))
    first.double()
    world.loop.turn()
    first.die()
    settle(world, world.attach(2))
    assert world.reasons()[-1] == "OK"


def test_the_deadline_of_an_ensemble_is_that_of_its_steps() -> None:
    world = World()
    with_ensemble(world, "ready")
    world.attach()
    lease = CountedLease()
    world.ask(request=to_twice(1.0, deadline=world.clock.now + 0.5, lease=lease))
    world.clock.now += 0.6
    world.pipeline.sweep(world.clock.now)
    assert world.reasons() == ["DEADLINE_EXCEEDED"] * 2
    assert "step 0 (model 'double') of ensemble 'twice'" in str(world.got[0])


def test_the_deadline_holds_while_a_part_s_signature_is_waited_for() -> None:
    world = World()
    with_ensemble(world, spec=False)
    world.ask(request=to_twice(1.0, deadline=world.clock.now + 0.5))
    world.clock.now += 0.6
    world.pipeline.sweep(world.clock.now)
    assert world.reasons() == ["DEADLINE_EXCEEDED"]
    assert world.pipeline.is_idle


def test_a_cancelled_ensemble_gives_its_place_and_its_memory_back() -> None:
    world = World()
    with_ensemble(world, "absent")
    lease = CountedLease()
    ticket = world.pipeline.infer(to_twice(1.0, lease=lease), world.got.append)
    assert ticket is not None
    assert lease.holds == 2
    ticket.cancel()
    assert lease.holds == 0
    assert world.reasons() == ["CANCELLED"] * 2


def test_an_ensemble_that_fails_at_once_has_no_ticket() -> None:
    world = World()
    with_ensemble(world, "failed")
    lease = CountedLease()
    assert world.pipeline.infer(to_twice(1.0, lease=lease), world.got.append) is None
    assert lease.holds == 0
    assert world.reasons() == ["MODEL_UNAVAILABLE"] * 2
    assert world.records[-1].model == "twice"


def test_an_ensemble_is_described_without_its_parts_and_ready_with_them() -> None:
    world = World()
    with_ensemble(world, "absent", spec=False)
    told: list[ModelDescription | GatewayError] = []
    world.pipeline.describe("twice", 0, told.append)
    (description,) = told
    assert isinstance(description, ModelDescription)
    assert description.spec.platform == "ensemble"
    assert world.told == []
    assert world.pipeline.is_model_ready("twice", 0)
    world.world("failed")
    assert not world.pipeline.is_model_ready("twice", 0)
    world.instances.apply(Snapshot(9, (), ("double",)))
    assert not world.pipeline.is_model_ready("twice", 0)
    world.ask(request=to_twice(1.0))
    assert world.reasons()[-1] == "MODEL_UNAVAILABLE", "and not NOT_FOUND: it is the ensemble that is asked"


def test_an_ensemble_that_is_written_anew_is_run_as_it_is_now() -> None:
    world = World()
    with_ensemble(world, "ready")
    link = world.attach()
    once = graph_of([("double", {"x": "x"}, {"y": "y"})])
    for graph, expected in ((TWICE, 4.0), (once, 2.0)):
        with_ensemble(world, "ready", graph=graph)
        world.ask(request=to_twice(1.0))
        settle(world, link)
        answer = world.got.pop()
        assert isinstance(answer, InferResponse)
        assert np.frombuffer(answer.outputs[0].data, "<f4")[0] == expected


def test_an_ensemble_of_an_ensemble() -> None:
    world = World()
    with_ensemble(world, "ready")
    whole = msgspec.structs.replace(doubling_spec(max_batch_size=4), name="eight")
    nested = graph_of([("twice", {"x": "x"}, {"y": "t"}), ("double", {"x": "t"}, {"y": "y"})])
    view = VersionView(1, "ready", whole, ensemble=nested)
    world.instances.apply(Snapshot(7, (ModelView("eight", (view,)),)))
    link = world.attach()
    assert world.pipeline.is_model_ready("eight", 0)
    world.ask(request=row_request(1.0, model="eight"))
    settle(world, link)
    (answer,) = world.got
    assert isinstance(answer, InferResponse)
    assert np.frombuffer(answer.outputs[0].data, "<f4")[0] == 8.0
    assert [record.model for record in world.records] == ["double", "double", "twice", "double", "eight"]
    world.ask(request=row_request(1.0, width=3, model="eight"))
    assert world.reasons()[-1] == "INVALID_INPUT"


# ---- streams ------------------------------------------------------------------------------------


def test_a_stream_of_any_model_is_answered_and_leaves_one_record() -> None:
    world = World()
    world.world("absent")
    sink = KeptStream()
    assert world.pipeline.stream(row_request(2.0), sink) is not None
    world.world("ready")
    link = world.attach()
    world.loop.turn()
    link.double()
    assert (sink.values, sink.ends) == ([4.0], [None])
    (record,) = world.records
    assert (record.reason, record.is_cold) == (None, True)


def test_a_stream_is_refused_as_an_inference_is() -> None:
    world = World()
    sinks = [KeptStream(), KeptStream()]
    unknown = row_request(1.0, model="nobody")
    world.world("ready")
    world.attach()
    assert world.pipeline.stream(unknown, sinks[0]) is None
    assert world.pipeline.stream(row_request(1.0, width=3), sinks[1]) is None
    reasons = [end.reason for sink in sinks for end in sink.ends if end is not None]
    assert reasons == [Reason.NOT_FOUND, Reason.INVALID_INPUT] == [one.reason for one in world.records]


# ---- unloaded, and loaded anew -----------------------------------------------------------------------


def test_the_last_instance_takes_what_waits_before_it_is_detached() -> None:
    world = World(batches_in_flight=1)
    world.world("ready")
    link = world.attach(1)
    for value in range(3):
        world.ask(float(value), row_request(float(value), rows=8))
    world.world()
    world.instances.detach(1)
    assert world.instances.is_leaving
    world.ask()
    assert world.reasons() == ["NOT_FOUND"]
    for _ in range(3):
        link.double()
        world.loop.turn()
        world.instances.sweep()
    assert world.reasons() == ["NOT_FOUND", "OK", "OK", "OK"]
    assert link.is_closed
    assert not world.instances.is_leaving
    assert [type(message).__name__ for message in world.told] == ["Detached"]


def test_what_waits_for_a_version_that_is_gone_fails_with_its_last_worker() -> None:
    world = World(batches_in_flight=1)
    world.world("ready")
    link = world.attach(1)
    for value in range(2):
        world.ask(request=row_request(float(value), rows=8))
    world.world()
    world.instances.detach(1)
    link.die()
    assert world.reasons() == ["NOT_FOUND", "NOT_FOUND"]
    assert str(world.got[0]) == "Request for unknown model: 'double' has no available versions"
    assert not world.instances.is_leaving


def test_who_waits_while_a_model_is_unloaded_is_told_what_later_callers_are() -> None:
    world = World()
    world.world("absent")
    world.ask()
    world.world()
    world.ask()
    assert {str(error) for error in world.got} == {
        "Request for unknown model: 'double' has no available versions"
    }


def test_a_model_loaded_anew_with_another_signature_is_called_by_that() -> None:
    world = World()
    world.world("ready")
    old = world.attach(1)
    world.ask()
    world.anew("loading", width=3)
    world.instances.detach(1)
    world.ask(request=row_request(1.0, width=3))
    assert world.reasons() == [], "it waits for the next load"
    old.double()
    world.anew("ready", width=3)
    new = world.attach(2)
    assert [batch.rows for batch in new.sent] == [1]
    new.double()
    world.ask(request=row_request(1.0, width=2))
    assert world.reasons() == ["OK", "OK", "INVALID_INPUT"]


def test_what_an_old_worker_leaves_undone_is_not_run_by_another_model() -> None:
    world = World()
    world.world("ready")
    old = world.attach(1)
    world.ask()
    world.anew("ready", width=3)
    new = world.attach(2)
    old.die()
    world.loop.turn()
    assert world.reasons() == ["MODEL_LOADING"]
    assert not new.sent
    world.ask(request=row_request(1.0, width=3))
    assert len(new.sent) == 1


@pytest.mark.parametrize(
    ("model", "version", "keys"),
    [("", 0, (1, 2)), ("double", 0, (1, 2)), ("double", 1, (1,)), ("double", "canary", (2,))],
)
def test_statistics_are_asked_of_the_versions_that_are_served(
    model: str, version: int | str, keys: tuple[int, ...]
) -> None:
    world = World()
    view = ModelView("double", (VersionView(1, "ready"), VersionView(2, "failed")), labels={"canary": 2})
    world.instances.apply(Snapshot(1, (view,)))
    world.pipeline.statistics(model, version, lambda _: None)
    assert world.asked == [(model, tuple(ModelKey("double", key) for key in keys))]


@pytest.mark.parametrize(("model", "version"), [("none", 0), ("double", 9), ("double", "canary")])
def test_statistics_of_what_is_not_there_are_refused(model: str, version: int | str) -> None:
    world = World()
    world.world("ready")
    told: list[object] = []
    assert world.pipeline.statistics(model, version, told.append) is None
    assert [str(error).startswith("Request for unknown model: ") for error in told] == [True]
    assert world.asked == []
