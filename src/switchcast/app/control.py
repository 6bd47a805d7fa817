"""The control socket: what the command line asks of a running node.

::

    ──> {"ask": "peers"}                      one JSON object a line, and one answer a line
    <── {"reply": {"peers": [...]}}
    ──> {"ask": "lunch"}
    <── {"error": "...", "code": 69, "knows": ["peers", "status"], "version": "0.1.0"}

A Unix socket that its owner and group may write to (0660): who may speak to it may see what the node sees and have it
reload, so the file's group is the permission. ``code`` is the exit code that the error has. What a client does wrong
costs that client its connection and the others nothing.

The socket appears at its path only when it listens and has its mode: it is made under another name and renamed. One
that nobody listens to any more is replaced; one that somebody listens to means that another node runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import grp
import json
import os
import pwd
import socket
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self, cast

import structlog

from switchcast._native import __version__
from switchcast.errors import (
    ConfigurationError,
    EndpointDenied,
    EndpointUnavailable,
    NoNode,
    SwitchcastError,
    UsageError,
)

__all__ = ["DEFAULT_SOCKET", "MOST_CLIENTS", "MOST_REQUEST_BYTES", "ControlServer", "Handler", "ask"]

Handler = Callable[[dict[str, Any]], Awaitable[object]]
"""Answers one request, which it gets whole, with plain values."""

DEFAULT_SOCKET: Final = "/run/switchcast/control.sock"
MOST_REQUEST_BYTES: Final = 65_536
"""Bytes of one request: a client that never ends its line would fill memory."""
MOST_CLIENTS: Final = 32
"""Connections at a time: each holds a descriptor, which the node needs for its endpoints."""
_MOST_REPLY_BYTES: Final = 64 * 1024 * 1024
_IDLE_SECONDS: Final = 30.0
"""Seconds in which a client sends a request or takes an answer; after that its place is free for another."""
_HANDLER_SECONDS: Final = 60.0
_LOCK_SECONDS: Final = 5.0
_MODE: Final = 0o660
_MOST_PATH_BYTES: Final = 107

_ERRORS: Final = {
    kind.exit_code: kind
    for kind in (SwitchcastError, UsageError, ConfigurationError, EndpointUnavailable, EndpointDenied)
}
"""What an error from the node is raised as: the kind that has the same exit code."""

log = structlog.get_logger("switchcast")


class ControlServer:
    """Answers requests on a Unix socket at ``path`` with ``handlers``, by their verb.

    Opening raises ``EndpointUnavailable`` when another node listens there or something else is in the way,
    ``EndpointDenied`` where permission is missing, ``UsageError`` for a path that no socket can have.
    """

    def __init__(self, path: str | os.PathLike[str], handlers: Mapping[str, Handler]) -> None:
        self.path = Path(path)
        self.handlers = dict(handlers)
        self._server: asyncio.Server | None = None
        self._ours: tuple[int, int] | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen, from now until ``close``."""
        _check_length(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            async with _locked(self.path):
                _check_free(self.path)
                listener = _listening_at(self.path)
        except PermissionError as error:
            raise EndpointDenied(
                f"{self.path}: the control socket cannot be made: {error.strerror}; give this user its directory "
                "(in a systemd unit: RuntimeDirectory=switchcast), or choose another path with [control] socket"
            ) from None
        except OSError as error:
            raise EndpointUnavailable(
                f"{self.path}: the control socket cannot be made: {error.strerror or error}; "
                "choose another path with [control] socket"
            ) from None
        self._ours = _identity(self.path)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MOST_REQUEST_BYTES)

    async def close(self) -> None:
        """End every connection, and remove the socket unless another has taken its place. Idempotent."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        if self._ours is not None and _identity(self.path) == self._ours:
            with contextlib.suppress(OSError):
                self.path.unlink()
        clients = tuple(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._clients.add(task)
        writer.transport.set_write_buffer_limits(high=0)  # so that what has been written has also gone
        try:
            if len(self._clients) > MOST_CLIENTS:
                await _write(writer, _error(f"{MOST_CLIENTS} others are connected; ask again later", 69))
                return
            while (request := await _read(reader, writer)) is not None:
                await _write(writer, await self._answer(request))
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # it has gone, or it does not take its answer, or we end
        finally:
            self._clients.discard(task)
            writer.transport.abort()

    async def _answer(self, line: bytes) -> bytes:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return _error("a request is one JSON object on one line", 2)
        verb = request.get("ask") if isinstance(request, dict) else None
        if not isinstance(verb, str):
            return _error('a request is one JSON object with a verb: {"ask": "status"}', 2)
        handler = self.handlers.get(verb)
        if handler is None:
            return _error(f"unknown verb {verb!r}", 69, knows=sorted(self.handlers), version=__version__)
        limit = asyncio.timeout(_HANDLER_SECONDS)
        try:
            async with limit:
                return _line({"reply": await handler(request)})
        except SwitchcastError as error:
            return _error(str(error), error.exit_code)
        except Exception as error:  # a fault of ours in one answer must not end the others
            if limit.expired():
                return _error(f"{verb}: not done after {_HANDLER_SECONDS:g} s", 69)
            log.exception("control_fault", ask=verb)
            return _error(f"{verb}: a fault in the node, {type(error).__name__}; its log has more", 1)


def ask(path: str | os.PathLike[str], request: Mapping[str, object], timeout: float = 10.0) -> Any:
    """What the node at ``path`` answers to ``request`` (``{"ask": "status"}``), as plain values.

    Blocks for at most ``timeout`` seconds. Raises ``NoNode``; ``EndpointUnavailable`` when it does not answer,
    or when it is an older one that does not know the verb; ``EndpointDenied``; and what the node's answer says.
    """
    _check_length(path)
    deadline = time.monotonic() + timeout
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(os.fspath(path))
            with contextlib.suppress(BrokenPipeError):  # refused unheard: why is told all the same
                connection.sendall(_line(dict(request)))
            answer = _receive(connection, deadline)
    except TimeoutError:
        raise EndpointUnavailable(
            f"{path}: a node is there, but it has not answered for {timeout:g} s; its log may tell why"
        ) from None
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NoNode(
            f"no node runs here: nothing listens at {path}; start one with 'switchcast run', "
            "or give the path of its control socket with --socket"
        ) from None
    except PermissionError:
        raise EndpointDenied(f"{path}: {_who_may(path)}") from None
    except OSError as error:
        raise EndpointUnavailable(f"{path}: the node ended the connection: {error.strerror}") from None
    return _reply_in(answer, path, str(request.get("ask")))


def _reply_in(answer: bytes, path: str | os.PathLike[str], verb: str) -> Any:
    if not answer:
        raise EndpointUnavailable(f"{path}: the node ended the connection without an answer; its log may tell why")
    try:
        message = json.loads(answer)
        if "reply" in message:
            return message["reply"]
        text, kind = message["error"], _ERRORS.get(message["code"], SwitchcastError)
    except (ValueError, TypeError, KeyError):
        raise EndpointUnavailable(f"{path}: what listens there is no switchcast node") from None
    if "knows" in message:
        raise EndpointUnavailable(
            f"{path}: the node that runs there is switchcast {message.get('version')} and does not know {verb!r}; "
            f"restart it, this is switchcast {__version__}"
        )
    raise kind(text)


def _receive(connection: socket.socket, deadline: float) -> bytes:
    """Everything up to a line's end, or to the end of the connection."""
    received = bytearray()
    while not received.endswith(b"\n") and len(received) <= _MOST_REPLY_BYTES:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        piece = connection.recv(65_536)
        if not piece:
            break
        received += piece
    return bytes(received)


