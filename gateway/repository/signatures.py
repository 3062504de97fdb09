"""Signed versions: whether the files of a version are those that somebody trusted has signed.

The format is that of OpenSSF Model Signing v1.0: a Sigstore bundle in `model.sig` beside the files, over a
manifest of their digests, made by `model_signing sign … VERSION_FOLDER --signature VERSION_FOLDER/model.sig`.
What lies beside the version (config.pbtxt, labels, warm-up data) is not signed by it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.repository.settings import SignatureSettings

FILE = "model.sig"
# A manifest names every file: 1 MiB is 5,000 of them. The whole of it is read before anything is known of it.
MAX_BYTES = 16 << 20
_MAX_TEXT = 300

Fault = Callable[[Path], str]


def checker(settings: SignatureSettings) -> Fault:
    """What tells what is wrong with a version's signature, "" for nothing; reads all of its files.

    The folder's path is in no text. The library is imported at the first check, which may be in a thread.
    """
    return lambda folder: _fault(settings, folder)


def _fault(settings: SignatureSettings, folder: Path) -> str:
    signature = folder / FILE
    if signature.is_symlink() or not signature.is_file():
        return f"there is no signature: no file '{FILE}' in the version's folder"
    if signature.stat().st_size > MAX_BYTES:
        return f"'{FILE}' is larger than {MAX_BYTES} bytes"
    try:
        # A new one for each: it keeps how the first signature that it saw was made.
        _verifier(settings).verify(folder, signature)
    except Exception as error:  # ruff: ignore[blind-except] - whatever it says, the files are not vouched for
        text = " ".join(str(error).replace(str(folder), "").split()) or type(error).__name__
        return text[:_MAX_TEXT]
    return ""


def _verifier(settings: SignatureSettings) -> Any:
    config = importlib.import_module("model_signing.verifying").Config()
    if settings.public_key is not None:
        return config.use_elliptic_key_verifier(public_key=settings.public_key)
    if settings.certificates:
        return config.use_certificate_verifier(certificate_chain=settings.certificates)
    return config.use_sigstore_verifier(
        identity=settings.identity, oidc_issuer=settings.issuer, trust_config=settings.trust_config
    )
