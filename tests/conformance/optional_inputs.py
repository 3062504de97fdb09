"""Rows of the table: inputs that a request may leave out, of every kind of model that can do without."""

from __future__ import annotations

import numpy as np

from tests.conformance.cases import Case, Failure, fp32, numbers
from tests.conformance.models import SCALED

_X, _SCALE = fp32(1, 2, 3), fp32(3, name="SCALE")
_TWICE, _THRICE = (numbers("Y", "FP32", np.array([[1, 2, 3]], "<f4") * by).raw for by in (2, 3))
_ROWS = numbers("X", "FP32", np.ones((2, 3), "<f4"))
_TWOS = np.full((2, 3), 2, "<f4").tobytes()
# Through shared memory.
_LARGE = fp32(*range(50_000))
_TWICE_LARGE = (np.arange(50_000, dtype="<f4") * 2).tobytes()

OPTIONAL = (
    *(Case(f"{model}: all inputs", model, (_X, _SCALE), answer={"Y": _THRICE}) for model in SCALED),
    *(Case(f"{model}: the optional one left out", model, (_X,), answer={"Y": _TWICE}) for model in SCALED),
    *(
        Case(f"{model}: rows without the optional one", model, (_ROWS,), answer={"Y": _TWOS})
        for model in SCALED
    ),
    *(
        Case(f"{model}: large, without the optional one", model, (_LARGE,), answer={"Y": _TWICE_LARGE})
        for model in SCALED
    ),
    *(
        Case(
            f"{model}: the needed one left out",
            model,
            (_SCALE,),
            failure=Failure(
                "INVALID_INPUT",
                f"expected between 1 and 2 inputs but got 1 inputs for model '{model}': input 'X' is missing",
            ),
        )
        for model in SCALED
    ),
    *(
        Case(
            f"{model}: an optional input of another shape",
            model,
            (_X, fp32(3, 4, name="SCALE")),
            failure=Failure("INVALID_INPUT", "unexpected shape for input 'SCALE'"),
        )
        for model in SCALED
    ),
    Case(
        "an optional input without a default",
        "undefaulted",
        (_X,),
        failure=Failure("MODEL_UNAVAILABLE", "input 'SCALE' is configured as optional, the model has no"),
    ),
)
