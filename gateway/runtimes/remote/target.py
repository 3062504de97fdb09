"""Where a remote model is and how it is asked, from the parameters of its config.pbtxt. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

_SCHEMES = {
    "http": ("http", False),
    "https": ("http", True),
    "grpc": ("grpc", False),
    "grpcs": ("grpc", True),
}
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,255}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# A file of the version's folder, or wherever the operator keeps secrets: an absolute path.
_FILE = re.compile(r"(?:/(?:[A-Za-z0-9._-]+/)*)?[A-Za-z0-9._-]{1,128}")
_HOST = re.compile(r"[A-Za-z0-9:._-]{1,253}")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


class OptionRefused(ValueError):
    """A parameter that cannot be honoured: its name and why."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"parameters['{key}']: {problem}")
        self.key = key
        self.problem = problem


class Target(NamedTuple):
    """Everything that is configured of an upstream.

    `base` is what paths follow (http), or host and port (grpc). `model` "" is this model's own name,
    `version` "" whichever the upstream prefers. Files are names in the version's folder or absolute.
    """

    protocol: str
    base: str
    is_tls: bool
    model: str = ""
    version: str = ""
    timeout_s: float = 30.0
    max_in_flight: int = 64
    retries: int = 2
    max_response_bytes: int = 64 << 20
    probe_interval_s: float = 2.0
    failures_to_open: int = 5
    open_s: float = 1.0
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    token_file: str = ""
    token_env: str = ""


class _Number(NamedTuple):
    field: str
    least: int
    most: int
    is_ms: bool = False


_NUMBERS: Mapping[str, _Number] = {
    "timeout_ms": _Number("timeout_s", 1, 3_600_000, is_ms=True),
    "max_in_flight": _Number("max_in_flight", 1, 1024),
    "retries": _Number("retries", 0, 4),
    "max_response_bytes": _Number("max_response_bytes", 1 << 10, 1 << 30),
    "probe_interval_ms": _Number("probe_interval_s", 50, 600_000, is_ms=True),
    "failures_to_open": _Number("failures_to_open", 1, 100),
    "open_ms": _Number("open_s", 50, 600_000, is_ms=True),
}
_TEXTS: Mapping[str, tuple[str, re.Pattern[str], str]] = {
    "model_name": ("model", _NAME, "1 to 256 of A-Z a-z 0-9 . _ - /"),
    "model_version": ("version", _VERSION, "1 to 64 of A-Z a-z 0-9 . _ -"),
    "ca_file": ("ca_file", _FILE, "a file of the version's folder, or an absolute path"),
    "cert_file": ("cert_file", _FILE, "a file of the version's folder, or an absolute path"),
    "key_file": ("key_file", _FILE, "a file of the version's folder, or an absolute path"),
    "token_file": ("token_file", _FILE, "a file of the version's folder, or an absolute path"),
    "token_env": ("token_env", _VARIABLE, "the name of an environment variable"),
}
OPTIONS = ("url", *_TEXTS, *_NUMBERS)
# What callers, who may read a model's configuration, are not shown; no refusal quotes it either, for
# a secret may stand where its place should.
PRIVATE_OPTIONS = frozenset({"url", "ca_file", "cert_file", "key_file", "token_file", "token_env"})


def parse(options: Mapping[str, str]) -> Target:
    """The target; raises OptionRefused."""
    for key in options:
        if key not in OPTIONS:
            raise OptionRefused(key[:80], f"is not one of {', '.join(OPTIONS)}")
    target = _from_url(options.get("url", ""))
    fields: dict[str, Any] = {}
    for key, number in _NUMBERS.items():
        if key in options:
            fields[number.field] = _read_number(key, options[key], number)
    for key, (field, pattern, permitted) in _TEXTS.items():
        if key in options:
            if not pattern.fullmatch(options[key]) or ".." in options[key].split("/"):
                told = "" if key in PRIVATE_OPTIONS else f"'{options[key][:80]}' "
                raise OptionRefused(key, f"{told}is not {permitted}")
            fields[field] = options[key]
    target = target._replace(**fields)
    _check_secrets(target)
    return target


def _read_number(key: str, text: str, number: _Number) -> int | float:
    is_number = text.isascii() and text.isdigit() and len(text) <= 12
    if not is_number or not number.least <= int(text) <= number.most:
        raise OptionRefused(key, f"'{text[:80]}' is not in {number.least}..{number.most}")
    return int(text) / 1000.0 if number.is_ms else int(text)


def _from_url(text: str) -> Target:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise OptionRefused("url", "is no URL") from None
    if parts.scheme not in _SCHEMES:
        raise OptionRefused("url", "must be given, and begin with http://, https://, grpc:// or grpcs://")
    if "@" in parts.netloc or parts.query or parts.fragment or any(not 32 < ord(one) < 127 for one in text):
        raise OptionRefused("url", "must be a scheme, a host and a port, without user, query or fragment")
    protocol, is_tls = _SCHEMES[parts.scheme]
    port = port or _PORTS.get(parts.scheme)
    if not parts.hostname or not _HOST.fullmatch(parts.hostname) or not port:
        raise OptionRefused("url", "must name a host and (for gRPC) a port")
    return Target(protocol, _BASES[protocol](parts, port), is_tls)


def _http_base(parts: SplitResult, port: int) -> str:
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        raise OptionRefused("url", "has a path that is not plain")
    return f"{parts.scheme}://{_authority(parts, port)}{path}"


def _grpc_base(parts: SplitResult, port: int) -> str:
    if parts.path.strip("/"):
        raise OptionRefused("url", "has a path, which gRPC has no use for")
    return _authority(parts, port)


def _authority(parts: SplitResult, port: int) -> str:
    host = parts.hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_BASES: Mapping[str, Callable[[SplitResult, int], str]] = {"http": _http_base, "grpc": _grpc_base}


def _check_secrets(target: Target) -> None:
    files = {"ca_file": target.ca_file, "cert_file": target.cert_file, "key_file": target.key_file}
    for key, file in files.items():
        if file and not target.is_tls:
            raise OptionRefused(key, "needs a URL that begins with https:// or grpcs://")
    if bool(target.cert_file) != bool(target.key_file):
        raise OptionRefused("key_file", "and cert_file go together")
    if target.token_file and target.token_env:
        raise OptionRefused("token_env", "contradicts token_file")
    if (target.token_file or target.token_env) and not target.is_tls and not _is_loopback(target.base):
        key = "token_file" if target.token_file else "token_env"
        raise OptionRefused(key, "is sent over TLS, or to loopback, alone")


def _is_loopback(base: str) -> bool:
    return urlsplit(base if "://" in base else f"//{base}").hostname in _LOOPBACK
