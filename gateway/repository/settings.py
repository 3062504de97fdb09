"""Where the models are, and how often that is looked at."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class RepositorySettings(BaseModel):
    """[repository] The folders models come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paths: tuple[Path, ...] = Field(
        (Path("models"),),
        min_length=1,
        description="Folders in Triton's layout; a model's name may stand in one of them only.",
    )
    poll_s: float = Field(
        2.0, ge=0, le=86_400, description="Seconds between looks at the folders; 0 looks once, at the start."
    )
    default_max_batch_size: int = Field(
        64,
        ge=1,
        le=65_536,
        description="Most rows in a batch of a model that can batch and whose config.pbtxt does not say.",
    )
    environments: Path | None = Field(
        None,
        description="Folder of prepared virtual environments, which a model in Python names by its "
        "parameter EXECUTION_ENV_PATH.",
    )
