"""Ray Serve: one replica with @serve.batch behind its HTTP proxy."""

from __future__ import annotations

import signal

import fraud
import numpy as np
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0})
class Fraud:
    def __init__(self) -> None:
        self._session = fraud.load()

    @serve.batch(max_batch_size=fraud.MAX_BATCH, batch_wait_timeout_s=fraud.MAX_DELAY_S)
    async def score(self, rows: list[np.ndarray]) -> list[list[float]]:
        return fraud.run(self._session, np.stack(rows)).tolist()

    async def __call__(self, request: Request) -> dict:
        body = await request.json()
        return {"score": [await self.score(np.array(body["data"][0], np.float32))]}


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, logging_level="warning", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": fraud.PORT})
    serve.run(Fraud.bind(), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
