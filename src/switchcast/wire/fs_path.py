"""``fs_path``: the way back to the switch that holds a registration, written into the registration's contact. No I/O.

::

    contact of the telephone         "" <sip:1000@192.168.7.5:5060>
    to be called from elsewhere      "" <sip:1000@192.168.7.5:5060;fs_path=sip:192.0.2.1>

A switch that learns a registration from another one would call the telephone itself, from an address that neither the
telephone nor the NAT in front of it knows. ``fs_path`` names the SIP host that the call is to be sent to instead.
mod_sofia writes it when its ``rewrite-multicasted-fs-path`` is on: into the contact of ``sofia::register`` and nowhere
else, in place of an ``fs_path`` that is there, else in front of the contact's last character; as the host it takes
``to-host``, ``FreeSWITCH-IPv4`` or ``FreeSWITCH-Hostname``. Unlike it we look for the end of the URI, never cut the
host short (it reckons with the length of ``to-host`` for all three), and believe no host that is none.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final, Literal

from switchcast._native import Event

__all__ = ["HOSTS", "Host", "is_registration", "route_back", "serving_host", "with_fs_path"]

Host = Literal["source", "ipv4", "hostname", "to-host"]
HOSTS: Final[tuple[Host, ...]] = ("source", "ipv4", "hostname", "to-host")
"""What can tell the host: the address that the datagram came from, or a header of the event."""

_HEADERS: Final = {"ipv4": "FreeSWITCH-IPv4", "hostname": "FreeSWITCH-Hostname", "to-host": "to-host"}
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_NAME: Final = 253
_FS_PATH: Final = re.compile(r";fs_path=[^;>]*")


def is_registration(event: Event) -> bool:
    """Whether ``event`` tells of a registration that was made or renewed."""
    return event.name == "CUSTOM" and event.subclass == "sofia::register"


def serving_host(event: Event, host: Host) -> str | None:
    """The host that ``event`` came from, as a SIP URI has it; ``None`` where it does not tell one that can be called.

    The source's address is that of the last hop, and the one thing here that the sender does not write itself.
    """
    if host == "source":
        name = (event.source or "").rpartition(":")[0].removeprefix("[").removesuffix("]")
    else:
        name = event.get(_HEADERS[host]) or ""
    try:
        address = ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        is_name = host != "source" and len(name) <= _LONGEST_NAME and _HOST_NAME.fullmatch(name)
        return name if is_name else None
    if "%" in name or address.is_unspecified or address.is_link_local or address.is_multicast:
        return None  # a URI has no place for the interface that a link-local address needs
    return f"[{address}]" if address.version == 6 else str(address)


def with_fs_path(contact: str, host: str, *, replace: bool) -> str:
    """``contact`` with the way over ``host`` in its URI; one that is there stays unless ``replace``."""
    path = f";fs_path=sip:{host}"
    start = contact.rfind("<") + 1
    there = _FS_PATH.search(contact, start)
    if there:
        return contact[: there.start()] + path + contact[there.end() :] if replace else contact
    end = contact.find(">", start)
    return contact + path if end < 0 else contact[:end] + path + contact[end:]


def route_back(event: Event, host: str, *, replace: bool) -> Event:
    """``event``, a registration, with the way back over ``host`` in its (first) ``contact``; nothing else is changed.

    One without a contact is returned as it is. Raises ``RejectedDatagram`` where the longer contact is over a limit.
    """
    raw = event.raw("contact")
    contact = event.get("contact") or ""
    changed = with_fs_path(contact, host, replace=replace) if contact else contact
    if raw is None or changed == contact:
        return event
    value = Event.from_headers([("contact", changed)]).raw("contact")
    line = re.compile(rb"^(contact: ?)" + re.escape(raw) + rb"$", re.IGNORECASE | re.MULTILINE)
    text, body = event.to_plain(), event.body
    head = text[: len(text) - len(body)]
    head = line.sub(lambda found: found[1] + (value or b""), head, count=1)
    return event.with_text(head + body)
