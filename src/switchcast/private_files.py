"""Files that hold secrets: read only when nobody else can, written so that no moment shows half of one.

A file is named by its path, or as ``credential:NAME``, which is the file ``NAME`` in ``$CREDENTIALS_DIRECTORY``, where
systemd puts what a unit's ``LoadCredential=`` names. No message here holds anything of what is in a file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from switchcast.errors import EndpointDenied, EndpointUnavailable, UsageError

__all__ = [
    "CREDENTIAL",
    "LARGEST_FILE",
    "NoCredentials",
    "create",
    "credential_path",
    "locked",
    "read_owned",
    "read_secret",
    "replace",
]

CREDENTIAL: Final = "credential:"
LARGEST_FILE: Final = 65_536
"""Bytes of a file of secrets: what is larger is something else, named by mistake."""
_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022


class NoCredentials(ValueError):
    """There are none of systemd's credentials in this process."""


def credential_path(text: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The path of the credential that ``text`` names, ``None`` if it names none. Raises ``ValueError``.

    ``environ`` is this process's by default.
    """
    name = text.removeprefix(CREDENTIAL)
    if name == text:
        return None
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise ValueError("a credential's name has letters, digits, '.', '_', '@' and '-'")
    directory = (os.environ if environ is None else environ).get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise NoCredentials(
            "there are no credentials: $CREDENTIALS_DIRECTORY is not set, as systemd does for a unit with "
            f"LoadCredential={name}:/path"
        )
    return os.path.join(directory, name)


def read_secret(path: str) -> bytes:
    """The contents of a file that only its owner may read, less one line break at its end.

    Raises ``EndpointDenied`` or ``EndpointUnavailable`` with the mend.
    """
    with _telling(path, "a secret"), open(path, "rb") as stream:
        _check_mode(path, os.fstat(stream.fileno()), "read")
        text = _read_whole(path, stream.fileno())
    text = text.removesuffix(b"\n").removesuffix(b"\r")
    if not text:
        raise EndpointUnavailable(f"{path}: is empty, though it should hold a secret")
    return text


def read_owned(path: str, *, others: Literal["read", "write"], looking: bool = False) -> bytes:
    """The contents of a file that is this user's or root's own, and that others may not ``read``, or only not write.

    ``looking``: root asks for a user whose file it is. Raises ``EndpointDenied`` or ``EndpointUnavailable`` with the
    mend.
    """
    holding = "keys" if others == "read" else "names and public keys"
    with _telling(path, holding), _opened(path, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise EndpointDenied(f"{path}: is {what}, though it should hold {holding}")
        _check_mode(path, status, others)
        _check_owner(path, status, looking=looking)
        return _read_whole(path, descriptor)


def create(path: str, content: bytes) -> None:
    """Write a file that does not exist yet, for its owner only.

    Raises ``UsageError`` if it does exist, ``EndpointDenied`` or ``EndpointUnavailable`` where none can be made.
    """
    # Written whole under a name of this process first: a link fails where the name is taken, as O_EXCL does.
    new = _beside(path, f"{os.getpid()}.new")
    with _writing(path, new):
        _write(new, content, None)
        os.link(new, path)
        os.unlink(new)
        _sync_folder(path)


def replace(path: str, content: bytes) -> None:
    """Put ``content`` in place of what the file holds, at one moment; its owner and mode stay.

    Until that moment, and if it never comes, the old file is there. Whoever replaces what it read holds ``locked``.
    Raises ``EndpointDenied`` or ``EndpointUnavailable`` where it cannot be written.
    """
    target = os.path.realpath(path)
    new = _beside(target, "new")  # always the same: what an interrupted command left is cleared away
    with _writing(path, new):
        _write(new, content, os.stat(target))
        os.rename(new, target)
        _sync_folder(target)


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Keep other commands from changing the file; waits for one that does. Raises as ``read_owned``.

    It is the file itself that is locked, so that who may not read it cannot hold anybody up; and as a change puts
    another file in its place, whoever has waited looks whether it is still the one.
    """
    descriptor = _locked(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(path: str) -> int:
    while True:
        with _telling(path, "keys"):
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _check_mode(path: str, status: os.stat_result, others: Literal["read", "write"]) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if others == "write" and mode & _OTHERS_WRITE:
        raise EndpointDenied(f"{path}: others may change who is believed (mode {mode:04o}); run: chmod go-w {path}")
    # systemd lets the service's user at a credential by an access control list, whose mask the group's bits then show.
    if others == "read" and mode & (0o037 if _is_credential(path) else _OTHERS):
        raise EndpointDenied(f"{path}: others may read this secret (mode {mode:04o}); run: chmod 600 {path}")


def _check_owner(path: str, status: os.stat_result, *, looking: bool) -> None:
    user = os.geteuid()
    if status.st_uid in {user, 0} or (looking and user == 0):
        return
    raise EndpointDenied(
        f"{path}: belongs to {_name_of(status.st_uid)}, and this runs as {_name_of(user)}; run it as "
        f"{_name_of(status.st_uid)}, or: chown {_name_of(user)} {path}"
    )


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _is_credential(path: str) -> bool:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and os.path.dirname(os.path.abspath(path)) == os.path.abspath(directory or "")


@contextlib.contextmanager
def _telling(path: str, holding: str) -> Iterator[None]:
    """Say of what the system runs into which file it is about, and what that should hold."""
    try:
        yield
    except FileNotFoundError:
        raise EndpointUnavailable(f"{path}: no such file, though it should hold {holding}") from None
    except PermissionError as error:
        user = _name_of(os.geteuid())
        raise EndpointDenied(
            f"{path}: {error.strerror}, though it should hold {holding}; this runs as {user}, to whom it has to belong"
        ) from None
    except IsADirectoryError as error:
        raise EndpointDenied(f"{path}: {error.strerror}, though it should hold {holding}") from None
    except OSError as error:
        raise EndpointUnavailable(f"{path}: {error.strerror}, though it should hold {holding}") from None


@contextlib.contextmanager
def _writing(path: str, new: str) -> Iterator[None]:
    """Clear ``new`` away where ``path`` cannot be written, and say why."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(new)
        if isinstance(error, FileExistsError):
            raise UsageError(f"{path}: exists already, and is not written over; choose another name") from None
        if isinstance(error, PermissionError):
            raise EndpointDenied(f"{path}: cannot be written: {error.strerror}") from None
        if isinstance(error, OSError):
            raise EndpointUnavailable(f"{path}: cannot be written: {error.strerror}") from None
        raise


@contextlib.contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_whole(path: str, descriptor: int) -> bytes:
    content = b""
    while part := os.read(descriptor, LARGEST_FILE + 1 - len(content)):
        content += part
    if len(content) > LARGEST_FILE:
        raise EndpointUnavailable(f"{path}: is larger than {LARGEST_FILE:,} bytes, so it is something else")
    return content


def _beside(path: str, ending: str) -> str:
    """The hidden name in the same folder under which a new file is written."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{ending}")


def _write(path: str, content: bytes, like: os.stat_result | None) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as stream:
        if like is not None:
            status = os.fstat(stream.fileno())
            if (status.st_uid, status.st_gid) != (like.st_uid, like.st_gid):
                os.fchown(stream.fileno(), like.st_uid, like.st_gid)
            os.fchmod(stream.fileno(), stat.S_IMODE(like.st_mode))
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: str) -> None:
    """Make a new name in a folder last, should the machine stop."""
    with _opened(str(Path(path).absolute().parent), os.O_RDONLY | os.O_DIRECTORY) as folder:
        os.fsync(folder)
