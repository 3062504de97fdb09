"""Ensembles over fake parts: what runs when, what is held, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.ensemble import EnsembleGraph
from gateway.core.errors import (
    GatewayError,
    InvalidInput,
    ModelFailed,
    ModelLoading,
    ModelNotFound,
    ModelUnavailable,
    Overloaded,
    Reason,
    Unsupported,
)
from gateway.core.messages import Done, InferRequest, InferResponse, RequestedOutput
from gateway.core.model import ModelKey, ModelSpec
from gateway.core.tensor import Tensor
from gateway.core.tensor_spec import TensorSpec
from gateway.pipeline.cold import Waiting
from gateway.pipeline.ensemble import Ensemble
from gateway.pipeline.ensemble_plan import make_plan
from gateway.pipeline.ensemble_run import together
from gateway.scheduling.pending import Pending
from tests.fakes.ensembles import DIAMOND, Row, fp32, graph_of, model_spec
from tests.fakes.loop import FakeClock
from tests.fakes.specs import CountedLease


class Asked:
    """One request of a step: its answer is the test's to give."""

    def __init__(self, pending: Pending) -> None:
        self.pending = pending
        self.request = pending.request
        self.lease: CountedLease | None = None

    @property
    def values(self) -> list[float]:
        """The sum of each input."""
        return [float(np.frombuffer(one.data, "<f4").sum()) for one in self.request.inputs]

    def answer(self, *outputs: Tensor) -> None:
        """With these, in memory that must be given back."""
        self.lease = CountedLease()
        name, version = self.request.model, int(self.request.version) or 1
        self.pending.answer(InferResponse(name, version, outputs, lease=self.lease))


class FakeParts:
    """Models that the test plays: `asked` are the requests under way or over, in order."""

    def __init__(self, *specs: ModelSpec, unknown: Sequence[ModelSpec] = ()) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.unknown = {spec.name: spec for spec in unknown}
        self.graphs: dict[str, EnsembleGraph] = {}
        self.waiting: dict[str, list[tuple[Waiting, Callable[[], None]]]] = {}
        self.refusing: dict[str, GatewayError] = {}
        self.not_ready: set[str] = set()
        self.asked: list[Asked] = []
        self.ends: list[tuple[str, Reason | None]] = []

    def infer(self, request: InferRequest, done: Done) -> Pending | None:
        pending = Pending(request, done, self._closed, 0.0, request.deadline)
        if request.model in self.refusing:
            pending.fail(self.refusing[request.model])
            return None
        self.asked.append(Asked(pending))
        return pending

    def _closed(self, pending: Pending, error: GatewayError | None) -> None:
        self.ends.append((pending.request.model, None if error is None else error.reason))

    def spec_of(self, model: str, version: int) -> ModelSpec | None:
        return self.specs.get(model)

    def graph_of(self, model: str, version: int) -> EnsembleGraph | None:
        return self.graphs.get(model)

    def wait_for_part(self, model: str, version: int, waiter: Waiting, go_on: Callable[[], None]) -> None:
        if model not in self.unknown:
            raise ModelNotFound(f"no '{model}'")
        self.waiting.setdefault(model, []).append((waiter, go_on))

    def is_model_ready(self, model: str, version: int | str) -> bool:
        if model not in self.specs:
            raise ModelNotFound(f"no '{model}'")
        return model not in self.not_ready

    def load(self, model: str) -> None:
        """The model is there: whoever waits for it goes on."""
        self.specs[model] = self.unknown[model]
        for waiter, go_on in self.waiting.pop(model):
            if waiter.is_open:
                go_on()

    @property
    def open(self) -> list[Asked]:
        return [one for one in self.asked if one.pending.is_open]


DOUBLE = model_spec("double", fp32("x"), fp32("y"))
ADD = model_spec("add", fp32("a", "b"), fp32("sum"))
WHOLE = model_spec("e", fp32("in"), fp32("out"))


