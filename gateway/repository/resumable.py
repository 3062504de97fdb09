"""Uploads of a version file by file, which go on where they were broken off: by a client, or by a restart.

A session is a folder beside the other staged ones: its plan, and the files as far as they have come. What
has come is what lies there, so nothing needs to be remembered; a file is whole when it has its size, and
right when it has its digest, which is looked at once, when all are there. All methods block on the disk.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import msgspec

from gateway.core.clock import Clock, wall_s
from gateway.core.errors import Conflict, GatewayError, InvalidInput, ModelNotFound, TooLarge
from gateway.core.model import MAX_VERSION, check_name
from gateway.repository.archives import Limits, Unpacked, check_place
from gateway.repository.folder import shown
from gateway.repository.staging import may_carry_code
from gateway.repository.uploads import RESUMABLE, Uploads, sha256_of

PLAN = "plan.json"
_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class PlannedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file to come: its name within the version, its bytes, its SHA-256 in hex."""

    name: str
    size_bytes: int
    sha256: str


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a session is to become."""

    model: str
    version: int
    files: tuple[PlannedFile, ...]


class Session(msgspec.Struct, frozen=True):
    """A plan, and how much of each file has come, in the plan's order."""

    id: str
    plan: Plan
    offsets: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """True once nothing is missing."""
        return all(has == file.size_bytes for has, file in zip(self.offsets, self.plan.files, strict=True))


class WrongOffset(GatewayError):
    """What was sent does not begin where the file ends; `offset` is where that is."""

    reason = Conflict.reason

    def __init__(self, offset: int) -> None:
        super().__init__(f"the file has {offset} bytes so far: go on from there")
        self.offset = offset


class Resumable:
    """The sessions of one repository; those nobody has touched for `keep_s` are removed by `expire`."""

    def __init__(
        self, uploads: Uploads, limits: Limits, keep_s: float, max_sessions: int, now: Clock = wall_s
    ) -> None:
        self._uploads = uploads
        self._limits = limits
        self._keep_s = keep_s
        self._max_sessions = max_sessions
        self._now = now

    def begin(self, plan: Plan) -> Session:
        """A new session; raises InvalidInput, TooLarge, or Conflict where there are too many."""
        self._check(plan)
        self.expire()
        if len(self._folders()) >= self._max_sessions:
            raise Conflict(f"there are {self._max_sessions} uploads under way: end one, or wait")
        number = secrets.token_hex(16)
        folder = self._uploads.new_folder(RESUMABLE + number)
        (folder / "files").mkdir(mode=0o700)
        for file in plan.files:
            place = folder / "files" / file.name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.touch(mode=0o600)
        # The plan last: a folder without one is no session.
        (folder / PLAN).write_bytes(msgspec.json.encode(plan))
        return self.look(number)

    def look(self, session: str) -> Session:
        """How far it is; raises ModelNotFound."""
        folder = self._folder(session)
        try:
            plan = msgspec.json.decode((folder / PLAN).read_bytes(), type=Plan)
            offsets = tuple((folder / "files" / file.name).stat().st_size for file in plan.files)
        except (OSError, msgspec.DecodeError):
            raise ModelNotFound("there is no such upload, or no longer") from None
        return Session(session, plan, offsets)

    def open(self, session: str, name: str, offset: int) -> tuple[int, int]:
        """A descriptor to append to one of its files at, and how many bytes may still come.

        Raises ModelNotFound, WrongOffset.
        """
        found = self.look(session)
        for file, has in zip(found.plan.files, found.offsets, strict=True):
            if file.name == name:
                if has != offset:
                    raise WrongOffset(has)
                flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
                os.utime(self._folder(session))
                return os.open(self._folder(session) / "files" / name, flags), file.size_bytes - has
        raise ModelNotFound(f"the upload has no file '{shown(name)}'")

    def finish(self, session: str) -> bool:
        """Checks the digests and shows the version; False where it is there, the same. Ends the session.

        Raises Conflict where something is missing, or the version is there with other files; InvalidInput
        where a file is not what was promised: it must be sent again, from its beginning.
        """
        found = self.look(session)
        if not found.is_whole:
            raise Conflict("the upload is not whole yet")
        folder = self._folder(session)
        for file in found.plan.files:
            place = folder / "files" / file.name
            if sha256_of(place) != file.sha256:
                os.truncate(place, 0)
                raise InvalidInput(f"'{file.name}' is not what its sha256 says: send it again")
        files = tuple(Unpacked(one.name, one.size_bytes, one.sha256) for one in found.plan.files)
        is_new = self._uploads.show(folder / "files", files, found.plan.model, found.plan.version)
        self._uploads.discard(folder)
        return is_new

    def abandon(self, session: str) -> None:
        """Nothing of it is wanted any more; raises ModelNotFound."""
        self.look(session)
        self._uploads.discard(self._folder(session))

    def expire(self) -> None:
        """Removes what nobody has touched for long."""
        for folder in self._folders():
            try:
                is_old = self._now() - folder.stat().st_mtime > self._keep_s
            except OSError:
                continue
            if is_old or not (folder / PLAN).is_file():
                self._uploads.discard(folder)

    def _folders(self) -> list[Path]:
        return [one for one in self._uploads.staged() if one.name.startswith(RESUMABLE)]

    def _folder(self, session: str) -> Path:
        if not _ID.fullmatch(session):
            raise ModelNotFound("there is no such upload, or no longer")
        return self._uploads.staging / (RESUMABLE + session)

    def _check(self, plan: Plan) -> None:
        check_name(plan.model)
        self._uploads.folder_of(plan.model)
        if not 0 < plan.version <= MAX_VERSION:
            raise InvalidInput("a model version is an integral value > 0")
        if not 0 < len(plan.files) <= self._limits.max_files:
            raise InvalidInput(f"a version has 1 to {self._limits.max_files} files")
        for file in plan.files:
            self._check_file(file)
        names = [file.name.lower() for file in plan.files]
        if len(set(names)) < len(names) or any(name.startswith(f"{one}/") for one in names for name in names):
            raise InvalidInput("two of the files have the same place, at least where case is folded")
        if sum(file.size_bytes for file in plan.files) > self._limits.max_bytes:
            raise TooLarge(f"a version may have {self._limits.max_bytes} bytes")

    def _check_file(self, file: PlannedFile) -> None:
        check_place(file.name)
        if not self._limits.allows_code and may_carry_code(file.name):
            raise InvalidInput(f"'{shown(file.name)}': files that can carry code are not taken here")
        if file.size_bytes < 0:
            raise InvalidInput(f"'{file.name}': size_bytes must not be negative")
        if not _SHA256.fullmatch(file.sha256):
            raise InvalidInput(f"'{file.name}': sha256 must be 64 hexadecimal digits, in lower case")
