"""A small model first, a large one where its answer is in doubt.

DESIGN: apart from `routing`, for what it costs: where any plugin may doubt answers each request keeps its
inputs until that is decided, and `routing` with this in it served a third fewer requests.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.core.caller import matches
from gateway.core.dtypes import NUMPY, DType
from gateway.core.measures import Measure
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor
from gateway.hooks import Start, hookimpl
from gateway.hooks.values import Target
from gateway_plugins.targets import TargetSettings, first_fault

log = logging.getLogger("gateway.plugins")

Rows = npt.NDArray[np.floating]

# Models whose cascades are counted apart; all that are served, but in a strange repository.
_MAX_COUNTED = 500


def _margin(rows: Rows) -> Rows:
    if rows.shape[1] < 2:
        return rows[:, 0]
    ordered = np.sort(rows, axis=1)
    return ordered[:, -1] - ordered[:, -2]


# How sure a model is of each row.
MEASURES: Mapping[str, Callable[[Rows], Rows]] = {
    "max": lambda rows: rows.max(axis=1),
    "margin": _margin,
    "binary": lambda rows: np.maximum(rows, 1.0 - rows).min(axis=1),
}


class StepSettings(TargetSettings):
    """[[plugins.settings.cascade.steps]] The model is the other one; its inputs must have the same names."""

    models: tuple[str, ...] = Field(min_length=1, description="Patterns of the models that are asked first.")
    output: str = Field(description="Their output that tells how sure they are; numbers, a row for each row.")
    measure: Literal["max", "margin", "binary"] = Field(
        "max",
        description="Of a row: its largest element, that without the second, or how far one element (the "
        "probability of yes) is decided: the larger of p and 1 - p.",
    )
    at_least: float = Field(description="Below that for any row the other model is asked, for all rows.")


class CascadeSettings(BaseModel):
    """[plugins.settings.cascade]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: tuple[StepSettings, ...] = Field((), description="The first for the model that answered counts.")


class Cascade:
    """Asks a larger model where a smaller one is in doubt.

    `counts` are the answers that another model was asked for, by the model that had given them.
    """

    Settings = CascadeSettings

    def __init__(self, settings: CascadeSettings, start: Start) -> None:
        self._settings = settings
        self._unfit: set[str] = set()  # models of which it was said that they do not tell how sure they are
        self.counts: Counter[str] = Counter()

    @hookimpl
    def reconsider(self, response: InferResponse) -> Target | None:
        """Whom to ask in place of this answer; None where it is good enough, or says nothing of that."""
        model = response.model
        for one in self._settings.steps:
            if any(matches(pattern, model) for pattern in one.models):
                if one.model == model or not self._is_in_doubt(one, response):
                    return None
                if model in self.counts or len(self.counts) < _MAX_COUNTED:
                    self.counts[model] += 1
                return Target(one.model, one.version)
        return None

    @hookimpl
    def measures(self) -> tuple[Measure, ...]:
        """Answers that another model was asked for."""
        return tuple([
            Measure("passed_on", "counter", count, (("model", model),), "Answers that another was asked for.")
            for model, count in self.counts.items()
        ])

    # ---- live changes ----------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """The steps as they are now."""
        return self._settings.model_dump(mode="json")

    def tag(self) -> str:
        """Another one whenever the steps differ."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()[:32]

    def replace(self, document: Mapping[str, Any]) -> None:
        """Takes over whole new steps; raises ValueError and keeps the old ones where they fit nothing."""
        try:
            self._settings = CascadeSettings.model_validate(document)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None
        self._unfit.clear()

    def _is_in_doubt(self, one: StepSettings, response: InferResponse) -> bool:
        for tensor in response.outputs:
            if tensor.name == one.output:
                rows = _rows(tensor)
                if rows is not None:
                    sure = MEASURES[one.measure](rows)
                    return not bool((sure >= one.at_least).all())  # what is no number is no certainty
        if response.model not in self._unfit:
            self._unfit.add(response.model)
            log.warning("cascade: an answer of %s has no numbers in '%s'", response.model, one.output)
        return False


def _rows(tensor: Tensor) -> Rows | None:
    """Rows by elements; None for what has no numbers or no rows."""
    if tensor.dtype is DType.BYTES or tensor.dtype not in NUMPY or not tensor.shape or 0 in tensor.shape:
        return None
    values = np.frombuffer(tensor.data, NUMPY[tensor.dtype]).reshape(tensor.shape[0], -1)
    return values.astype(np.float64)
