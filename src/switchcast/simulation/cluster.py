"""A cluster of simulated switches: a pure generator of events, the same for the same seed.

It does no I/O and reads no clock. ``advance`` turns virtual time on and returns what happened meanwhile::

    cluster = Cluster(nodes=3, cps=20, seed=1)
    for when, node, event in cluster.advance(until=60.0):
        ...

Which events come, with which headers, in which order and how far apart is taken from a recording of a real switch (see
``switchcast.simulation.templates``). What differs from one: Event-Sequence has no gaps, so that a test can tell loss
exactly, and calls have the media figures (packets, jitter) of the recorded ones however long they last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from switchcast._native import Event
from switchcast.errors import UsageError
from switchcast.simulation.call import Call
from switchcast.simulation.people import Population
from switchcast.simulation.stage import SECOND, Stage
from switchcast.simulation.switch import Switch
from switchcast.simulation.templates import wire

__all__ = ["DEFAULT_START", "MAX_NODES", "USERS_PER_NODE", "Cluster", "Summary"]

DEFAULT_START = 1_735_689_600.0
"""2025-01-01 00:00:00 UTC: when simulated clusters start unless they are told otherwise, so that a seed alone decides
every byte."""
MAX_NODES = 250
"""The switches' addresses are 192.0.2.1 and following, which RFC 5737 keeps for documentation."""
MAX_USERS = 130_000
"""The telephones' addresses are in 198.18.0.0/15, which RFC 2544 keeps for tests."""
USERS_PER_NODE = 20
CHECK_IP_SECONDS = 60.0
MONITOR_SECONDS = 30.0
"""How often something asks a switch for its status, as monitoring does, by ``bgapi``."""

CALLS = (("bridged", 0.45), ("application", 0.65), ("loopback", 0.75), ("voicemail", 0.87), ("busy", 0.97))
"""Kinds of call with their cumulative shares; the rest are conferences."""


