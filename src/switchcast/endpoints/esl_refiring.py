"""What the ``esl:`` sink makes of events before it fires them: the relay's half of ``mod_event_multicast``.

================== ==========================================================================================
``refire``         ``auto``: what came from a group (it has ``Multicast-Sender``) is fired as the module fires it, as
                   ``multicast::event`` with ``Orig-`` headers, and anything else as it is; ``yes``: everything as the
                   module does; ``original``: what came from a group as the event it was at its switch, marked
                   ``Multicast: yes``; ``no``: everything as it is
``fs_path``        in the contact of registrations that came from a group: ``keep`` it; ``add`` the way back to the
                   switch that holds the registration where none is there; ``rewrite`` one that is there, too
``fs_path_host``   what tells that switch's address: ``source`` (the datagram's), or the header ``ipv4``
                   (``FreeSWITCH-IPv4``), ``hostname`` (``FreeSWITCH-Hostname``) or ``to-host``
================== ==========================================================================================

What a host made out of a group's event (``Multicast: yes``) is not re-fired once more, whoever put it on the group: two
hosts would throw it at each other for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, cast

from switchcast._native import Event
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import RejectedDatagram, UrlError
from switchcast.wire.fs_path import HOSTS, Host, is_registration, route_back, serving_host
from switchcast.wire.refire import is_refired, refire, restore

__all__ = ["Refiring"]

_COUNTERS: Final = ("refired", "fs_path_set", "fs_path_unknown_host")


class Refiring:
    """One sink's way with events that came from a group. See the module for the options that it reads.

    Raises ``UrlError`` for a value that is none, and for an ``fs_path`` that could come to nothing.
    """

    def __init__(self, url: EndpointUrl) -> None:
        self._how = url.choice("refire", "auto", ("auto", "yes", "no", "original"))
        self._fs_path = url.choice("fs_path", "keep", ("keep", "add", "rewrite"))
        self._host = cast("Host", url.choice("fs_path_host", "source", HOSTS))
        if self._how == "no" and self._fs_path != "keep":
            raise UrlError(f"{url}: fs_path={self._fs_path} changes what is re-fired, and refire=no re-fires nothing")
        if self._fs_path == "keep" and url.text("fs_path_host") is not None:
            raise UrlError(f"{url}: fs_path_host says nothing without fs_path=add or fs_path=rewrite")
        self._counts: Counter[str] = Counter()

    def prepare(self, events: Sequence[Event]) -> tuple[Sequence[Event], int]:
        """``events`` as they are to be fired, in order, and how many are left out because they would go in circles.

        Left out without being counted here is what is over a limit once it is longer: no command could carry it.
        """
        if self._how == "no":
            return events, 0
        everything = self._how == "yes"
        ready = []
        loops = 0
        for event in events:
            if not everything and event.sender is None:
                ready.append(event)
            elif is_refired(event):
                loops += 1
            else:
                try:
                    ready.append(self._made_of(event))
                except RejectedDatagram:
                    continue
                self._counts["refired"] += 1
        return ready, loops

    def counters(self) -> dict[str, int]:
        """``refired`` events, and of the registrations among them those whose ``fs_path`` was (not) set."""
        return {name: self._counts[name] for name in _COUNTERS}

    def _made_of(self, event: Event) -> Event:
        if self._fs_path != "keep" and is_registration(event):
            event = self._routed(event)
        return restore(event) if self._how == "original" else refire(event)

    def _routed(self, event: Event) -> Event:
        host = serving_host(event, self._host)
        if host is None:
            self._counts["fs_path_unknown_host"] += 1
            return event
        routed = route_back(event, host, replace=self._fs_path == "rewrite")
        self._counts["fs_path_set"] += routed is not event
        return routed
