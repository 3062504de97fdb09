"""Gives back the BYTES it gets: the smallest model in Python."""

from gateway.model import Array, Model


class IdentityBytes(Model):
    """INPUT0 is OUTPUT0."""

    def infer(self, inputs: dict[str, Array]) -> dict[str, Array]:
        return {"OUTPUT0": inputs["INPUT0"]}
