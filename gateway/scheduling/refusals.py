"""What a queue says no with."""

from __future__ import annotations

from gateway.core.errors import GatewayError, InstanceDied, InvalidInput, ModelFailed, Overloaded, Unsupported
from gateway.workers.frames import Failure


def error_of(failure: Failure, text: str) -> GatewayError:
    """Why a batch of one request has no outputs, as the caller is told."""
    match failure:
        case Failure.BAD_INPUT:
            return InvalidInput(text)
        case Failure.NO_MEMORY:
            return Overloaded(text, retry_after_s=1.0)
        case _:
            return ModelFailed(text)


def one_answer_only(protocol: str) -> Unsupported:
    """A decoupled model was asked for one answer; in Triton's words, which clients look for."""
    what = "ModelInfer RPC" if protocol == "grpc" else "HTTP end point"
    return Unsupported(f"{what} doesn't support models with decoupled transaction policy")


def died_while_answering() -> InstanceDied:
    """A stream's worker is gone and some of its answers have left: they cannot be given again."""
    return InstanceDied("the model's process died after the first answers to this request")
