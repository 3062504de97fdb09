from __future__ import annotations

import pytest

from gateway.core.environment import fault_of_path


@pytest.mark.parametrize(
    "told", ["torch-2", "a/b", "/srv/environments/torch", "$$TRITON_MODEL_DIRECTORY/env", "name.tars"]
)
def test_what_names_a_folder(told: str) -> None:
    assert fault_of_path(told) == ""


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ("/srv/env.tar.gz", "is an archive, and nothing is unpacked here"),
        ("$$TRITON_MODEL_DIRECTORY/ENV.TGZ", "is an archive"),
        ("env.zip", "is an archive"),
        ("", "must name a folder"),
        ("/", "must name a folder"),
        ("a\0b", "must name a folder"),
        ("$$TRITON_MODEL_DIRECTORY", "must go on with '/'"),
        ("$$TRITON_MODEL_DIRECTORYS/env", "must go on with '/'"),
    ],
)
def test_what_cannot_be_an_environment(told: str, fault: str) -> None:
    assert fault_of_path(told).startswith(fault)
