from gateway.core.sequence import SequenceBatching
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue import ModelQueue
from gateway.scheduling.queues import make_queue
from gateway.scheduling.sequence_queue import SequenceQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.telemetry.executions import Executions
from tests.fakes.links import FakeEvents
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.specs import doubling_spec
from tests.fakes.turns import stateful_spec


def test_a_stateful_model_has_a_queue_of_its_own_kind() -> None:
    clock = FakeClock()
    for spec, kind in ((doubling_spec(), ModelQueue), (stateful_spec(SequenceBatching()), SequenceQueue)):
        surroundings = (SchedulingSettings(), FakeLoop(clock), clock, PoisonList(1.0), FakeEvents())
        assert type(make_queue(spec, *surroundings, Executions("m", 1, clock))) is kind
