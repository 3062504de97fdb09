"""A store as this package needs it: a listing, small reads, downloads. Blocks; to be used in threads.

obstore speaks the protocols; whoever may read what is settled by the provider's own chain of environment
variables and files, which it knows, so that no secret stands in a configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from gateway.repository.settings import StoreSettings

_EXTRA = "object stores need the extra 'stores' (pip install 'model-gateway[stores]')"
_CHUNK_BYTES = 1 << 20
_RETRIES = 3


class StoredObject(NamedTuple):
    """A file in a store, by its path below the repository's root; `tag` changes with its content."""

    path: str
    size_bytes: int
    tag: str


class StoreFailed(Exception):
    """The store did not do what it was asked; `text` names it by its label, and neither URL nor secret."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Objects(Protocol):
    """What a source reads from."""

    def list(self) -> list[StoredObject]:
        """Everything there is; raises StoreFailed."""

    def read(self, path: str, limit: int) -> bytes:
        """A small file; raises StoreFailed, also where it is larger than `limit` bytes."""

    def download(self, one: StoredObject) -> Iterator[bytes]:
        """A file in parts, as it was when it was listed; raises StoreFailed, at any part."""


class ObstoreObjects:
    """Implements Objects."""

    def __init__(self, settings: StoreSettings) -> None:
        try:
            self._obstore = import_module("obstore")
            open_store = import_module("obstore.store").from_url
        except ImportError:
            raise StoreFailed(f"store '{settings.name}': {_EXTRA}") from None
        self._name = settings.name
        limit, url = timedelta(seconds=settings.timeout_s), settings.url.rstrip("/")
        # Of plain HTTP a listing names files from the server's root on, though reading starts at the URL.
        is_web = url.startswith(("http://", "https://"))
        self._above = f"{urlsplit(url).path.strip('/')}/" if is_web else ""
        try:
            self._store = open_store(
                url,
                config=dict(settings.options),
                client_options={"allow_http": settings.allow_http, "timeout": limit},
                retry_config={"max_retries": _RETRIES, "retry_timeout": limit},
            )
        except Exception as error:  # ruff: ignore[blind-except] - each kind of store has its own
            raise self._failed("cannot be opened", error) from None

    def list(self) -> list[StoredObject]:
        """See Objects."""
        try:
            return [self._object(meta) for part in self._obstore.list(self._store) for meta in part]
        except Exception as error:  # ruff: ignore[blind-except] - obstore's errors share no base with OSError
            raise self._failed("cannot be listed", error) from None

    def read(self, path: str, limit: int) -> bytes:
        """See Objects."""
        try:
            found = self._obstore.get(self._store, path)
            if found.meta["size"] > limit:
                raise StoreFailed(f"store '{self._name}': a file of more than {limit} bytes where few belong")
            return bytes(found.bytes())
        except StoreFailed:
            raise
        except Exception as error:  # ruff: ignore[blind-except]
            raise self._failed("cannot be read", error) from None

    def download(self, one: StoredObject) -> Iterator[bytes]:
        """See Objects."""
        options = {"if_match": one.tag} if one.tag else None
        try:
            found = self._obstore.get(self._store, one.path, options=options)
            for part in found.stream(min_chunk_size=_CHUNK_BYTES):
                yield bytes(part)
        except Exception as error:  # ruff: ignore[blind-except]
            raise self._failed("cannot be read", error) from None

    def _object(self, meta: Any) -> StoredObject:
        tag, path = meta.get("e_tag") or "", meta["path"].removeprefix(self._above)
        return StoredObject(path, meta["size"], tag or f"{meta['last_modified']:%s%f}")

    def _failed(self, what: str, error: Exception) -> StoreFailed:
        """By the error's class alone: its words quote addresses, and what was sent."""
        return StoreFailed(f"store '{self._name}' {what}: {type(error).__name__}")
