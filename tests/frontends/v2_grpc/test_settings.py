from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.frontends.v2_grpc.settings import GrpcSettings


@pytest.mark.parametrize("broken", [{"max_message_bytes": 0}, {"max_inflation": 1}, {"compress": True}])
def test_what_is_out_of_range_or_unknown_is_refused(broken):
    with pytest.raises(ValidationError):
        GrpcSettings.model_validate(broken)


def test_answers_go_uncompressed_unless_asked():
    assert GrpcSettings().compress_responses is False
