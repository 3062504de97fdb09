"""How a model in Python names the prepared environment it runs in: by Triton's parameter."""

from __future__ import annotations

# Triton's parameter, and its word for the model's own folder.
PARAMETER = "EXECUTION_ENV_PATH"
MODEL_DIRECTORY = "$$TRITON_MODEL_DIRECTORY"
# The operator's folder of environments, which the gateway itself adds to the options of such a model.
FOLDER_OPTION = "gateway.environments"

_ARCHIVES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip")


def fault_of_path(told: str) -> str:
    """What is wrong with a value of the parameter before anybody looks at a disk; "" where nothing is."""
    if told.lower().endswith(_ARCHIVES):
        return "is an archive, and nothing is unpacked here: unpack it once and name the folder"
    if not told.strip("/") or not told.isprintable():
        return "must name a folder"
    if told.startswith(MODEL_DIRECTORY) and not told.removeprefix(MODEL_DIRECTORY).startswith("/"):
        return f"must go on with '/' after {MODEL_DIRECTORY}"
    return ""
