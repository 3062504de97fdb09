"""How a model in Python names the prepared environment it runs in: by Triton's parameter."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

# Triton's parameter, and its word for the model's own folder.
PARAMETER = "EXECUTION_ENV_PATH"
MODEL_DIRECTORY = "$$TRITON_MODEL_DIRECTORY"
# The operator's folder of environments, which the gateway itself adds to the options of such a model.
FOLDER_OPTION = "gateway.environments"

# Modules that a zygote of their own imports once for all workers of such models.
PRELOAD = "gateway.preload"
MAX_MODULES = 16
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*){0,7}")

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


class Base(msgspec.Struct, frozen=True):
    """What workers of some models are forked from: an environment that was entered, modules imported there.

    `options` are those that name the environment; `model_folder` is "" where they do not need it.
    """

    modules: tuple[str, ...]
    options: Mapping[str, str] = {}
    model_folder: str = ""

    def encode(self) -> str:
        """As a seat has it: the same text for the same base."""
        return msgspec.json.encode(self, order="sorted").decode()


def parse_modules(told: str) -> tuple[str, ...]:
    """The modules of a value of PRELOAD; raises ValueError with what is wrong."""
    modules = tuple(one.strip() for one in told.split(","))
    if not all(len(one) <= 128 and _MODULE.fullmatch(one) for one in modules):
        raise ValueError("must be names of modules with commas between them")
    if len(modules) > MAX_MODULES:
        raise ValueError(f"names {len(modules)} modules, at most {MAX_MODULES} are taken")
    return modules


def base_of(options: Mapping[str, str], model_folder: str) -> str:
    """The base of a model with these options, "" for the one that all have."""
    if PRELOAD not in options:
        return ""
    told = {
        key: options[key] for key in (PARAMETER, FOLDER_OPTION) if key in options and PARAMETER in options
    }
    is_within = told.get(PARAMETER, "").startswith(MODEL_DIRECTORY)
    return Base(parse_modules(options[PRELOAD]), told, model_folder if is_within else "").encode()


def decode_base(told: str) -> Base:
    """What `Base.encode` has made."""
    return msgspec.json.decode(told, type=Base)
