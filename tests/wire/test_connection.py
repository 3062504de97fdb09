from __future__ import annotations

import pytest

from gateway.wire.connection import Connection
from gateway.wire.http1 import Http1Connection
from gateway.wire.sniff import Sniffer
from gateway.wire.tracked import TrackedHttp2
from tests.fakes.http1 import Http1
from tests.fakes.services import EchoService

OBLIGATIONS = {name for name in vars(Connection) if not name.startswith("_")}


@pytest.mark.parametrize("kind", [Http1Connection, TrackedHttp2, Sniffer])
def test_each_kind_can_all_that_the_listener_asks(kind: type) -> None:
    assert len(OBLIGATIONS) >= 9
    assert all(hasattr(kind, name) for name in OBLIGATIONS)


def test_the_end_is_told_once() -> None:
    http = Http1(EchoService())
    http.connection.close()
    http.connection.sweep(http.now)
    assert http.lost == 1
