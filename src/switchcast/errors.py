"""Every error that switchcast raises, in one tree.

::

    SwitchcastError                  1   the root: catch this to catch them all
    ├── UsageError                   2   what was asked for cannot be meant
    │   ├── UrlError                     an endpoint's URL
    │   ├── BindingError                 a bindings string
    │   ├── ConditionError               a CEL condition; knows the column
    │   └── KeyTextError                 a pre-shared key of the wrong length
    ├── ConfigurationError          78   a file of settings
    │   └── KeyFileError                 a file of keys, or of who may sign
    ├── RejectedDatagram             1   bytes from outside that are no event; knows the reason
    ├── EventTooLarge                1   an event that no datagram can carry
    ├── AnswerError                  1   a switch's answer that is not what it was asked for
    ├── EndpointError                1   an endpoint that cannot do its work
    │   ├── EndpointUnavailable     69   nobody there, address in use, no such file, no route
    │   │   └── NoNode                   nothing listens at the control socket
    │   ├── EndpointDenied          77   permission or authentication refused
    │   └── EndpointClosed           1   used after it was closed
    └── MissingExtra                69   an optional dependency that is not installed

The number is the exit code of the command line (``exit_code``), after ``sysexits.h`` where it has one. Each message
says what was wrong, where, and, where we can tell, what would mend it.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AnswerError",
    "BindingError",
    "ConditionError",
    "ConfigurationError",
    "EndpointClosed",
    "EndpointDenied",
    "EndpointError",
    "EndpointUnavailable",
    "EventTooLarge",
    "KeyFileError",
    "KeyTextError",
    "MissingExtra",
    "NoNode",
    "RejectedDatagram",
    "SwitchcastError",
    "UrlError",
    "UsageError",
]


class SwitchcastError(Exception):
    """Root of every error that switchcast raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(SwitchcastError):
    """What the caller asked for cannot be meant as it stands."""

    exit_code = 2


class UrlError(UsageError):
    """An endpoint URL that names no endpoint, or an option that the endpoint does not have."""


class BindingError(UsageError):
    """A bindings string that selects nothing, or that cannot be read."""


class ConditionError(UsageError):
    """A CEL condition that does not compile.

    ``column`` counts characters from 1 in the condition's own text; ``None`` where the compiler does not tell.
    """

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.column = column

    def __reduce__(self) -> tuple[type[ConditionError], tuple[str, int | None]]:
        return (type(self), (str(self), self.column))


class KeyTextError(UsageError):
    """A pre-shared key that stock FreeSWITCH could not use: 1 to 72 bytes are allowed. Never holds the key."""


class ConfigurationError(SwitchcastError):
    """A settings file that cannot be used."""

    exit_code = 78


class KeyFileError(ConfigurationError):
    """A file of keys, or of who may sign, that says something wrong: in which line, and never a secret."""


class RejectedDatagram(SwitchcastError):
    """Bytes from outside that are not an event. ``reason`` is one of the names in ``switchcast.REJECT_REASONS``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[RejectedDatagram], tuple[str, str]]:
        return (type(self), (self.reason, str(self)))


class EventTooLarge(SwitchcastError):
    """An event longer than any datagram: 65,507 bytes over IPv4, 65,527 over IPv6, trailer included.

    ``size`` and ``limit`` are in bytes.
    """

    def __init__(self, message: str, size: int, limit: int) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit

    def __reduce__(self) -> tuple[type[EventTooLarge], tuple[str, int, int]]:
        return (type(self), (str(self), self.size, self.limit))


class AnswerError(SwitchcastError):
    """A switch's answer that is not what its command asked for; ``command`` and ``reason``."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"the switch's answer to '{command}': {reason}")
        self.command = command
        self.reason = reason

    def __reduce__(self) -> tuple[type[AnswerError], tuple[str, str]]:
        return (type(self), (self.command, self.reason))


class EndpointError(SwitchcastError):
    """An endpoint that cannot do what it was asked to."""


class EndpointUnavailable(EndpointError):
    """Nobody answers there, the address is in use, the file does not exist, there is no route."""

    exit_code = 69


class NoNode(EndpointUnavailable):
    """No node runs here: nothing listens at its control socket."""


class EndpointDenied(EndpointError):
    """Permission or authentication was refused."""

    exit_code = 77


class EndpointClosed(EndpointError):
    """The endpoint was used after it had been closed."""


class MissingExtra(SwitchcastError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    exit_code = 69

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f"{needed_for} needs an optional dependency: pip install 'switchcast[{extra}]'")
        self.extra = extra
        self.needed_for = needed_for

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        return (type(self), (self.extra, self.needed_for))