def tensor(name: str, *values: float, shape: tuple[int, ...] = ()) -> Tensor:
    return Tensor(name, DType.FP32, shape or (len(values),), np.array(values, "<f4").tobytes())


class World:
    """One ensemble and whoever asks it."""

    def __init__(self, parts: FakeParts, rows: Sequence[Row] = DIAMOND, spec: ModelSpec = WHOLE) -> None:
        self.parts = parts
        self.clock = FakeClock()
        self.ensemble = Ensemble(spec, graph_of(rows), parts, self.clock)
        self.got: list[InferResponse | GatewayError] = []
        self.closed: list[Reason | None] = []
        self.leases: list[CountedLease] = []

    @property
    def lease(self) -> CountedLease:
        """That of the last request."""
        return self.leases[-1]

    def ask(self, *inputs: Tensor, outputs: Sequence[str] = (), deadline: float = 1e9) -> Pending:
        self.leases.append(CountedLease())
        request = InferRequest(
            "e",
            0,
            inputs or (tensor("in", 1, 2),),
            "the id",
            tuple(RequestedOutput(name) for name in outputs),
            {"colour": "red"},
            deadline,
            "rest",
            self.lease,
        )
        pending = Pending(request, self.got.append, self._closed, self.clock.now, deadline)
        try:
            self.ensemble.add(pending)
        except GatewayError as error:
            pending.fail(error)
        return pending

    def _closed(self, pending: Pending, error: GatewayError | None) -> None:
        self.closed.append(None if error is None else error.reason)

    def check_over(self) -> None:
        """Nothing is under way, and nothing is held but by an answer that came."""
        assert not self.parts.open
        for answer in self.got:
            if isinstance(answer, InferResponse) and answer.lease is not None:
                answer.lease.release()
        assert [lease.holds for lease in self.leases] == [0] * len(self.leases)
        assert all(one.lease is None or one.lease.holds == 0 for one in self.parts.asked)


def diamond() -> World:
    return World(FakeParts(DOUBLE, ADD))


# ---- the plan -------------------------------------------------------------------------------------


def test_a_plan_is_what_must_run_and_who_waits_for_whom() -> None:
    plan = make_plan(WHOLE, graph_of(DIAMOND), ["out"], {0: DOUBLE, 1: DOUBLE, 2: ADD})
    assert [(step.model, step.outputs, step.tensors) for step in plan.steps] == [
        ("double", (), {"y": "left"}),
        ("double", (), {"y": "right"}),
        ("add", (), {"sum": "out"}),
    ]
    assert plan.steps[2].inputs == (("a", "left", 1), ("b", "right", 1))
    assert plan.waits == (0, 0, 2)
    assert plan.readers == {"left": (2,), "right": (2,), "out": ()}
    assert plan.uses == {"left": 1, "right": 1, "out": 1}


# ---- the way through ------------------------------------------------------------------------------


def test_steps_that_do_not_need_each_other_are_under_way_together() -> None:
    world = diamond()
    pending = world.ask()
    left, right = world.parts.open
    assert left.request.inputs == (tensor("x", 1, 2),)
    left.answer(tensor("y", 2, 4))
    assert world.parts.open == [right], "the adder waits for both"
    right.answer(tensor("y", 3, 5))
    (add,) = world.parts.open
    assert add.request.inputs == (tensor("a", 2, 4), tensor("b", 3, 5))
    world.clock.now += 0.25
    add.answer(tensor("sum", 5, 9))
    (answer,) = world.got
    assert isinstance(answer, InferResponse)
    assert (answer.model, answer.version, answer.id) == ("e", 1, "the id")
    assert answer.outputs == (tensor("out", 5, 9),)
    assert (pending.timings_ns[1], pending.plan.rows, pending.is_cold) == (250_000_000, 1, False)
    assert world.closed == [None]
    world.check_over()


