"""KServe's model server with a custom predictor, V2 over REST, in one process."""

from __future__ import annotations

import fraud
from kserve import InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import get_predict_response


class Fraud(Model):
    def __init__(self) -> None:
        super().__init__("fraud")
        self._session = fraud.load()
        self.ready = True

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        scores = fraud.run(self._session, payload.inputs[0].as_numpy())
        return get_predict_response(payload, scores, self.name)


if __name__ == "__main__":
    ModelServer(
        http_port=fraud.PORT,
        enable_grpc=False,
        workers=1,
        enable_latency_logging=False,
        access_log_format=None,
    ).start([Fraud()])
