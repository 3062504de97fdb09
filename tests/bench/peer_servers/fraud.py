"""The fraud model in ONNX Runtime on one thread: what every peer's server file below serves.

These files run in the peers' own environments, with this folder on sys.path; FRAUD_ONNX and PORT come
from the harness.
"""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort

PORT = int(os.environ["PORT"])
MAX_BATCH = 64
MAX_DELAY_S = 0.002


def load() -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(os.environ["FRAUD_ONNX"], options, providers=["CPUExecutionProvider"])


def run(session: ort.InferenceSession, rows: np.ndarray) -> np.ndarray:
    """[n, 30] FP32 to [n, 1] FP32."""
    (scores,) = session.run(["score"], {"features": rows})
    return scores
