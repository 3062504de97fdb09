"""gateway push: sends a version of a model to a gateway, file by file, and goes on where it broke off."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from gateway.cli.configuration import refuse
from gateway.cli.operator import Operator, OperatorError, Server, TokenFile
from gateway.core.errors import InvalidInput
from gateway.core.model import check_name
from gateway.repository.archives import check_place

TRIES = 8
PAUSE_S = 1.0

Advance = Callable[[int], None]


class Local(NamedTuple):
    """A file to send."""

    name: str
    path: Path
    size_bytes: int
    sha256: str


def push(
    folder: Annotated[Path, typer.Argument(help="The version's files, as they are to lie in its folder.")],
    name: Annotated[str, typer.Option("--name", "-n", help="The model.")],
    version: Annotated[int, typer.Option("--version", "-v", min=1, help="Its version.")],
    server: Server = "http://127.0.0.1:8080",
    token_file: TokenFile = None,
    config: Annotated[Path | None, typer.Option("--config", help="A config.pbtxt for the model.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="A label to name it by.")] = None,
) -> None:
    """Send a version of a model; it is served whole or not at all."""
    console = Console(stderr=True)
    try:
        check_name(name)
        files = files_of(folder)
        with Operator(server, token_file) as operator, _progress(console) as progress:
            if config is not None:
                put_config(operator, name, config)
            task = progress.add_task(f"{name}/{version}", total=sum(file.size_bytes for file in files))
            is_new = send(operator, name, version, files, lambda done: progress.update(task, completed=done))
            if label is not None:
                target = json.dumps({"version": version}).encode()
                operator.ask("PUT", f"/models/{name}/labels/{label}", target)
    except (OperatorError, InvalidInput) as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{error.filename or folder}: {error.strerror or error}")
    console.print(f"{name}/{version}: {'sent' if is_new else 'is there already, the same'}")


def files_of(folder: Path) -> list[Local]:
    """All files in `folder`, with their digests; raises InvalidInput, OSError."""
    if not folder.is_dir():
        raise InvalidInput(f"'{folder}' is no folder")
    found = []
    for place in sorted(folder.rglob("*")):
        if place.is_symlink() or not (place.is_dir() or place.is_file()):
            raise InvalidInput(f"'{place.relative_to(folder)}' is a link or a device")
        if place.is_file():
            name = place.relative_to(folder).as_posix()
            check_place(name)
            found.append(Local(name, place, place.stat().st_size, _sha256(place)))
    if not found:
        raise InvalidInput(f"'{folder}' has no files")
    return found


def put_config(operator: Operator, name: str, file: Path) -> None:
    """Replaces the model's configuration, if it is another; raises OperatorError, OSError."""
    data = file.read_bytes()
    try:
        before = operator.ask("GET", f"/models/{name}/config").headers.get("etag", "")
    except OperatorError as error:
        if error.is_lost:
            raise
        before = ""  # there is none yet
    operator.ask("PUT", f"/models/{name}/config", data, {"if-match": before} if before else {})


def send(
    operator: Operator,
    name: str,
    version: int,
    files: list[Local],
    on_progress: Advance,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Sends what is missing until the version is there; False where it was. Raises OperatorError."""
    plan = {
        "model": name,
        "version": version,
        "files": [{"name": one.name, "size_bytes": one.size_bytes, "sha256": one.sha256} for one in files],
    }
    upload = operator.ask("POST", "/uploads", json.dumps(plan).encode()).body
    if "id" not in upload:
        raise OperatorError(upload["error"])
    for attempt in range(TRIES):
        try:
            for file in files:
                _send_file(operator, upload["id"], file, on_progress)
            done = operator.ask("POST", f"/uploads/{upload['id']}/finish")
            break
        except OperatorError as error:
            if not error.is_lost or attempt + 1 == TRIES:
                raise
            pause(PAUSE_S * 2 ** min(attempt, 4))
    if done.status == 409:
        raise OperatorError(done.body["error"])
    on_progress(sum(file.size_bytes for file in files))
    return done.status == 201


def _send_file(operator: Operator, upload: str, file: Local, on_progress: Advance) -> None:
    """Sends what the gateway does not have yet of one file."""
    state = operator.ask("GET", f"/uploads/{upload}").body
    offsets = {one["name"]: one["offset"] for one in state["files"]}
    if offsets[file.name] == file.size_bytes:
        return
    before = sum(offsets.values())
    with open(file.path, "rb") as content:
        content.seek(offsets[file.name])
        size_bytes = file.size_bytes - offsets[file.name]
        told = {
            "upload-offset": str(offsets[file.name]),
            "content-length": str(size_bytes),
            "content-type": "application/octet-stream",
        }
        body = _Told(content, lambda sent: on_progress(before + sent))
        reply = operator.ask("PATCH", f"/uploads/{upload}/files/{file.name}", body, told)
    if reply.status == 409:  # the connection before has brought more by now
        raise OperatorError(str(reply.body["error"]), is_lost=True)


class _Told:
    """What is left of a file, for http.client to read; tells how much of it was read."""

    def __init__(self, content: IO[bytes], on_read: Advance) -> None:
        self._content = content
        self._on_read = on_read
        self._came = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, b"" at the end."""
        data = self._content.read(size)
        self._came += len(data)
        self._on_read(self._came)
        return data


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
