"""LitServe with its dynamic batching: an HTTP process and a model process."""

from __future__ import annotations

import fraud
import litserve as ls
import numpy as np


class Fraud(ls.LitAPI):
    def setup(self, device: str) -> None:
        self._session = fraud.load()

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array(request["data"][0], np.float32)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return fraud.run(self._session, rows)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict:
        return {"score": [output.tolist()]}


if __name__ == "__main__":
    api = Fraud(max_batch_size=fraud.MAX_BATCH, batch_timeout=fraud.MAX_DELAY_S)
    server = ls.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=fraud.PORT,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )
