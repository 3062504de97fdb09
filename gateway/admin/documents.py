"""The bodies of the admin API, as its description has them: what is sent, and what is answered."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Refusal(_Document):
    """Why something was not done."""

    error: str
    code: str = Field(description="One word, stable: what a program can tell refusals apart by.")


class File(_Document):
    """A file of a version."""

    name: str
    size_bytes: int


class Version(_Document):
    """A version as it lies in the repository."""

    model: str
    version: str
    files: list[File]


class VersionState(_Document):
    """A version as it is served."""

    version: int
    state: str = Field(description="As the model repository extension has it: READY, LOADING, UNAVAILABLE …")
    phase: str = Field(description="absent, fetching, placing, loading, warming, ready, draining, …")
    reason: str
    ready: int = Field(description="Instances that serve.")
    wanted: int = Field(description="Instances there are to be; 0 while nobody wants any.")
    in_flight: int = Field(description="Requests that wait or run.")
    unused_s: float | None = Field(description="Seconds since the last request; null where none is known.")
    memory_bytes: dict[str, int] = Field(description="What its instances have, by device.")


class ModelState(_Document):
    """A model as it is served."""

    name: str
    labels: dict[str, int]
    versions: list[VersionState]
    reason: str


class Models(_Document):
    """All models."""

    models: list[ModelState]


class Labels(_Document):
    """The labels that were moved here; those of config.pbtxt stand below them."""

    labels: dict[str, int]


class LabelTarget(_Document):
    """Where a label is to lead."""

    version: int = Field(gt=0)


class Unload(_Document):
    """How a model is to be unloaded."""

    unload_dependents: bool = False


class PlannedFile(_Document):
    """A file to come."""

    name: str
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class UploadPlan(_Document):
    """What an upload is to become."""

    model: str
    version: int = Field(gt=0)
    files: list[PlannedFile]


class UploadedFile(_Document):
    """How far a file is."""

    name: str
    size_bytes: int
    offset: int


class Upload(_Document):
    """An upload under way."""

    id: str
    model: str
    version: int
    state: Literal["incomplete", "complete"]
    files: list[UploadedFile]


class Plugin(_Document):
    """A plugin in use."""

    name: str
    hooks: list[str] = Field(description="What it implements.")
    changeable: bool = Field(description="Whether its settings can be changed while it runs.")


class Plugins(_Document):
    """The plugins in use, in the order of their calls."""

    plugins: list[Plugin]
