"""Extensions are told in the order that clients know."""

import pytest

from gateway.frontends.extensions import in_order


def test_in_tritons_order() -> None:
    told = in_order((
        "parameters",
        "model_repository(unload_dependents)",
        "classification",
        "model_repository",
    ))
    assert told == [
        "classification",
        "model_repository",
        "model_repository(unload_dependents)",
        "parameters",
    ]


def test_an_unknown_name_is_a_defect() -> None:
    with pytest.raises(ValueError, match="index"):
        in_order(("made_up",))
