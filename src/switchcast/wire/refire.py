"""Events that came from another host, in the two forms in which the local switch can be told of them. No I/O.

::

    from the group                    refire: as the module fires it            restore: the original again

    Event-Name: CUSTOM                Event-Subclass: multicast::event          Event-Name: CUSTOM
    Event-Subclass: sofia::register   Event-Name: CUSTOM                        Event-Subclass: sofia::register
    contact: %3Csip%3A1000%40a%3E     Multicast: yes                            contact: %3Csip%3A1000%40a%3E
    Multicast-Sender: fs1             Orig-Event-Name: CUSTOM                   Orig-Multicast-Sender: fs1
    Content-Length: 4                 Orig-Event-Subclass: sofia::register      Multicast: yes
                                      Orig-contact: %3Csip%3A1000%40a%3E        Content-Length: 4
    body                              Orig-Multicast-Sender: fs1
                                      Orig-Content-Length: 4                    body
                                      Content-Length: 4

                                      body

mod_sofia takes over registrations, presence and lamps from the middle form. The names, their order, the line
``Orig-Content-Length`` and that values are passed on as they came are FreeSWITCH's ``mod_event_multicast``, whose
mistakes are left out: it makes headers of a body's lines, splits a name at its first colon and cuts it at 122 bytes.

Neither form decodes a value: header lines get a prefix as they stand. ``Multicast: yes`` marks both, so that no node
sends them to a group again.
"""

from __future__ import annotations

import re
from typing import Final

from switchcast._native import Event

__all__ = ["MULTICAST_EVENT", "MULTICAST_SUBCLASSES", "fired_as", "from_switch", "is_refired", "refire", "restore"]

MULTICAST_EVENT: Final = "multicast::event"
MULTICAST_SUBCLASSES: Final = frozenset({MULTICAST_EVENT, "multicast::peerup", "multicast::peerdown"})
"""The subclasses that the module fires itself and never sends."""

_HEAD: Final = b"Event-Subclass: multicast%3A%3Aevent\nEvent-Name: CUSTOM\nMulticast: yes\n"
_VALUE: Final = rb"(?:: (?![^\n]*: )|:(?![^\n]*:))[^\n]*\n"
"""The rest of a line behind a name: a line splits at its last colon that a space follows, or else at its last."""
_SENDER: Final = re.compile(rb"^(?=Multicast-Sender" + _VALUE + rb")", re.IGNORECASE | re.MULTILINE)
_MARK: Final = re.compile(rb"^Multicast" + _VALUE, re.IGNORECASE | re.MULTILINE)
_WRAPPED: Final = re.compile(rb"^Orig-([^\n]*\n)", re.IGNORECASE | re.MULTILINE)
_LENGTH: Final = re.compile(rb"^Content-Length: ?[0-9]*\n\Z", re.IGNORECASE | re.MULTILINE)


def refire(event: Event) -> Event:
    """The ``multicast::event`` that ``mod_event_multicast`` fires when it gets ``event``; origin and trust are kept.

    Raises ``RejectedDatagram`` where the longer names, or the three headers in front, are over a limit.
    """
    head, body = _parts(event)
    if head:
        head = b"Orig-" + head[:-1].replace(b"\n", b"\nOrig-") + b"\n"
    return _joined(_HEAD + head, body, event)


def restore(event: Event) -> Event:
    """The event as it was fired where it comes from, but marked: ``event`` is from a group, or what ``refire`` made.

    ``Multicast-Sender`` becomes ``Orig-Multicast-Sender``, for the switch's own module would add a second one, and
    ``Multicast: yes`` is the last header. Raises ``RejectedDatagram`` where these are over a limit.
    """
    head, body = _parts(event)
    if event.subclass == MULTICAST_EVENT:
        head = b"".join(_WRAPPED.findall(head))
    head = _LENGTH.sub(b"", head) if body else head
    head = _SENDER.sub(b"Orig-", _MARK.sub(b"", head))
    return _joined(head + b"Multicast: yes\n", body, event)


def fired_as(event: Event) -> tuple[str, str]:
    """The kind of ``event`` where it was first fired, and what stands before its headers' names here.

    The kind is the name, of CUSTOM events the subclass, and empty where it is not said. ``Orig-`` stands before the
    names in a ``multicast::event``.
    """
    kind, prefix = event.name or "", ""
    if kind == "CUSTOM":
        kind = event.subclass or ""
        if kind == MULTICAST_EVENT:
            prefix = "Orig-"
            kind = event.get("Orig-Event-Name") or ""
            if kind == "CUSTOM":
                kind = event.get("Orig-Event-Subclass") or ""
    return kind, prefix


def is_refired(event: Event) -> bool:
    """Whether a host made ``event`` out of what a group had told it: such an event must not make another round."""
    if (event.raw("Multicast") or b"").lower() == b"yes":
        return True
    return event.name == "CUSTOM" and event.subclass in MULTICAST_SUBCLASSES


def from_switch(form: str, text: bytes) -> Event:
    """The event that a switch sends over its event socket as ``plain`` or ``json``.

    What the switch fires because a group told it so is of ``stock`` trust: its own module takes anyone's datagrams, and
    no proof of where they came from outlasts the firing. Raises ``RejectedDatagram``.
    """
    event = Event.from_plain(text) if form == "plain" else Event.from_json(text)
    return event.with_trust("stock") if b"ulticast" in text and is_refired(event) else event


def _parts(event: Event) -> tuple[bytes, bytes]:
    """The header lines as they stand, that with the body's length among them, and the body."""
    text, body = event.to_plain(), event.body
    return text[: len(text) - len(body) - 1], body


def _joined(head: bytes, body: bytes, origin: Event) -> Event:
    length = b"Content-Length: %d\n" % len(body) if body else b""
    return origin.with_text(b"%b%b\n%b" % (head, length, body))
