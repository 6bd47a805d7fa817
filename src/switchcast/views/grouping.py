"""Which legs are one call: those that name the same thing, by any number of steps.

A leg has *tags*: its own UUID, that of its call (Channel-Call-UUID), of the leg it is bridged to, of the other end of a
loopback, its SIP Call-ID. Two legs with a tag in common are of one call, on whichever switch they are: the leg by which
a call leaves one switch has the SIP Call-ID of the leg by which it comes to the next.

Anyone can write a tag into a stock datagram. So a leg that nobody vouches for, a *stranger*, is shown with the call
that it names but joins nothing: two calls are not made one because a stranger names both. Strangers that hang together
go with the first of the others that they name, by order of key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

__all__ = ["Groups"]


@dataclass(eq=False)
class Groups:
    """The tags of all legs. ``strange`` says of a leg whether it is a stranger."""

    strange: Callable[[str], bool]
    _tags: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False)
    _legs: dict[str, dict[str, None]] = field(default_factory=dict, init=False, repr=False)

    def tag(self, leg: str, tags: tuple[str, ...]) -> bool:
        """Give ``leg`` these tags in place of those it has; whether that changes anything."""
        had = self._tags.get(leg, ())
        if had == tags:
            return False
        self._untag(leg, had)
        if tags:
            self._tags[leg] = tags
            for tag in tags:
                self._legs.setdefault(tag, {})[leg] = None
        else:
            del self._tags[leg]
        return True

    def naming(self, tag: str) -> list[str]:
        """The legs that have this tag."""
        return list(self._legs.get(tag, ()))

    def call(self, leg: str) -> set[str]:
        """All legs of the call that ``leg`` belongs to, itself among them."""
        if self.strange(leg):
            cluster, home = self._cluster(leg)
            if home is None:
                return cluster
            leg = home
        core = self._reach(leg, strange=False)
        legs = set(core)
        for other in core:
            for near in self._near(other):
                if near not in legs and self.strange(near):
                    cluster, home = self._cluster(near)
                    if home in core:
                        legs |= cluster
        return legs

    def _cluster(self, stranger: str) -> tuple[set[str], str | None]:
        """The strangers that hang together with this one, and the leg whose call they are shown with."""
        cluster = self._reach(stranger, strange=True)
        named = {near for leg in cluster for near in self._near(leg) if near not in cluster}
        return cluster, min(named, default=None)

    def _reach(self, start: str, *, strange: bool) -> set[str]:
        """Every leg of this kind that can be reached by way of such legs."""
        found = {start}
        ahead = [start]
        followed: set[str] = set()
        while ahead:
            for tag in self._tags.get(ahead.pop(), ()):
                if tag in followed:
                    continue
                followed.add(tag)
                for near in self._legs[tag]:
                    if near not in found and self.strange(near) == strange:
                        found.add(near)
                        ahead.append(near)
        return found

    def _near(self, leg: str) -> Iterable[str]:
        return [near for tag in self._tags.get(leg, ()) for near in self._legs[tag]]

    def _untag(self, leg: str, tags: tuple[str, ...]) -> None:
        for tag in tags:
            legs = self._legs[tag]
            del legs[leg]
            if not legs:
                del self._legs[tag]
