"""What events and snapshots tell of a registration, read with distrust: any text can stand in any header.

::

    sofia::register   profile-name, from-user, from-host, contact, call-id, expires (seconds), network-ip, …
    sofia::expire     profile-name, user, host, contact, call-id, expires (a date in seconds since 1970)
    sofia xmlstatus   user, contact, call-id, agent, status with expsecs(seconds), ping-status, network-ip, …
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from switchcast.views.telling import Told

__all__ = [
    "MOST_CHARACTERS",
    "MOST_SECONDS",
    "Account",
    "Heard",
    "account_in",
    "cut",
    "heard_in",
    "listed_in",
    "number_in",
    "path_host",
    "run_of",
]

MOST_CHARACTERS: Final = 512
"""Characters of each text in a row: a header can hold a mebibyte. An account's name that is longer is refused."""
MOST_SECONDS: Final = 30 * 86400.0
"""What a longer registration is taken for, so that no row stays for a century; telephones ask for an hour."""
_ASSUMED_SECONDS: Final = 3600.0
"""What a registration has left that a snapshot lists without saying, as an old mod_sofia does."""
_CORE_CHARACTERS: Final = 36
"""Of a UUID; anyone can send more, and it is kept with each row."""
_NEVER: Final = -1_000_000_000
"""Below this ``expsecs`` is that of a row without an end, whose date is 0."""

_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_EXPSECS: Final = re.compile(r"expsecs\(([+-]?[0-9]{1,12})\)", re.ASCII | re.IGNORECASE)
_PATH_HOST: Final = re.compile(r";fs_path=(?:sips?(?::|%3A))?(\[[0-9A-Fa-f:.]+\]|[^][:;>%@\s]+)", re.IGNORECASE)

Account = tuple[str, str]
"""``user@domain`` and the profile."""


class Heard(NamedTuple):
    """Where an account can be reached; ``ends`` is monotonic seconds."""

    account: Account
    contact: str
    call_id: str
    agent: str
    address: str
    ends: float
    reachable: bool = True


def heard_in(told: Told, now: float) -> Heard | None:
    """The registration that a ``sofia::register`` tells of; ``None`` if it names no account, or no time to come."""
    account = account_in(told, "from-user", "from-host")
    seconds = number_in(told.get("expires"))
    if account is None or not seconds:
        return None
    address = _address(told.get("network-ip"), told.get("network-port"))
    call_id, agent = cut(told.get("call-id")), cut(told.get("user-agent"))
    return Heard(account, cut(told.get("contact")), call_id, agent, address, now + min(seconds, MOST_SECONDS))


def account_in(told: Told, user: str, host: str) -> Account | None:
    """The account that the headers ``user`` and ``host`` name, and the profile."""
    names = told.get(user), told.get(host)
    return ("@".join(names), cut(told.get("profile-name"))) if all(names) else None


def listed_in(row: Mapping[str, str], begun: float) -> Heard | None:
    """The registration that a row of ``sofia xmlstatus profile NAME reg`` is; ``None`` if it names no account."""
    get, most = row.get, MOST_CHARACTERS
    user = get("user", "")
    if not user:
        return None
    found = _EXPSECS.search(get("status", ""))
    left = float(found[1]) if found else _ASSUMED_SECONDS
    if not 0.0 <= left <= MOST_SECONDS:
        left = 0.0 if _NEVER <= left < 0.0 else MOST_SECONDS
    return Heard(
        (user, get("profile", "")[:most]),
        get("contact", "")[:most],
        get("call-id", "")[:most],
        get("agent", "")[:most],
        _address(get("network-ip", ""), get("network-port", "")),
        begun + left,
        get("ping-status", "").lower() != "unreachable",
    )


def path_host(contact: str) -> str:
    """The host that ``fs_path`` in ``contact`` leads to: a switch, a proxy, or the NAT of the telephone; or nothing."""
    found = _PATH_HOST.search(contact)
    return found[1].removeprefix("[").removesuffix("]") if found else ""


def number_in(text: str) -> int | None:
    """The number that ``text`` is, in ASCII digits and with no sign; ``None`` for anything else."""
    return int(text) if _NUMBER.fullmatch(text) else None


def run_of(told: Told) -> tuple[str, int]:
    """The run of the switch that fired it, and its number there: -1 where it tells none."""
    number = number_in(told.get("Event-Sequence"))
    return told.core[:_CORE_CHARACTERS], -1 if number is None else number


def cut(text: str) -> str:
    """``text``, or its beginning."""
    return text[:MOST_CHARACTERS]


def _address(ip: str, port: str) -> str:
    """``192.0.2.7:5060`` or ``[2001:db8::7]:5060``; without what is missing."""
    host = f"[{ip}]" if ":" in ip and not ip.startswith("[") else ip
    return cut(f"{host}:{port}" if port else host)
