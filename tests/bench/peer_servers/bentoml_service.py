"""A BentoML service with its adaptive batching, one worker."""

from __future__ import annotations

import bentoml
import fraud
import numpy as np


@bentoml.service(workers=1, traffic={"timeout": 30}, metrics={"enabled": False})
class Fraud:
    def __init__(self) -> None:
        self._session = fraud.load()

    @bentoml.api(batchable=True, max_batch_size=fraud.MAX_BATCH, max_latency_ms=1000)
    def predict(self, data: np.ndarray) -> np.ndarray:
        return fraud.run(self._session, np.asarray(data, np.float32))
