"""When an answer is in doubt, and whom to ask then."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gateway.core.caller import matches
from gateway.core.dtypes import NUMPY, DType
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor
from gateway.hooks.values import Target
from gateway_plugins.routing.settings import CascadeSettings

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


class Cascades:
    """`counts` are the answers that another model was asked for, by the model that had given them."""

    def __init__(self, settings: Sequence[CascadeSettings]) -> None:
        self._settings = settings
        self._unfit: set[str] = set()  # models of which it was said that they do not tell how sure they are
        self.counts: Counter[str] = Counter()

    def take(self, settings: Sequence[CascadeSettings]) -> None:
        """Takes over others, whole."""
        self._settings = settings
        self._unfit.clear()

    def decide(self, response: InferResponse) -> Target | None:
        """Whom to ask in place of this answer; None where it is good enough, or says nothing of that."""
        model = response.model
        for one in self._settings:
            if any(matches(pattern, model) for pattern in one.models):
                target = Target(one.then.model, one.then.version)
                if target.model == model or not self._is_in_doubt(one, response):
                    return None
                if model in self.counts or len(self.counts) < _MAX_COUNTED:
                    self.counts[model] += 1
                return target
        return None

    def _is_in_doubt(self, one: CascadeSettings, response: InferResponse) -> bool:
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