class Cluster:
    """Switches ``fs1`` to ``fsN``, their users and calls.

    ``cps``: calls that begin per second in the whole cluster, at random. ``heartbeat``: seconds between a switch's
    HEARTBEATs. ``users``: of the whole cluster, 20 a node by default. ``start``: seconds since 1970 UTC that virtual
    time 0 stands for; it decides nothing but what dates read. ``talk``: seconds of conversation on average.
    ``expires``: seconds for which a user registers.

    Raises ``UsageError`` for a value out of range.
    """

    def __init__(
        self,
        nodes: int = 3,
        cps: float = 1.0,
        seed: int = 1,
        heartbeat: float = 20.0,
        users: int | None = None,
        *,
        start: float = DEFAULT_START,
        talk: float = 8.0,
        expires: float = 60.0,
    ) -> None:
        users = USERS_PER_NODE * nodes if users is None else users
        _within("nodes", nodes, 1, MAX_NODES)
        _within("cps", cps, 0, 100_000)
        _within("heartbeat", heartbeat, 0.01, 86400)
        _within("users", users, 0, MAX_USERS)
        _within("talk", talk, 0, 86400)
        _within("expires", expires, 1, 86400)
        _within("start", start, 86400, 32_000_000_000)
        self.cps = cps
        self.heartbeat = heartbeat
        self.talk = talk
        self.stage = Stage(seed, round(start * SECOND))
        self.switches = [Switch(self.stage, index) for index in range(nodes)]
        self.population = Population(self.stage, self.switches, users, expires)
        self.calls_started = 0
        for switch in self.switches:
            switch.originate = self._originate_on(switch)
            self.stage.start(self._beat(switch))
            self.stage.start(self._check_ip(switch))
            self.stage.start(self._monitor(switch))
        if cps:
            self.stage.start(self._call())

    def __repr__(self) -> str:
        return f"<Cluster {len(self.switches)} nodes at {self.now:.3f} s>"

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.stage.now / SECOND

    def advance(self, until: float) -> list[tuple[float, int, Event]]:
        """Turn virtual time to ``until`` seconds: ``(when, index of the switch, event)`` for what was fired, in order.

        What was fired from outside (``Switch.fire``, ``Switch.api``) since the last call comes first.
        """
        self.stage.run(round(until * SECOND))
        return self.stage.take()

    def _beat(self, switch: Switch) -> Iterator[int]:
        stage = self.stage
        yield stage.between(0.0, min(self.heartbeat, 20.0))
        while True:
            if switch.up:
                self._heartbeat(switch)
                runtime = (stage.epoch + stage.now) // SECOND + max(1, round(self.heartbeat))
                switch.play_now("reschedule", runtime=b"%d" % runtime)
            yield stage.now + int(self.heartbeat * SECOND)

    def _heartbeat(self, switch: Switch) -> None:
        last, busiest = switch.sessions_per_second()
        switch.play_now(
            "heartbeat",
            uptime=wire(switch.uptime()),
            uptime_ms=b"%d" % (switch.uptime_micros // 1000),
            sessions=b"%d" % len(switch.channels),
            sps_last=b"%d" % last,
            sps_max=b"%d" % busiest,
            sps_five_minutes=b"%d" % busiest,
            since_startup=b"%d" % switch.sessions_since_startup,
            peak=b"%d" % switch.sessions_peak,
            peak_five_minutes=b"%d" % switch.sessions_peak,
            idle=b"%.6f" % (99.9 - 8 * self.stage.rng.random()),
        )

    def _check_ip(self, switch: Switch) -> Iterator[int]:
        stage = self.stage
        yield stage.between(0.0, CHECK_IP_SECONDS)
        while True:
            if switch.up:
                runtime = (stage.epoch + stage.now) // SECOND + round(CHECK_IP_SECONDS)
                switch.play_now("check-ip", runtime=b"%d" % runtime)
            yield stage.now + int(CHECK_IP_SECONDS * SECOND)

    def _monitor(self, switch: Switch) -> Iterator[int]:
        stage = self.stage
        yield stage.between(0.0, MONITOR_SECONDS)
        while True:
            if switch.up:
                switch.bgapi("status")
            yield stage.now + int(MONITOR_SECONDS * SECOND)

    def _call(self) -> Iterator[int]:
        """Calls that begin at random, as those of many people do."""
        stage, rng = self.stage, self.stage.rng
        while True:
            yield stage.now + stage.exponential(1.0 / self.cps)
            switch = self.switches[int(rng.random() * len(self.switches))]
            share = rng.random()
            if switch.up:
                self.begin_call(switch, next((kind for kind, below in CALLS if share < below), "conference"))

    def begin_call(self, switch: Switch, kind: str) -> Call:
        """Let a call of this kind begin now; a loopback call where too few users are registered for it."""
        people = self.population
        caller = people.draw(switch.index)
        callee = people.draw(switch.index, apart_from=caller)
        roles = {role: agent for role, agent in (("a", caller), ("b", callee)) if agent is not None}
        if caller is None or (callee is None and kind in ("bridged", "busy", "voicemail")):
            kind = "loopback"
        call = Call(switch, kind, roles, self.talk)
        if kind == "voicemail":
            call.on_message = lambda: self.stage.start(people.read_mail(switch, roles["b"]))
        call.start()
        self.calls_started += 1
        return call

    def _originate_on(self, switch: Switch) -> Callable[[str | None, str | None], Call]:
        """What the switch's ``originate`` command does: to a user who is registered there, or to itself."""

        def originate(user: str | None, leg_uuid: str | None) -> Call:
            roles = {} if user is None else {"a": switch.registrations[user].agent}
            call = Call(switch, "loopback" if user is None else "parked", roles, self.talk, leg_uuid)
            call.start()
            self.calls_started += 1
            return call

        return originate


@dataclass(slots=True)
class Summary:
    """What a run of a simulation brought: events in all, by kind and by switch, calls, and virtual seconds."""

    seconds: float = 0.0
    events: int = 0
    calls: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    by_node: Counter[str] = field(default_factory=Counter)

    def count(self, events: Iterable[Event]) -> None:
        """Add these events. A kind is an event's name, with its subclass where it has one."""
        for event in events:
            self.events += 1
            name, subclass = event.name, event.subclass
            self.by_kind[f"{name} {subclass}" if subclass else name] += 1
            self.by_node[event.get("FreeSWITCH-Switchname") or ""] += 1
            self.calls += name == "CHANNEL_CREATE" and event.get("Other-Leg-Unique-ID") is None


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name}={value} is out of range for a simulated cluster; {low} to {high} are allowed")