def test_a_step_is_asked_as_by_any_caller() -> None:
    world = diamond()
    world.ask(deadline=77.0)
    request = world.parts.asked[0].request
    assert (request.model, request.version, request.protocol) == ("double", 0, "ensemble")
    assert (request.deadline, request.parameters, request.id) == (77.0, {"colour": "red"}, "the id")
    assert request.outputs == (), "all outputs: so it may share a batch with whoever names none"


def test_data_is_passed_on_and_not_copied() -> None:
    world = World(
        FakeParts(DOUBLE), [("double", {"x": "in"}, {"y": "t"}), ("double", {"x": "t"}, {"y": "out"})]
    )
    given = tensor("in", 1, 2)
    world.ask(given)
    assert world.parts.asked[0].request.inputs[0].data is given.data
    made = tensor("y", 2, 4)
    world.parts.asked[0].answer(made)
    assert world.parts.asked[1].request.inputs[0].data is made.data


def test_memory_is_given_back_when_the_last_reader_has_it() -> None:
    rows = [
        ("double", {"x": "in"}, {"y": "t"}),
        ("double", {"x": "t"}, {"y": "u"}),
        ("double", {"x": "u"}, {"y": "out"}),
    ]
    world = World(FakeParts(DOUBLE), rows)
    world.ask()
    first = world.parts.asked[0]
    assert world.lease.holds == 2, "the caller's request, and the step's"
    first.answer(tensor("y", 2, 4))
    assert first.lease is not None
    assert first.lease.holds == 1, "the second step's"
    world.parts.asked[1].answer(tensor("y", 4, 8))
    assert first.lease.holds == 0
    world.parts.asked[2].answer(tensor("y", 8, 16))
    world.check_over()


def test_a_tensor_that_is_read_and_answered_lives_as_long_as_the_answer() -> None:
    spec = model_spec("e", fp32("in"), fp32("out", "t"))
    rows = [("double", {"x": "in"}, {"y": "t"}), ("double", {"x": "t"}, {"y": "out"})]
    world = World(FakeParts(DOUBLE), rows, spec)
    world.ask()
    world.parts.asked[0].answer(tensor("y", 2, 4))
    world.parts.asked[1].answer(tensor("y", 4, 8))
    (answer,) = world.got
    assert isinstance(answer, InferResponse)
    assert answer.outputs == (tensor("out", 4, 8), tensor("t", 2, 4))
    assert [one.lease.holds for one in world.parts.asked if one.lease] == [1, 1]
    assert answer.lease is not None
    answer.lease.hold()
    answer.lease.release()
    world.check_over()


def test_only_what_is_asked_for_is_run_and_only_what_is_needed_asked_for() -> None:
    pair = model_spec("pair", fp32("x"), fp32("p", "q", "r"))
    spec = model_spec("e", fp32("in"), fp32("out", "other"))
    rows = [
        ("pair", {"x": "in"}, {"r": "t", "p": "other"}),
        ("double", {"x": "t"}, {"y": "out"}),
    ]
    world = World(FakeParts(DOUBLE, pair), rows, spec)
    world.ask(outputs=["other"])
    assert [output.name for output in world.parts.asked[0].request.outputs] == ["p"]
    world.parts.asked[0].answer(tensor("p", 7, 7))
    (answer,) = world.got
    assert isinstance(answer, InferResponse)
    assert answer.outputs == (tensor("other", 7, 7),)
    assert len(world.parts.asked) == 1
    world.check_over()
    world.ask(outputs=["out", "other"])
    assert [output.name for output in world.parts.asked[1].request.outputs] == ["p", "r"]
    world.parts.asked[1].answer(tensor("p", 7, 7), tensor("r", 8, 8))
    world.parts.asked[2].answer(tensor("y", 9, 9))
    answer = world.got[1]
    assert isinstance(answer, InferResponse)
    assert answer.outputs == (tensor("out", 9, 9), tensor("other", 7, 7))


