from __future__ import annotations

import pytest

from gateway.frontends.extensions import in_order


def test_groups_are_told_in_one_order():
    assert in_order(("statistics", "classification"), ("model_repository",), ("statistics",)) == (
        "classification",
        "model_repository",
        "statistics",
    )


def test_a_name_that_nobody_knows_is_an_error():
    with pytest.raises(ValueError, match="not in tuple"):
        in_order(("telepathy",))
