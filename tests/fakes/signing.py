"""Keys, and versions signed by them, as an author of models makes them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing

from gateway.repository.signatures import FILE


class Key(NamedTuple):
    """The files of both halves."""

    private: Path
    public: Path

    def sign(self, folder: Path) -> None:
        """Signs a version's folder."""
        ignoring = hashing.Config().set_ignored_paths(paths=[folder / FILE])
        config = signing.Config().set_hashing_config(ignoring)
        config.use_elliptic_key_signer(private_key=self.private).sign(folder, folder / FILE)


def new_key(folder: Path, name: str = "key") -> Key:
    """A key pair in `folder`."""
    made = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    pem = serialization.Encoding.PEM
    private.write_bytes(
        made.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(made.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return Key(private, public)
