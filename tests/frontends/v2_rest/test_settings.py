from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.frontends.v2_rest.settings import RestSettings


@pytest.mark.parametrize("broken", [{"max_body_bytes": 0}, {"max_inflation": 1}, {"max_json_byte": 1}])
def test_what_is_out_of_range_or_unknown_is_refused(broken):
    with pytest.raises(ValidationError):
        RestSettings.model_validate(broken)


def test_the_json_part_is_smaller_than_the_body():
    assert RestSettings().max_json_bytes <= RestSettings().max_body_bytes
