"""TLS for a listener: certificates from files, HTTP/2 and HTTP/1.1 by ALPN."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

ALPN = ("h2", "http/1.1")


class TlsSettings(BaseModel):
    """[tls] Certificate and key of the listeners."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Path = Field(description="PEM file with the certificate and its chain.")
    key: Path = Field(description="PEM file with the private key, without a passphrase.")
    client_ca: Path | None = Field(
        None, description="PEM file with the authorities whose clients are let in; none asks for no proof."
    )


class TlsFileError(ValueError):
    """A file of the TLS configuration cannot be used; names the key to look at."""

    def __init__(self, key: str, path: Path, reason: str) -> None:
        super().__init__(f"tls.{key} = {str(path)!r}: {reason}")
        self.key = key


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """The context for a listener: TLS 1.2 or later; raises TlsFileError naming the key at fault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(ALPN))
    # RFC 9113 section 9.2.1: neither compression nor renegotiation under HTTP/2.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    _check_readable("certificate", settings.certificate)
    _check_readable("key", settings.key)
    _load_certificate(context, settings)
    if settings.client_ca is not None:
        _check_readable("client_ca", settings.client_ca)
        _load_client_ca(context, settings.client_ca)
    return context


def client_subject(ssl_object: ssl.SSLObject) -> str | None:
    """The common name of a verified client certificate, None where there is none."""
    certificate: dict[str, Any] = ssl_object.getpeercert() or {}
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None


def _load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    try:
        # An encrypted key would ask for its passphrase on the terminal; an empty one fails instead.
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise TlsFileError("key", settings.key, "is not the key of tls.certificate") from error
        if not _holds_certificate(settings.certificate):
            raise TlsFileError(
                "certificate", settings.certificate, "holds no certificate in PEM form"
            ) from error
        raise TlsFileError(
            "key", settings.key, "holds no private key in PEM form, or an encrypted one"
        ) from error


def _load_client_ca(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise TlsFileError("client_ca", path, "holds no certificate in PEM form") from error
    context.verify_mode = ssl.CERT_REQUIRED


def _holds_certificate(path: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return False
    return True


def _check_readable(key: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise TlsFileError(key, path, error.strerror or "cannot be read") from error
