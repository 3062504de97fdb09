"""The response sender of a decoupled file for Triton's Python backend."""

from __future__ import annotations

import threading

from gateway.runtimes.answers import Answers
from gateway.runtimes.contract import BadInput, ModelFailed, StreamEnded
from gateway.runtimes.triton_python.responses import InferenceResponse, TritonError, TritonModelException

RESPONSE_COMPLETE_FINAL = 1


class ResponseSender:
    """Answers one request, from any thread, during `execute` and after it.

    What nobody waits for any more is dropped in silence, as files expect; `is_cancelled` tells. An
    error is an answer like any other: what ends them is the final flag. A sender that is dropped
    unfinished ends them too: nobody could ever do it.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._is_closed = False

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """One answer, none with the final flag alone; waits while the reader is slow."""
        is_last = flags == RESPONSE_COMPLETE_FINAL
        if flags not in {0, RESPONSE_COMPLETE_FINAL}:
            raise TritonModelException(
                f"flags {flags} are neither 0 nor TRITONSERVER_RESPONSE_COMPLETE_FINAL"
            )
        if response is None and not is_last:
            raise TritonModelException("a response must be given where flags is 0")
        if response is not None and not isinstance(response, InferenceResponse):
            raise TypeError(f"response must be an InferenceResponse, not {type(response).__name__}")
        with self._lock:
            if self._is_closed:
                raise TritonModelException("Unable to send response. Response sender has been closed.")
            self._is_closed = is_last
        try:
            if response is not None:
                self._answer(response, is_last=is_last)
        except Exception as error:
            self._answers.finish(error)
            raise
        if is_last:
            self._answers.finish()

    def is_cancelled(self) -> bool:
        """True once nobody waits for answers to this request."""
        return self._answers.is_cancelled()

    def _answer(self, response: InferenceResponse, *, is_last: bool) -> None:
        error = response.error()
        try:
            if error is None:
                tensors = {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
                self._answers.send(tensors, is_last=is_last)
                return
            kind = BadInput if error.code() == TritonError.INVALID_ARG else ModelFailed
            if is_last:
                self._answers.finish(kind(error.message()))
            else:
                self._answers.fail(kind(error.message()))
        except StreamEnded:
            return

    def __del__(self) -> None:
        if not self._is_closed:
            self._answers.finish(ModelFailed("the model dropped its response sender, nothing was final"))