def test_the_batch_axis_is_put_on_and_taken_off() -> None:
    batching = model_spec("batching", fp32("x"), fp32("y"), rows=8)
    rows = [
        ("batching", {"x": "in"}, {"y": "t"}),
        ("double", {"x": "t"}, {"y": "u"}),
        ("batching", {"x": "u"}, {"y": "out"}),
    ]
    world = World(FakeParts(DOUBLE, batching), rows)
    world.ask()
    assert world.parts.asked[0].request.inputs[0].shape == (1, 2)
    world.parts.asked[0].answer(tensor("y", 1, 2, shape=(1, 2)))
    assert world.parts.asked[1].request.inputs[0].shape == (2,)
    world.parts.asked[1].answer(tensor("y", 1, 2))
    world.parts.asked[2].answer(tensor("y", 1, 2, shape=(1, 2)))
    (answer,) = world.got
    assert isinstance(answer, InferResponse)
    assert answer.outputs[0].shape == (2,)


def test_rows_travel_together() -> None:
    batching = model_spec("double", fp32("x"), fp32("y"), rows=8)
    world = World(
        FakeParts(batching),
        [("double", {"x": "in"}, {"y": "out"})],
        model_spec("e", fp32("in"), fp32("out"), 4),
    )
    pending = world.ask(tensor("in", 1, 2, 3, 4, 5, 6, shape=(3, 2)))
    assert pending.plan.rows == pending.batch_rows == 3
    world.parts.asked[0].answer(tensor("y", 1, 2, 3, 4, 5, 6, shape=(3, 2)))
    (answer,) = world.got
    assert isinstance(answer, InferResponse)
    assert answer.outputs[0].shape == (3, 2)


def test_what_does_not_fit_the_ensemble_is_refused_in_its_own_words() -> None:
    world = diamond()
    world.ask(tensor("in", 1, 2, 3))
    world.ask(outputs=["left"])
    assert world.closed == [Reason.INVALID_INPUT] * 2
    assert "unexpected shape for input 'in' for model 'e'" in str(world.got[0])
    assert not world.parts.asked


# ---- how it ends otherwise ------------------------------------------------------------------------


def test_the_first_failure_ends_the_others_and_names_its_step() -> None:
    world = diamond()
    world.ask()
    left, right = world.parts.open
    right.pending.fail(Overloaded("Exceeds maximum queue size", retry_after_s=3.0))
    (error,) = world.got
    assert isinstance(error, Overloaded)
    assert error.text == "step 1 (model 'double') of ensemble 'e': Exceeds maximum queue size"
    assert error.retry_after_s == 3.0
    assert world.parts.ends == [("double", Reason.OVERLOADED), ("double", Reason.CANCELLED)]
    left.answer(tensor("y", 1, 2))
    world.check_over()


def test_a_failure_in_the_middle_gives_back_what_was_made() -> None:
    world = diamond()
    world.ask()
    for one in world.parts.open:
        one.answer(tensor("y", 2, 4))
    world.parts.open[0].pending.fail(ModelFailed("raised"))
    assert world.closed == [Reason.MODEL_FAILED]
    world.check_over()


def test_a_step_that_is_refused_at_once_keeps_the_next_from_starting() -> None:
    world = diamond()
    world.parts.refusing["double"] = InvalidInput("no such thing")
    world.ask()
    assert world.parts.asked == []
    assert len(world.parts.ends) == 1
    assert world.closed == [Reason.INVALID_INPUT]
    world.check_over()


def test_a_part_that_is_gone_is_not_the_caller_s_mistake() -> None:
    world = diamond()
    world.parts.refusing["double"] = ModelNotFound("Request for unknown model: 'double' is not found")
    world.ask()
    (error,) = world.got
    assert isinstance(error, ModelUnavailable)
    assert "step 0 (model 'double') of ensemble 'e': Request for unknown model" in error.text
    assert error.retry_after_s


