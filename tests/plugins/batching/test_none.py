from gateway.core.batching import Formed, Observed, Policy, Queued
from gateway_plugins.batching.none import form_batches

ONE, TWO, THREE = (Queued(number, float(number)) for number in range(3))


def test_each_goes_alone_to_an_idle_instance() -> None:
    policy = Policy(8, max_delay_s=9.0)
    assert form_batches(5.0, [ONE, TWO, THREE], policy, Observed(2, 2)) == Formed(((ONE,), (TWO,)))
    assert form_batches(5.0, [ONE], policy, Observed(2, 2)) == Formed(((ONE,),))
    assert form_batches(5.0, [ONE], policy, Observed(0, 2)) == Formed()
