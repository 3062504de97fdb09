"""A server of files that speaks as little of WebDAV, Google's and Azure's stores as reading takes.

After RFC 4918 (PROPFIND), Google's XML API (list-type=2) and Azure's List Blobs: enough for obstore, whose
requests the tests would see refused if they were others.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_DATE = formatdate(1_700_000_000, usegmt=True)
_ISO = "2023-11-14T22:13:20.000Z"


def tag_of(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'


class CloudStore:
    """Files by their keys; `is_down` answers everything 503."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.is_down = False
        self.asked: list[str] = []
        self.port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: CloudStore

    def do_GET(self) -> None:
        """An object, or a listing of Google's or Azure's."""
        told = urlsplit(self.path)
        query = parse_qs(told.query)
        self.store.asked.append(f"GET {told.path}")
        parts = unquote(told.path).strip("/").split("/")
        if "list-type" in query:
            self._send(200, _google(self.store, query.get("prefix", [""])[0]), "application/xml")
        elif query.get("comp") == ["list"]:
            self._send(200, _azure(self.store, query.get("prefix", [""])[0]), "application/xml")
        else:
            # dav/<key>, bucket/<key>, or account/container/<key>
            skip = 2 if parts[0] == "account" else 1
            self._object("/".join(parts[skip:]))

    def do_PROPFIND(self) -> None:
        """A listing of WebDAV's."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.store.asked.append(f"PROPFIND {self.path} {self.headers.get('depth')}")
        prefix = unquote(self.path).strip("/").partition("/")[2]
        self._send(207, _dav(self.store, prefix), "application/xml")

    def _object(self, key: str) -> None:
        data = self.store.files.get(key)
        if data is None:
            self._send(404, b"", "text/plain")
            return
        if self.headers.get("if-match", tag_of(data)) != tag_of(data):
            self._send(412, b"", "text/plain")
            return
        self._send(200, data, "application/octet-stream", tag_of(data))

    def _send(self, status: int, body: bytes, kind: str, tag: str = "") -> None:
        if self.store.is_down:
            status, body = 503, b""
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("ETag", tag)):
            if value:
                self.send_header(name, value)
        self.send_header("Last-Modified", _DATE)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def _dav(store: CloudStore, prefix: str) -> bytes:
    found = [
        f"<D:response><D:href>/dav/{escape(key)}</D:href><D:propstat><D:prop>"
        f"<D:getlastmodified>{_DATE}</D:getlastmodified><D:getcontentlength>{len(data)}</D:getcontentlength>"
        f"<D:getetag>{escape(tag_of(data))}</D:getetag><D:resourcetype/></D:prop>"
        "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        for key, data in sorted(store.files.items())
        if key.startswith(prefix)
    ]
    return f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{"".join(found)}</D:multistatus>'.encode()


def _google(store: CloudStore, prefix: str) -> bytes:
    found = [
        f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><LastModified>{_ISO}</LastModified>"
        f"<ETag>{escape(tag_of(data))}</ETag></Contents>"
        for key, data in sorted(store.files.items())
        if key.startswith(prefix)
    ]
    return f"<ListBucketResult>{''.join(found)}</ListBucketResult>".encode()


def _azure(store: CloudStore, prefix: str) -> bytes:
    found = [
        f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{_DATE}</Last-Modified>"
        f"<Content-Length>{len(data)}</Content-Length><Content-Type>application/octet-stream</Content-Type>"
        f"<Etag>{escape(tag_of(data))}</Etag></Properties></Blob>"
        for key, data in sorted(store.files.items())
        if key.startswith(prefix)
    ]
    return f"<EnumerationResults><Blobs>{''.join(found)}</Blobs><NextMarker/></EnumerationResults>".encode()


@contextmanager
def cloud_store() -> Generator[CloudStore]:
    """Runs one on loopback."""
    store = CloudStore()
    kind: Any = type("Handler", (_Handler,), {"store": store})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        store.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()
