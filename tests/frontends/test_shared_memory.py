from __future__ import annotations

from gateway.core.errors import Reason
from gateway.frontends.shared_memory import disabled


def test_it_begins_as_clients_know_it():
    assert disabled().text.startswith("Client shared memory is disabled.")
    assert disabled().reason is Reason.UNSUPPORTED
