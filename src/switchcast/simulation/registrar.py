"""A simulated mod_sofia's table of registrations, and what it does with ``multicast::event``.

The table (``sip_registrations``) is what ``sofia status profile internal reg`` and ``sofia_contact`` show. The switch's
own users are in it, and those of other switches that a ``multicast::event`` told of: mod_sofia acts on these without
asking who fired them, whether ``mod_event_multicast`` did or a client of the event socket. ``show registrations`` is
another table, of the core, and never shows them.

As in mod_sofia one account has one row, so a registration that is heard of replaces the switch's own of that account,
and the end of a registration elsewhere takes away whichever row is there. A row that was heard of and has run out is
not shown; a real switch fires ``sofia::expire`` for it as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from switchcast._native import Event

__all__ = ["PROFILE", "Registrar", "SipRegistration"]

PROFILE: Final = "internal"
"""The one SIP profile of a simulated switch."""

_SECONDS: Final = re.compile(r"\s*[+-]?\d{1,9}")


@dataclass(slots=True)
class SipRegistration:
    """One row: where ``account`` (``user@domain``) can be reached."""

    account: str
    contact: str
    call_id: str
    agent: str
    network_ip: str
    network_port: str
    expires: int
    """Seconds since 1970 UTC."""
    auth_user: str
    auth_realm: str
    ping_status: str = "Reachable"
    propagated: bool = False
    """Whether another switch holds the registration."""

    @property
    def uri(self) -> str:
        """The contact's SIP URI with its parameters, ``fs_path`` among them."""
        return self.contact[self.contact.rfind("<") + 1 :].partition(">")[0]

    def shown(self, now: int) -> bool:
        """Whether the row is still there at ``now``; the switch's own go when it notices that they have run out."""
        return not self.propagated or self.expires > now


class Registrar:
    """The table of one switch."""

    def __init__(self) -> None:
        self._rows: dict[str, SipRegistration] = {}

    def rows(self, now: int) -> Iterator[SipRegistration]:
        """What the table holds at ``now``, in seconds since 1970 UTC."""
        return (row for row in self._rows.values() if row.shown(now))

    def find(self, account: str, now: int) -> SipRegistration | None:
        """The row of this account, if it is shown at ``now``."""
        row = self._rows.get(account)
        return row if row is not None and row.shown(now) else None

    def insert(self, row: SipRegistration) -> None:
        """Add ``row`` in place of what there is of its account."""
        self._rows.pop(row.account, None)
        self._rows[row.account] = row

    def delete(self, account: str) -> None:
        """Take away the row of this account, if there is one."""
        self._rows.pop(account, None)

    def hear(self, event: Event, now: int) -> None:
        """Do what mod_sofia does with a ``multicast::event`` about a registration."""

        def told(name: str) -> str:
            return event.get(f"Orig-{name}") or ""

        if told("profile-name") != PROFILE:
            return  # which a real switch logs as an error
        account = f"{told('from-user')}@{told('from-host')}"
        match told("Event-Subclass").lower():
            case "sofia::register":
                seconds = _SECONDS.match(told("expires"))
                self.insert(
                    SipRegistration(
                        account,
                        told("contact"),
                        told("call-id"),
                        told("user-agent"),
                        told("network-ip"),
                        told("network-port"),
                        now + (int(seconds[0]) if seconds else 0),
                        told("username"),
                        told("realm"),
                        propagated=True,
                    )
                )
            case "sofia::unregister":
                self.delete(account)
            case "sofia::sip_user_state":
                row = self.find(account, now)
                if row is not None and row.call_id == told("call-id"):
                    row.ping_status = "Reachable" if told("Ping-Status") == "REACHABLE" else "Unreachable"