def test_when_the_caller_goes_all_steps_are_given_up() -> None:
    world = diamond()
    pending = world.ask()
    left, right = world.parts.open
    left.answer(tensor("y", 1, 2))
    pending.cancel()
    assert world.closed == [Reason.CANCELLED]
    assert world.parts.ends == [("double", None), ("double", Reason.CANCELLED)]
    right.answer(tensor("y", 1, 2))
    assert world.got == []
    world.check_over()


def test_a_step_in_a_worker_keeps_its_memory_until_the_worker_is_through() -> None:
    world = diamond()
    pending = world.ask()
    running = world.parts.open
    for one in running:
        one.pending.in_batch = True
    pending.cancel()
    assert world.lease.holds == 2
    for one in running:
        one.pending.leave_batch()
    world.check_over()


def test_an_output_that_breaks_the_promise_is_the_models_fault() -> None:
    free = model_spec("double", fp32("x"), fp32("y", dims=(-1,)))
    world = World(FakeParts(free), [("double", {"x": "in"}, {"y": "out"})])
    world.ask()
    world.parts.asked[0].answer(tensor("y", 1, 2, 3))
    (error,) = world.got
    assert isinstance(error, ModelFailed)
    assert error.text == "output 'out' of ensemble 'e' has shape [3], its dims are [2]"
    world.check_over()


# ---- parts that are not known yet -----------------------------------------------------------------


def cold() -> World:
    return World(FakeParts(unknown=(DOUBLE, ADD)))


def test_unknown_parts_load_at_the_same_time_and_then_it_runs() -> None:
    world = cold()
    pending = world.ask()
    assert sorted(world.parts.waiting) == ["add", "double"]
    world.parts.load("add")
    assert not world.parts.asked
    world.parts.load("double")
    assert len(world.parts.open) == 2
    assert pending.is_cold


def test_a_part_that_cannot_be_loaded_fails_it_once() -> None:
    world = cold()
    world.ask(deadline=5.0)
    ((waiter, _),) = world.parts.waiting["add"]
    assert waiter.deadline == 5.0
    waiter.fail(ModelUnavailable("model 'add' cannot be loaded: corrupt", retry_after_s=5.0))
    assert not waiter.is_open
    world.parts.load("double")
    (error,) = world.got
    assert str(error) == "step 2 (model 'add') of ensemble 'e': model 'add' cannot be loaded: corrupt"
    assert not world.parts.asked
    world.check_over()


def test_a_part_that_is_not_there_is_named() -> None:
    world = World(FakeParts(DOUBLE))
    world.ask()
    assert str(world.got[0]) == "step 2 (model 'add') of ensemble 'e': no 'add'"
    assert world.closed == [Reason.MODEL_UNAVAILABLE]


def test_whoever_gives_up_waiting_starts_nothing() -> None:
    world = cold()
    world.ask().cancel()
    world.parts.load("add")
    world.parts.load("double")
    assert not world.parts.asked
    world.check_over()


def test_waiting_that_ends_in_too_long_a_wait() -> None:
    world = cold()
    world.ask()
    world.parts.waiting["double"][0][0].fail(ModelLoading("the model is still loading"))
    assert world.closed == [Reason.MODEL_LOADING]


INTEGERS = model_spec("add", (TensorSpec("a", DType.INT32, (2,)), *fp32("b")), fp32("sum"))


def test_parts_that_turn_out_not_to_fit_fail_it_with_the_reason() -> None:
    world = World(FakeParts(unknown=(DOUBLE, INTEGERS)))
    assert world.parts.specs == {}
    world.ask()
    world.parts.load("double")
    world.parts.load("add")
    (error,) = world.got
    assert isinstance(error, ModelUnavailable)
    assert error.text == (
        "ensemble 'e' cannot be served: tensor 'left' is FP32 [2] as output 'y' of step 0 (model 'double'), "
        "and INT32 [2] as input 'a' of step 2 (model 'add')"
    )
    assert not world.ensemble.is_ready()


