import logging

import pytest

from gateway.core.batching import Formed, Observed, Policy, Queued, Strategies
from gateway.core.model import BatchPolicy, ModelSpec
from gateway.core.sequence import SequenceBatching
from gateway.scheduling.pending import Pending
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue import ModelQueue
from gateway.scheduling.queues import Queue, make_queue
from gateway.scheduling.sequence_queue import SequenceQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.telemetry.executions import Executions
from tests.fakes.links import FakeEvents, FakeLink
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.specs import doubling_spec, row_request
from tests.fakes.turns import stateful_spec


def made(spec: ModelSpec, strategies: dict[str, object] | None = None) -> tuple[Queue, FakeLoop]:
    clock = FakeClock()
    loop = FakeLoop(clock)
    surroundings = (SchedulingSettings(), loop, clock, PoisonList(1.0), FakeEvents())
    return make_queue(spec, *surroundings, Executions("m", 1, clock), Strategies(strategies or {})), loop


def test_a_stateful_model_has_a_queue_of_its_own_kind() -> None:
    for spec, kind in ((doubling_spec(), ModelQueue), (stateful_spec(SequenceBatching()), SequenceQueue)):
        assert type(made(spec)[0]) is kind


def test_a_model_that_names_a_strategy_has_its_batches_formed_by_it() -> None:
    asked: list[int] = []

    def never(now: float, queued: tuple[Queued, ...], policy: Policy, observed: Observed) -> Formed:
        asked.append(len(queued))
        return Formed()

    assert sent_by(made(doubling_spec(policy=BatchPolicy(strategy="never")), {"never": never})) == 0
    assert asked == [1]


def test_where_nobody_has_the_strategy_the_queue_forms_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert sent_by(made(doubling_spec(policy=BatchPolicy(strategy="gone")), {"none": len})) == 1
    assert "there is no batching strategy 'gone' (known: none)" in caplog.text


def sent_by(made: tuple[Queue, FakeLoop]) -> int:
    """How many batches a lone request makes."""
    queue, loop = made
    link = FakeLink(1, queue)
    queue.attach(link)
    queue.add(Pending(row_request(1.0), lambda answer: None, lambda pending, error: None, 1000.0, 2000.0))
    loop.turn()
    return len(link.sent)
