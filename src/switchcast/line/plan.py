"""What a node is to do: routes, each from a source to sinks. Values that are compared, not things that run.

::

    switch = Source("esl://127.0.0.1:8021", name="switch")
    group = Sink("multicast://239.192.1.1:4242?interface=eth0", name="group")
    Route(switch, [group], bindings="HEARTBEAT PRESENCE_IN", where='sender != node')

Routes that name an equal source share it: it is opened and read once. Routes that name an equal sink share it: one
connection, one queue. A source and a sink of the same name on one event socket share its connection. When a node is
given a new plan, what is equal in both runs on (``Node.reload``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from switchcast._native import Event, Matcher, TrustCheck
from switchcast.bus import QUEUE_EVENTS, Overflow
from switchcast.endpoints import Endpoint, EndpointUrl, Role, make_endpoint
from switchcast.endpoints.places import same_place
from switchcast.errors import BindingError, UsageError
from switchcast.keys import GroupKeys
from switchcast.line.addresses import Allowed
from switchcast.line.loops import Hearer, hearer_of

__all__ = ["Plan", "Policy", "Route", "Sink", "Source", "matcher_for", "unchanged", "union_of"]

Policy = Callable[[list[Event]], list[Event]]
"""What may pass, and as what: takes a batch and gives back those that may go on, changed or not."""

_ONE_CONNECTION: Final = frozenset({"esl"})
"""Schemes whose source and sink are one connection."""
_READERS: Final = frozenset({"file", "-", "memory", "archive"})
"""Schemes of sinks that are read by people and archives, to whom gap records are of use."""


def unchanged(events: list[Event]) -> list[Event]:
    """The policy that lets everything pass as it is."""
    return events


@dataclass(frozen=True)
class Source:
    """Where events come from: a URL, parsed or not, or an endpoint that is made already.

    An endpoint keeps the matcher that it was made with; one that is made from a URL is asked for just what its routes
    and taps want. ``spec`` is anything else that makes two sources different, as the date of a password file. ``keys``
    are a group's, in place of those in its file; they make no other source, for one that runs is given others.
    """

    at: str | EndpointUrl | Endpoint = field(repr=False)
    name: str = ""
    spec: Hashable = None
    keys: GroupKeys | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _name(self, self.at)

    @property
    def url(self) -> EndpointUrl:
        """The parsed URL, whose text masks secrets. Raises ``UrlError``."""
        return url_of(self.at)


@dataclass(frozen=True)
class Sink:
    """Where events go: a URL or an endpoint, the queue in front of it, and who hears what it is sent.

    ``overflow`` is what a full queue of ``limit`` events does. ``gaps``: whether it is told in-band of what its queue
    dropped and its sources lost; by default if it is for people or archives. ``hearer``: whom the loop guard protects,
    by default as the scheme says. ``keys`` are as in ``Source``.
    """

    at: str | EndpointUrl | Endpoint = field(repr=False)
    name: str = ""
    spec: Hashable = None
    overflow: Overflow = "drop-oldest"
    limit: int = QUEUE_EVENTS
    gaps: bool | None = None
    hearer: Hearer | None = None
    keys: GroupKeys | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _name(self, self.at)

    @property
    def url(self) -> EndpointUrl:
        """The parsed URL, whose text masks secrets. Raises ``UrlError``."""
        return url_of(self.at)

    @property
    def heard_by(self) -> Hearer:
        """Who hears it."""
        return self.hearer or hearer_of(self.url.scheme)

    @property
    def tells_gaps(self) -> bool:
        """Whether gap records are sent to it."""
        return self.url.scheme in _READERS if self.gaps is None else self.gaps


@dataclass(frozen=True)
class Route:
    """From one source, what may pass, to sinks.

    ``bindings`` and ``where`` choose as in ``Matcher``; ``allow`` are the addresses and networks that may be heard;
    ``policy`` takes what matched and gives back what may go on. ``deduplicate`` says that the source is one of several
    paths for the same traffic: what has come through another such source of the node, or through this, is dropped, for
    all routes from this source.

    A route that acts, for one of its sinks is a switch, takes no events that nothing vouches for, unless ``trust`` is
    ``"stock"``. Where ``require`` is ``"signed"``, any route takes none but signed ones, from ``signers`` if there are
    any. See ``Event.trust``.
    """

    source: Source
    sinks: Sequence[Sink]
    bindings: str = "all"
    where: str | None = None
    policy: Policy = unchanged
    allow: Sequence[str] = ()
    deduplicate: bool = False
    name: str = ""
    trust: Literal["stock"] | None = None
    require: Literal["signed"] | None = None
    signers: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "sinks", tuple(dict.fromkeys(self.sinks)))
        object.__setattr__(self, "allow", tuple(self.allow))
        object.__setattr__(self, "signers", tuple(self.signers))
        if not self.name:
            ends = ", ".join(sink.name for sink in self.sinks) or "nowhere"
            object.__setattr__(self, "name", f"{self.source.name} to {ends}")

    @property
    def acts(self) -> bool:
        """Whether what goes this way has an effect: a switch takes over what it is told."""
        return any(sink.heard_by == "switch" for sink in self.sinks)

    def trust_check(self) -> TrustCheck | None:
        """Whose events it takes; ``None`` where it takes everyone's."""
        if self.require == "signed":
            return TrustCheck(signed=True, signers=self.signers)
        return TrustCheck() if self.acts and self.trust != "stock" else None