def test_a_part_that_changes_is_looked_at_again() -> None:
    world = diamond()
    world.ask()
    world.parts.specs["add"] = INTEGERS
    world.ask()
    assert world.closed == [Reason.MODEL_UNAVAILABLE]
    wide = model_spec("add", fp32("b", "a"), fp32("more", "sum"))
    world.parts.specs["add"] = wide
    world.ask()
    for one in world.parts.open:
        one.answer(tensor("y", 1, 1))
    assert [output.name for output in world.parts.asked[-1].request.outputs] == ["sum"]


def test_ready_means_that_every_part_could_be_called() -> None:
    world = diamond()
    assert world.ensemble.is_ready()
    world.parts.not_ready.add("add")
    assert not world.ensemble.is_ready()
    del world.parts.specs["add"]
    assert not world.ensemble.is_ready()


def test_a_circle_that_appeared_since_is_refused_before_it_turns() -> None:
    world = diamond()
    world.parts.graphs["add"] = graph_of([("inner", {"x": "x"}, {"y": "y"})])
    world.parts.graphs["inner"] = graph_of([("e", {"x": "x"}, {"y": "y"})])
    world.ask()
    assert str(world.got[0]).endswith("the ensembles form a circle: 'e' calls 'add' calls 'inner' calls 'e'")
    assert not world.ensemble.is_ready()
    world.parts.graphs.clear()
    assert world.ensemble.is_ready()


def ask_in_chain(*chain: ModelKey) -> tuple[World, list[InferResponse | GatewayError]]:
    """The diamond, asked by a model that waits, with its first two steps answered."""
    world, got = diamond(), []
    request = InferRequest("e", 0, (tensor("in", 1, 2),), chain=chain)
    world.ensemble.add(Pending(request, got.append, world._closed, world.clock.now, 1e9))
    for asked in world.parts.open:
        assert asked.request.chain == chain
        asked.answer(tensor("y", 2, 4))
    return world, got


def test_a_step_that_waits_for_this_very_answer_is_refused() -> None:
    world, got = ask_in_chain(ModelKey("other", 1), ModelKey("add", 1))
    (error,) = got
    assert isinstance(error, Unsupported)
    assert error.text.endswith("within its own execution: other/1 calls add/1 calls add/1")
    world.check_over()


def test_another_version_of_it_may_be_a_step() -> None:
    world, got = ask_in_chain(ModelKey("add", 2))
    world.parts.open[0].answer(tensor("sum", 6, 6))
    assert isinstance(got[0], InferResponse)


def test_the_plans_that_callers_can_make_are_bounded() -> None:
    names = [f"o{n}" for n in range(7)]
    many = model_spec("many", fp32("x"), fp32(*names))
    spec = model_spec("e", fp32("in"), fp32(*names))
    world = World(FakeParts(many), [("many", {"x": "in"}, {name: name for name in names})], spec)
    for bits in range(1, 128):
        wanted = [name for place, name in enumerate(names) if bits >> place & 1]
        world.ask(outputs=wanted).cancel()
        assert len(world.ensemble._plans) <= 64


def test_several_leases_are_one() -> None:
    one, other = CountedLease(), CountedLease()
    both = together([one, None, other])
    assert both is not None
    both.hold()
    assert (one.holds, other.holds) == (2, 2)
    both.release()
    assert together([None]) is None
    assert together([one]) is one


# ---- any graph ------------------------------------------------------------------------------------


