"""Ray Serve: a deployment that goes to zero replicas when nobody calls it, and comes back at a call."""

from __future__ import annotations

import signal

import fraud
import numpy as np
import ray
from ray import serve
from starlette.requests import Request

SCALING = {
    "min_replicas": 0,
    "max_replicas": 1,
    "downscale_delay_s": 0.5,
    "downscale_to_zero_delay_s": 0.5,
    "upscale_delay_s": 0.0,
    "metrics_interval_s": 0.1,
    "look_back_period_s": 0.5,
}


@serve.deployment(autoscaling_config=SCALING, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0})
class Fraud:
    def __init__(self) -> None:
        self._session = fraud.load()

    async def __call__(self, request: Request) -> dict:
        body = await request.json()
        return {"score": fraud.run(self._session, np.array(body["data"], np.float32)).tolist()}


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Replicas:
    """How many there are: so that nobody is measured who has not gone yet."""

    async def __call__(self, request: Request) -> dict:
        told = serve.status().applications["fraud"].deployments["Fraud"]
        return {"replicas": sum(told.replica_states.values())}


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, logging_level="warning", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": fraud.PORT})
    serve.run(Replicas.bind(), name="replicas", route_prefix="/replicas")
    serve.run(Fraud.bind(), name="fraud", route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
