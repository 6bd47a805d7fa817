"""Report files: written whole or not at all, and for their owner only where they hold what nobody else may read."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from switchcast.errors import EndpointDenied, EndpointUnavailable, SwitchcastError, UsageError

__all__ = ["check_writable", "write_report"]

_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o666


def check_writable(path: str, *, fresh: bool = False) -> None:
    """Raise at once what ``write_report`` would raise after the work has been done.

    ``fresh``: nothing may be there yet. Raises ``UsageError``, ``EndpointDenied`` or ``EndpointUnavailable``.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise UsageError(f"{path}: is a directory; name a file in it")
    if fresh and os.path.lexists(path):
        raise UsageError(f"{path}: exists already, and is not written over; choose another name")
    if not target.parent.is_dir():
        raise EndpointUnavailable(f"{path}: cannot be written: there is no directory {target.parent}")
    place = target if _is_special(target) else target.parent
    if not os.access(place, os.W_OK):
        raise EndpointDenied(f"{path}: cannot be written: {place} is not open to this user")


def write_report(path: str, text: str, *, private: bool = False, fresh: bool = False) -> None:
    """Put ``text`` into the file ``path`` at one moment; until then, what was there stays.

    ``private``: only its owner may read it, whatever was the case before. ``fresh``: nothing may be there yet. What is
    no regular file, ``/dev/stdout`` say, is written to as it is. Raises as ``check_writable``.
    """
    check_writable(path, fresh=fresh)
    content = text.encode("utf-8", "backslashreplace")
    target = os.path.realpath(path)
    try:
        if _is_special(Path(target)):
            with open(target, "wb") as stream:
                stream.write(content)
        else:
            _replace(target, content, _PRIVATE if private else _mode_of(target), fresh=fresh)
    except FileExistsError:
        raise UsageError(f"{path}: exists already, and is not written over; choose another name") from None
    except OSError as error:
        raise _told(path, error) from None


def _told(path: str, error: OSError) -> SwitchcastError:
    kind = EndpointDenied if isinstance(error, PermissionError) else EndpointUnavailable
    return kind(f"{path}: cannot be written: {error.strerror}")


def _replace(target: str, content: bytes, mode: int, *, fresh: bool) -> None:
    folder, name = os.path.split(target)
    descriptor, new = tempfile.mkstemp(prefix=f".{name}.", dir=folder)  # for its owner only, until it is whole
    try:
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        if fresh:
            os.link(new, target)  # which fails where the name has been taken meanwhile
            os.unlink(new)
        else:
            os.rename(new, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def _mode_of(target: str) -> int:
    """That of the file which is there, or what a new one has."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return _PUBLIC & ~mask


def _is_special(target: Path) -> bool:
    return target.exists() and not target.is_file()
