"""What a decoupled model's queue says no with."""

from __future__ import annotations

from gateway.core.errors import InstanceDied, Unsupported


def one_answer_only(protocol: str) -> Unsupported:
    """A decoupled model was asked for one answer; in Triton's words, which clients look for."""
    if protocol == "call":
        return Unsupported("the model is decoupled: a call of it must be one for several answers")
    what = "ModelInfer RPC" if protocol == "grpc" else "HTTP end point"
    return Unsupported(f"{what} doesn't support models with decoupled transaction policy")


def died_while_answering() -> InstanceDied:
    """A stream's worker is gone and some of its answers have left: they cannot be given again."""
    return InstanceDied("the model's process died after the first answers to this request")
