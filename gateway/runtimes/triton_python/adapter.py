"""Runs a TritonPythonModel: its configuration completed, batches as requests, responses as arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.model import ModelSpec
from gateway.core.placement import Place
from gateway.core.sequence import FAULT, STEP, SequenceId
from gateway.runtimes.answers import Answers
from gateway.runtimes.contract import Array, BadInput, LoadError, ModelFailed
from gateway.runtimes.sequence_signature import with_sequence
from gateway.runtimes.triton_python.model_config import ModelConfig, completed, config_of
from gateway.runtimes.triton_python.requests import InferenceRequest
from gateway.runtimes.triton_python.responses import InferenceResponse, TritonError
from gateway.runtimes.triton_python.sender import ResponseSender
from gateway.runtimes.triton_python.sequences import Answer, joined, rows_of
from gateway.runtimes.triton_python.tensors import Tensor

CLASS_NAME = "TritonPythonModel"
_ANYWHERE = Place()


def complete(
    kind: type[Any], spec: ModelSpec, parameters: Mapping[str, str], file: str, *, max_batch_known: bool
) -> ModelSpec:
    """`spec` with what the class's auto_complete_config adds; raises LoadError, or what the class raises."""
    if not hasattr(kind, "auto_complete_config"):
        return spec
    given = kind.auto_complete_config(ModelConfig(config_of(spec, parameters, file)))
    if not isinstance(given, ModelConfig):
        raise LoadError(f"auto_complete_config returned {type(given).__name__}, not the configuration")
    return completed(spec, given.as_dict(), max_batch_known=max_batch_known)


def arguments(
    spec: ModelSpec, parameters: Mapping[str, str], path: Path, file: str, place: Place = _ANYWHERE
) -> dict[str, str]:
    """What `initialize` is told."""
    config = config_of(spec, parameters, file)
    if place.kind == "gpu":
        config["instance_group"][0] |= {"kind": "KIND_GPU", "gpus": [place.device]}
    return {
        "model_config": json.dumps(config),
        "model_instance_kind": "GPU" if place.kind == "gpu" else "CPU",
        "model_instance_name": f"{spec.name}_0",
        "model_instance_device_id": str(place.device if place.kind == "gpu" else 0),
        "model_repository": str(path.parent),
        "model_version": str(spec.version),
        "model_name": spec.name,
    }


class TritonModel:
    """Implements python.Body; `settle` waits for what `execute` returns where that is a coroutine."""

    def __init__(self, model: Any, spec: ModelSpec, settle: Callable[[Any], Any]) -> None:
        self._model = model
        self._spec = spec
        self._settle = settle

    def run(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> Mapping[str, Array]:
        """See python.Body. Requests of sequences are told apart: a model keeps what it likes by their ids."""
        if STEP.name not in inputs:
            (response,) = _counted(self._settle(self._model.execute([self._request(inputs, wanted)])), 1)
            return _outputs(response)
        names = [name for name in wanted if name != FAULT.name]
        requests = [
            self._request(row.inputs, names, identity=row.identity, flags=row.flags)
            for row in rows_of(inputs)
        ]
        responses = _counted(self._settle(self._model.execute(requests)), len(requests))
        return joined([_answer_of(response) for response in responses], with_sequence(self._spec))

    def stream(self, inputs: Mapping[str, Array], wanted: Sequence[str], answers: Answers) -> None:
        """See python.Body. Other threads of the model may go on answering when `execute` has returned."""
        sender = ResponseSender(answers)
        returned = self._settle(self._model.execute([self._request(inputs, wanted, sender)]))
        if returned is not None:
            raise ModelFailed(
                "execute of a decoupled model must return None: it answers by a response sender"
            )
        del sender  # the model's own now, if it has taken it
        answers.wait_until_finished()

    def _request(
        self,
        inputs: Mapping[str, Array],
        wanted: Sequence[str],
        sender: ResponseSender | None = None,
        identity: SequenceId = 0,
        flags: int = 0,
    ) -> InferenceRequest:
        # Files written for Triton may change their inputs or keep them; ours are the channel's memory.
        tensors = [
            Tensor(name, array if array.dtype.hasobject else np.array(array))
            for name, array in inputs.items()
        ]
        return InferenceRequest(
            correlation_id=identity,
            inputs=tensors,
            requested_output_names=wanted,
            model_name=self._spec.name,
            model_version=self._spec.version,
            response_sender=sender,
            flags=flags,
        )

    @property
    def can_sleep(self) -> bool:
        """See python.Body. Ours, and not Triton's: a file that has them runs there all the same."""
        return hasattr(self._model, "sleep")

    def sleep(self) -> None:
        """See python.Body."""
        self._settle(self._model.sleep())

    def wake(self) -> None:
        """See python.Body."""
        self._settle(self._model.wake())

    def close(self) -> None:
        """See python.Body."""
        if hasattr(self._model, "finalize"):
            self._model.finalize()


def _counted(responses: Any, count: int) -> Sequence[Any]:
    """`responses`; raises ModelFailed where they are not as many as the requests."""
    if not isinstance(responses, list | tuple) or len(responses) != count:
        given = len(responses) if isinstance(responses, list | tuple) else type(responses).__name__
        raise ModelFailed(
            f"execute must return one response for each of {count} requests, it returned {given}"
        )
    return responses


def _answer_of(response: Any) -> Answer:
    """The outputs of one response among several, or why it has none."""
    try:
        return _outputs(response)
    except (BadInput, ModelFailed) as error:
        return error


def _outputs(response: Any) -> Mapping[str, Array]:
    """The outputs of a response; raises ModelFailed, BadInput where it says so."""
    if not isinstance(response, InferenceResponse):
        raise ModelFailed(f"execute returned {type(response).__name__}, not an InferenceResponse")
    error = response.error()
    if error is not None:
        kind = BadInput if error.code() == TritonError.INVALID_ARG else ModelFailed
        raise kind(error.message())
    return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
