"""FastAPI and uvicorn, the model called in the handler: no protocol, no batching, no isolation."""

from __future__ import annotations

import fraud
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
session = fraud.load()


class Rows(BaseModel):
    data: list[list[float]]


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/predict")
async def predict(rows: Rows) -> dict[str, list[list[float]]]:
    return {"score": fraud.run(session, np.array(rows.data, np.float32)).tolist()}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=fraud.PORT, access_log=False, log_level="warning")
