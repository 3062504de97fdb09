"""For those who write plugins: a whole front in one process, with a clock that stands until it is moved.

    from gateway.testing import Bench

    async def test_it_refuses_strangers():
        async with Bench(MyPlugin(settings, start())) as bench:
            answer = await bench.infer("echo", {"x": [[1.0]]}, headers={"x-key": "wrong"})
            assert answer.code == "UNAUTHENTICATED"

bench     the front: guard, protocols, policies, pipeline and queue are the real ones, the model is a function
exchange  how it is asked without sockets, over REST and gRPC | models: functions as models
clock     the time
"""

from __future__ import annotations

from gateway.testing.bench import Bench
from gateway.testing.clock import ManualClock, start
from gateway.testing.exchange import Answer
from gateway.testing.models import Function

__all__ = ["Answer", "Bench", "Function", "ManualClock", "start"]
