"""The fake front under a real controller: takes the gateway's own configuration, asks for model "a"."""

from __future__ import annotations

import asyncio
import os

from tests.fakes import front_process
from tests.fakes.front_process import FakeFront


class GatewayFront(FakeFront):
    """Listens as the real one does: ports and modes stand in the gateway's configuration."""

    def listen(self, front: int, config: dict[str, object]) -> None:
        server = config["server"]
        assert isinstance(server, dict)
        super().listen(front, {"mode": "ok", "http_port": server["http_port"], "activate": ["a"]})


if __name__ == "__main__":
    front_process.FakeFront = GatewayFront  # type: ignore[misc]
    asyncio.run(front_process.main())
    os._exit(0)