class Dag:
    """A drawn graph: step n reads some of the tensors before it, and makes one or two."""

    def __init__(
        self, reads: Sequence[Sequence[int]], doubles: Sequence[bool], wanted: Sequence[int]
    ) -> None:
        self.rows: list[Row] = []
        self.specs: dict[str, ModelSpec] = {}
        self.tensors = ["in"]
        for index, (sources, has_two) in enumerate(zip(reads, doubles, strict=True)):
            taken = {f"x{place}": self.tensors[one % len(self.tensors)] for place, one in enumerate(sources)}
            made = {f"y{place}": f"t{index}{place}" for place in range(1 + has_two)}
            name = f"m{index}"
            self.rows.append((name, taken, made))
            self.specs[name] = model_spec(name, fp32(*taken, dims=(1,)), fp32(*made, dims=(1,)))
            self.tensors += made.values()
        made_by_steps = self.tensors[1:]
        self.wanted = list(dict.fromkeys(made_by_steps[one % len(made_by_steps)] for one in wanted))

    @staticmethod
    def run(index: int, values: Sequence[float], output: int) -> float:
        """What model `index` makes of its inputs: small whole numbers, so that floats are exact."""
        return float((sum((place + 2) * one for place, one in enumerate(values)) + index + output) % 97)

    def evaluate(self, value: float) -> Mapping[str, float]:
        """All tensors, one step after the other."""
        values = {"in": value}
        for index, (_, taken, made) in enumerate(self.rows):
            given = [values[tensor] for tensor in taken.values()]
            for output, tensor in enumerate(made.values()):
                values[tensor] = self.run(index, given, output)
        return values


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 30), min_size=1, max_size=3), st.booleans()), min_size=1, max_size=9
    ),
    st.lists(st.integers(0, 30), min_size=1, max_size=3),
    st.integers(0, 96),
    st.randoms(use_true_random=False),
    st.none() | st.integers(0, 8),
)
def test_any_graph_in_any_order_of_answers(
    steps: list[tuple[list[int], bool]], wanted: list[int], value: int, random: Random, failing: int | None
) -> None:
    dag = Dag([reads for reads, _ in steps], [two for _, two in steps], wanted)
    spec = model_spec("e", fp32("in", dims=(1,)), fp32(*dag.tensors[1:], dims=(1,)))
    world = World(FakeParts(*dag.specs.values()), dag.rows, spec)
    world.ask(tensor("in", value), outputs=dag.wanted)
    answered = 0
    while world.parts.open:
        one = random.choice(world.parts.open)
        if answered == failing:
            one.pending.fail(ModelFailed("drawn"))
            break
        index = int(one.request.model[1:])
        names = [output.name for output in one.request.outputs or dag.specs[one.request.model].outputs]
        given = [float(np.frombuffer(each.data, "<f4")[0]) for each in one.request.inputs]
        one.answer(*[tensor(name, dag.run(index, given, int(name[1:]))) for name in names])
        answered += 1
    (answer,) = world.got
    if isinstance(answer, InferResponse):
        expected = dag.evaluate(value)
        assert answer.outputs == tuple(tensor(name, expected[name]) for name in dag.wanted)
    else:
        assert isinstance(answer, ModelFailed)
        assert answered == failing
    assert len(world.parts.asked) == len({one.request.model for one in world.parts.asked}), "each step once"
    world.check_over()


# ---- optional inputs ------------------------------------------------------------------------------


def test_an_optional_input_that_is_left_out_is_left_out_of_the_steps() -> None:
    scale = TensorSpec("s", DType.FP32, (1,), is_optional=True)
    part = model_spec("scaled", (*fp32("x"), scale), fp32("y"))
    whole = model_spec("e", (*fp32("in"), msgspec.structs.replace(scale, name="scale")), fp32("out"))
    rows: list[Row] = [
        ("scaled", {"x": "in", "s": "scale"}, {"y": "t"}),
        ("scaled", {"x": "t", "s": "scale"}, {"y": "out"}),
    ]
    world = World(FakeParts(part), rows, whole)
    for scales in ((), (tensor("scale", 3),)):
        world.ask(tensor("in", 1, 2), *scales)
        for _ in rows:
            (asked,) = world.parts.open
            assert [one.name for one in asked.request.inputs] == ["x", *("s" for _ in scales)]
            asked.answer(tensor("y", 1, 2))
    assert [one for one in world.got if isinstance(one, GatewayError)] == []
    world.check_over()