class Plan:
    """Routes that fit together, and sinks that no route leads to but that events are injected into.

    Raises ``UsageError``, in the words of what is wrong, where they do not.
    """

    def __init__(self, routes: Iterable[Route], sinks: Iterable[Sink] = (), *, node: str = "") -> None:
        self.routes: dict[str, Route] = {}
        self.sources: dict[str, Source] = {}
        self.sinks: dict[str, Sink] = {}
        self.matchers: dict[str, Matcher | None] = {}
        self.allowed: dict[str, Allowed | None] = {}
        for route in routes:
            name = _free_name(route.name, self.routes)
            self.routes[name] = route
            self.matchers[name] = matcher_for(route.bindings, route.where, node)
            self.allowed[name] = Allowed(route.allow) if route.allow else None
            _add(self.sources, route.source, "sources")
            for sink in route.sinks:
                _add(self.sinks, sink, "sinks")
        for sink in sinks:
            _add(self.sinks, sink, "sinks")
        self._keep_recordings_apart()

    def routes_from(self, source: str) -> list[str]:
        """The names of the routes from this source, in order."""
        return [name for name, route in self.routes.items() if route.source.name == source]

    def hears_itself(self, source: str) -> bool:
        """Whether this source hears what a sink of this plan sends: the same group and port."""
        url = self.sources[source].url
        sinks = (sink.url for sink in self.sinks.values())
        return url.scheme == "multicast" and any(
            (sink.scheme, sink.port) == (url.scheme, url.port) and not set(sink.hosts).isdisjoint(url.hosts)
            for sink in sinks
        )

    def _keep_recordings_apart(self) -> None:
        """Raise ``UsageError`` where a file would be emptied that is to be read, or be written by two at once.

        An archive may be read while it is written, but not be filled with what is read from itself.
        """
        for route in self.routes.values():
            for sink in route.sinks:
                if same_place(route.source.url, sink.url):
                    raise UsageError(f"{sink.name}: events would be written to where they are read; name another place")
        files = [sink for sink in self.sinks.values() if sink.url.scheme == "file"]
        for index, sink in enumerate(files):
            if any(same_place(source.url, sink.url) for source in self.sources.values()):
                raise UsageError(f"{sink.name}: another route reads this file; write to another")
            if any(same_place(other.url, sink.url) for other in files[:index]):
                raise UsageError(f"{sink.name}: two sinks would write to this file; give each a file of its own")

    def key(self, part: Source | Sink) -> Hashable:
        """What makes the endpoint of ``part`` the one it is: parts of equal keys are one endpoint.

        The roles are in it where a connection serves both, so that it is made anew when one is added or goes.
        """
        if isinstance(part.at, Endpoint):
            return part.at, part.spec
        role: Role = "source" if isinstance(part, Source) else "sink"
        if part.url.scheme not in _ONE_CONNECTION:
            return part.name, part.at, part.spec, role
        ends: list[Source | Sink | None] = [self.sources.get(part.name), self.sinks.get(part.name)]
        return (
            part.name,
            part.at,
            part.spec,
            *(end is not None and (end.at, end.spec) == (part.at, part.spec) for end in ends),
        )

    def make(self, part: Source | Sink, matcher: Matcher | None) -> Endpoint:
        """The endpoint of ``part``, not yet opened. Raises ``UrlError``."""
        if isinstance(part.at, Endpoint):
            return part.at
        role: Role = "source" if isinstance(part, Source) else "sink"
        both = part.url.scheme in _ONE_CONNECTION
        return make_endpoint(part.at, matcher=matcher, role=None if both else role)


def url_of(at: str | EndpointUrl | Endpoint) -> EndpointUrl:
    """The parsed URL of a URL or an endpoint."""
    if isinstance(at, Endpoint):
        return at.url
    return EndpointUrl.parse(at) if isinstance(at, str) else at


def matcher_for(bindings: str, where: str | None, node: str) -> Matcher | None:
    """The matcher for ``bindings`` and ``where``; ``None`` where everything matches."""
    if where is None and bindings.strip().lower() == "all":
        return None
    return Matcher(bindings, where, node=node)


def union_of(matchers: Sequence[Matcher | None]) -> Matcher | None:
    """A matcher for whatever the bindings of one of them select; ``None`` where that is everything."""
    names: dict[str, None] = {}  # ordered sets
    subclasses: dict[str, None] = {}
    custom = False
    for matcher in matchers:
        if matcher is None or matcher.bindings == "ALL":
            return None
        before, found, after = f" {matcher.bindings} ".partition(" CUSTOM ")
        names |= dict.fromkeys(before.split())
        subclasses |= dict.fromkeys(after.split())
        custom = custom or bool(found)
    words = [*names, *(["CUSTOM", *subclasses] if custom else [])]
    try:
        return Matcher(" ".join(words)) if words else None
    except BindingError:  # more words than bindings may have: then everything, from which each route selects
        return None


Part = TypeVar("Part", Source, Sink)


def _add(parts: dict[str, Part], part: Part, kind: str) -> None:
    if parts.setdefault(part.name, part) != part:
        raise UsageError(f"two different {kind} are called {part.name!r}; give each a name of its own")


def _name(part: Source | Sink, at: str | EndpointUrl | Endpoint) -> None:
    url = url_of(at)
    if not part.name:
        object.__setattr__(part, "name", str(url))


def _free_name(name: str, taken: dict[str, Route]) -> str:
    """``name``, or where it is taken ``name (2)`` and so on."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
