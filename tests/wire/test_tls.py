from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.wire.tls import TlsFileError, TlsSettings, client_subject, server_context

FILES = Path(__file__).parent / "certificates"
PAIR = {"certificate": FILES / "server.pem", "key": FILES / "server.key"}


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, hostname: str = "localhost"
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a connection, in memory; returns (server's, client's)."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname=hostname),
    )
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    for end in ends:
        try:
            end.read(1)
        except ssl.SSLWantReadError:
            continue
    return ends


def client_context(*, proves_itself: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(FILES / "server.pem"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    if proves_itself:
        context.load_cert_chain(FILES / "client.pem", FILES / "client.key")
    return context


def test_offers_http2_first() -> None:
    server, client = handshake(server_context(TlsSettings(**PAIR)), client_context())
    assert client.selected_alpn_protocol() == "h2"
    assert client_subject(server) is None


def test_nothing_older_than_tls_1_2() -> None:
    assert server_context(TlsSettings(**PAIR)).minimum_version == ssl.TLSVersion.TLSv1_2


def test_clients_that_prove_themselves_have_a_name() -> None:
    context = server_context(TlsSettings(**PAIR, client_ca=FILES / "authority.pem"))
    server, _ = handshake(context, client_context(proves_itself=True))
    assert client_subject(server) == "alice"


def test_others_are_not_let_in() -> None:
    context = server_context(TlsSettings(**PAIR, client_ca=FILES / "authority.pem"))
    with pytest.raises(ssl.SSLError):
        handshake(context, client_context())


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"certificate": FILES / "absent.pem"}, "certificate"),
        ({"certificate": FILES}, "certificate"),
        ({"key": FILES / "absent.key"}, "key"),
        ({"client_ca": FILES / "absent.pem"}, "client_ca"),
        ({"certificate": FILES / "make.sh"}, "certificate"),
        ({"key": FILES / "make.sh"}, "key"),
        ({"client_ca": FILES / "make.sh"}, "client_ca"),
        ({"key": FILES / "client.key"}, "key"),
        ({"key": FILES / "encrypted.key"}, "key"),
    ],
)
def test_unusable_files_are_named_by_their_key(change: dict[str, Path], key: str) -> None:
    with pytest.raises(TlsFileError, match=rf"tls\.{key} = ") as error:
        server_context(TlsSettings(**{**PAIR, **change}))
    assert error.value.key == key
    assert str(change[key]) in str(error.value)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError):
        TlsSettings(**PAIR, cipher="rot13")  # type: ignore[call-arg]