def _who_may(path: str | os.PathLike[str]) -> str:
    """What would give the permission that is missing."""
    try:
        found = os.stat(path)
        user, group = pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid).gr_name
    except (OSError, KeyError):
        return "you may not speak to the node there; run this as the node's user, or as root"
    return (
        f"you may not speak to the node there; run this as {user} (sudo -u {user} ...), "
        f"or join its group: sudo usermod -aG {group} $USER"
    )


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
    """The next request; ``None`` when there is no more, or it is one that cannot be read to its end."""
    try:
        async with asyncio.timeout(_IDLE_SECONDS):
            return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        await _write(writer, _error(f"a request is at most {MOST_REQUEST_BYTES:,} bytes long", 2))
        return None


async def _write(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer)
    async with asyncio.timeout(_IDLE_SECONDS):
        await writer.drain()


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _error(text: str, code: int, **more: object) -> bytes:
    return _line({"error": text, "code": code, **more})


@contextlib.asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Have the directory of ``path`` to ourselves among nodes: two that start at once must not both find it free."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EndpointUnavailable(f"{path.parent}: another program keeps this directory locked") from None
                await asyncio.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _check_length(path: str | os.PathLike[str]) -> None:
    if len(os.fsencode(path)) > _MOST_PATH_BYTES:
        raise UsageError(f"{os.fspath(path)}: a socket's path is at most {_MOST_PATH_BYTES} bytes long")


def _check_free(path: Path) -> None:
    """Raise unless ``path`` is free, or has a socket that nobody listens to any more."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise EndpointUnavailable(f"{path}: is in the way of the control socket and is no socket; move it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except TimeoutError:  # too busy to take one more connection, so it is alive
            pass
    raise EndpointUnavailable(
        f"{path}: another node runs here; stop it first, or give this one a path of its own with [control] socket"
    )


def _listening_at(path: Path) -> socket.socket:
    """A socket that listens at ``path``, whatever stood there."""
    made = path.with_name(f".{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            made.unlink()
        listener.bind(os.fspath(made))
        made.chmod(_MODE)
        listener.listen(MOST_CLIENTS)
        made.rename(path)
    except OSError:
        listener.close()
        with contextlib.suppress(OSError):
            made.unlink()
        raise
    return listener


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
