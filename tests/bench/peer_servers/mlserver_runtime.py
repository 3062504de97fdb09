"""MLServer's custom runtime: ONNX Runtime on the batch its adaptive batching made."""

from __future__ import annotations

import fraud
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Fraud(MLModel):
    async def load(self) -> bool:
        self._session = fraud.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        scores = NumpyCodec.encode_output("score", fraud.run(self._session, rows))
        return InferenceResponse(model_name=self.name, outputs=[scores])
