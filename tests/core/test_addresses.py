from __future__ import annotations

import pytest

from gateway.core.addresses import is_loopback


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("localhost", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True)),
        *(
            ("0.0.0.0", False),
            ("::", False),
            ("10.0.0.1", False),
            ("localhost.evil.test", False),
            ("", False),
        ),
    ],
)
def test_who_can_connect(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
