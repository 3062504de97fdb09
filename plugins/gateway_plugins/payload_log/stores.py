"""Events as objects in a store: one for each batch, one event a line, by day.

obstore speaks the protocols, and its own knowledge of each provider's variables and files settles who may
write there. It is the extra `stores`: asked for by those only who name a store.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import uuid4

from gateway.core.clock import Clock
from gateway_plugins.payload_log.settings import ObjectStoreSettings
from gateway_plugins.payload_log.sinks import TIMEOUT_S

_EXTRA = "object stores need the extra 'stores' (pip install 'model-gateway[stores]')"
_KIND = {"Content-Type": "application/x-ndjson"}


class StoreSink:
    """Implements Sink; raises ValueError where the store cannot be opened."""

    def __init__(self, settings: ObjectStoreSettings, wall: Clock) -> None:
        try:
            self._put = import_module("obstore").put
            open_store = import_module("obstore.store").from_url
        except ImportError:
            raise ValueError(f"store: {_EXTRA}") from None
        self._wall = wall
        limit = timedelta(seconds=TIMEOUT_S)
        try:
            self._store = open_store(
                settings.url.rstrip("/"),
                config=dict(settings.options),
                client_options={"allow_http": settings.allow_http, "timeout": limit},
                # The log tries again itself, and says that it does.
                retry_config={"max_retries": 0, "retry_timeout": limit},
            )
        except Exception as error:  # ruff: ignore[blind-except] - each kind of store has its own
            raise ValueError(f"store: it cannot be opened: {type(error).__name__}") from None

    async def write(self, events: Sequence[dict[str, Any]]) -> None:
        """See Sink. An object is there whole or not at all; one tried again has another name,
        so that an event may be there twice, by one id."""
        lines = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in events).encode()
        now = datetime.fromtimestamp(self._wall(), UTC)
        path = f"{now:%Y/%m/%d/%H%M%S}-{uuid4()}.jsonl"
        try:
            await asyncio.to_thread(
                self._put, self._store, path, lines, attributes=_KIND, use_multipart=False
            )
        except Exception as error:  # ruff: ignore[blind-except] - obstore's errors share no base with OSError
            # Its class alone: the words quote addresses.
            raise OSError(type(error).__name__) from None

    async def aclose(self) -> None:
        """See Sink."""
