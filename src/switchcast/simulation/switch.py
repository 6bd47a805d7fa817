"""One simulated switch: what it is, what it knows, and how its events are made.

The state is the truth that the switch's events tell: each change is made by the event that tells of it, at that event's
time. Times are whole microseconds of virtual time since the cluster's start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from switchcast._native import EVENT_NAMES, Event
from switchcast.simulation.registrar import Registrar, SipRegistration
from switchcast.simulation.stage import DOMAIN, SECOND, Mailbox, Stage, UserAgent
from switchcast.simulation.templates import Step, Timing, Values, gmt, local, new_uuid, scripts, wire
from switchcast.wire.refire import MULTICAST_EVENT

if TYPE_CHECKING:
    from switchcast.simulation.call import Call

__all__ = ["AGENT", "MAX_SESSIONS", "SESSIONS_PER_SECOND", "Channel", "Lamp", "Presence", "Registration", "Switch"]

SESSIONS_PER_SECOND = 60
MAX_SESSIONS = 200
"""Limits that the recorded switch told in its HEARTBEAT; a simulated one does not hold to them."""

AGENT = "tiny-ua/1.0"
"""The User-Agent of every simulated telephone."""
FIRST_SEQUENCE = 400
"""Event-Sequence when the switch has started, whose events on the way there nobody hears."""

_NAMES = frozenset(EVENT_NAMES)
_FIVE_MINUTES = 300
_AS_RECORDED = Timing()
_LEARNED = frozenset({"presence", "lamp"})
_STATES = ("PRESENCE_IN", "MESSAGE_WAITING")
_join = b"".join


@dataclass(slots=True)
class Registration:
    """Where a user can be reached by way of one switch, as its last ``sofia::register`` told."""

    user: str
    contact: str
    call_id: str
    network_ip: str
    network_port: str
    expires: int
    """Seconds since 1970 UTC."""
    agent: UserAgent = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Lamp:
    """What the last MESSAGE_WAITING for an account said."""

    waiting: bool
    counts: str


@dataclass(frozen=True, slots=True)
class Presence:
    """What the last PRESENCE_IN for an account said."""

    status: str
    rpid: str


@dataclass(slots=True)
class Channel:
    """One call leg between its CHANNEL_CREATE and its CHANNEL_DESTROY."""

    uuid: str
    call: Call = field(repr=False)
    created: Event = field(repr=False)
    """CHANNEL_CREATE; what came later is in ``latest`` and, an application, in ``executing``."""
    latest: Event = field(repr=False)
    executing: Event | None = field(default=None, repr=False)
    state: str = ""
    call_state: str = ""
    bridged_to: str | None = None


class Switch:
    """One switch of a cluster.

    ``registrations`` is by user, ``presence`` and ``lamps`` by ``user@domain``, ``channels`` by UUID, ``calls`` by the
    UUID of the leg that was bridged first. ``registrar`` has the registrations as mod_sofia shows them, those that
    other switches told of among them. ``starts`` counts how often it was started and killed, beginning with 1; while it
    is not ``up`` it fires nothing.
    """

    def __init__(self, stage: Stage, index: int) -> None:
        self.index = index
        self.name = f"fs{index + 1}"
        self.hostname = self.name
        self.ipv4 = f"192.0.2.{index + 1}"
        self.core_uuid = new_uuid(stage.rng).decode()
        self.booted = -int(stage.rng.random() * 86400 * SECOND)
        self.sequence = FIRST_SEQUENCE
        self.starts = 1
        self.up = True
        self.registrations: dict[str, Registration] = {}
        self.registrar = Registrar()
        self.presence: dict[str, Presence] = {}
        self.lamps: dict[str, Lamp] = {}
        self.channels: dict[str, Channel] = {}
        self.calls: dict[str, tuple[str, str]] = {}
        self.originate: Callable[[str | None, str | None], Call] | None = None
        """Begins a call to a registered user, or to the switch itself; set by the cluster."""
        self.sessions_since_startup = 0
        self.sessions_peak = 0
        self.stage = stage
        self.identity = {
            "core": self.core_uuid.encode(),
            "hostname": self.hostname.encode(),
            "name": self.name.encode(),
            "ipv4": self.ipv4.encode(),
            "ipv6": wire(f"fd00::{index + 1:x}"),
            "domain": DOMAIN.encode(),
        }
        self._second = -1
        self._local = self._gmt = b""
        self._source = f"sim:{index + 1}"
        self._created: list[int] = []  # seconds in which sessions began, for the rates of the heartbeat

    def __repr__(self) -> str:
        return f"<Switch {self.name} registrations={len(self.registrations)} channels={len(self.channels)}>"

    @property
    def mailboxes(self) -> Mapping[str, Mailbox]:
        """The cluster's mailboxes by user."""
        return self.stage.mailboxes

    @property
    def epoch_seconds(self) -> int:
        """What the switch's clock says, in seconds since 1970 UTC."""
        return (self.stage.epoch + self.stage.now) // SECOND

    @property
    def uptime_micros(self) -> int:
        """Microseconds since the switch was started, which was up to a day before the simulation."""
        return self.stage.now - self.booted

    def uptime(self) -> str:
        """How long the switch runs, as it says it in HEARTBEAT and ``status``."""
        seconds, micros = divmod(self.uptime_micros, SECOND)
        days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
        return (
            f"{days // 365} years, {days % 365} days, {hours} hours, {minutes} minutes, {seconds % 60} seconds, "
            f"{micros // 1000} milliseconds, {micros % 1000} microseconds"
        )

    def restart(self) -> None:
        """Crash and come up at once."""
        self.kill()
        self.start()

    def kill(self) -> None:
        """Crash: no channel is left, and nothing is told any more, of what was going on or of anything else.

        Registrations stay, for a switch keeps them in a database.
        """
        self.starts += 1
        self.up = False
        self.channels.clear()
        self.calls.clear()

    def start(self) -> None:
        """Come up after a crash: another Core-UUID, events numbered anew."""
        self.up = True
        self.core_uuid = new_uuid(self.stage.rng).decode()
        self.identity["core"] = self.core_uuid.encode()
        self.sequence = FIRST_SEQUENCE
        self.booted = self.stage.now
        self.sessions_since_startup = self.sessions_peak = 0
        self._created.clear()

    def register(self, registration: Registration) -> None:
        """Take a user of this switch's own in, or renew what there is."""
        self.registrations[registration.user] = registration
        self.registrar.insert(
            SipRegistration(
                f"{registration.user}@{DOMAIN}",
                registration.contact,
                registration.call_id,
                AGENT,
                registration.network_ip,
                registration.network_port,
                registration.expires,
                registration.user,
                DOMAIN,
            )
        )

    def unregister(self, user: str) -> None:
        """Forget a user of this switch's own; one who has moved to another switch stays where that told."""
        registration = self.registrations.pop(user)
        row = self.registrar.find(f"{user}@{DOMAIN}", self.epoch_seconds)
        if row is not None and row.call_id == registration.call_id:
            self.registrar.delete(row.account)

    def emit(self, values: Values, step: Step) -> Event:
        """Fire one event of a script now, and let it take effect on the state, channels apart."""
        stage = self.stage
        self.sequence += self.up
        micros = stage.epoch + stage.now
        second = micros // SECOND
        if second != self._second:
            self._second, self._local, self._gmt = second, local(second), gmt(second)
        values[0:4] = self._local, self._gmt, b"%d" % micros, b"%d" % self.sequence
        event = Event.from_plain(_join(step.pick(values))).with_origin(self._source, micros * 1000)
        if self.up:
            if step.effect in _LEARNED:
                self._learn(event)
            stage.out.append((stage.now / SECOND, self.index, event))
        return event

    def play(self, script: str, roles: Mapping[str, UserAgent] | None = None, **params: bytes) -> Iterator[int]:
        """Play a script that is no call, firing each event when it is due.

        Yields the time of each event but the first, which is due now. A parameter's name has ``_`` for ``-``.
        """
        found = scripts()[script]
        slots = {role: agent.slots for role, agent in (roles or {}).items()}
        named = {name.replace("_", "-"): value for name, value in params.items()}
        values = found.fill(self.stage.rng, self.identity, slots, named)
        began, starts = self.stage.now, self.starts
        found.fill_times(values, _AS_RECORDED, self.stage.epoch + began)
        for number, step in enumerate(found.steps):
            if number:
                yield began + step.at.offset
                if self.starts != starts:
                    return
            self.emit(values, step)

    def play_now(self, script: str, roles: Mapping[str, UserAgent] | None = None, **params: bytes) -> None:
        """Play a script, all of its events now."""
        for _ in self.play(script, roles, **params):
            pass

    def observe(self, step: Step, uuid: str, event: Event, call: Call) -> None:
        """Let ``event`` take effect on the channel that it is about."""
        channel = self.channels.get(uuid)
        effect = step.effect
        if channel is None:
            if effect == "create":
                channel = Channel(uuid, call, event, event)
                self.channels[uuid] = channel
                self._count_session()
            else:
                return
        channel.latest = event
        channel.state, channel.call_state = step.state, step.call_state
        if effect == "execute":
            channel.executing = event
        elif effect == "bridge":
            other = event["Other-Leg-Unique-ID"]
            self.calls[uuid] = (uuid, other)
            channel.bridged_to = other
            if other in self.channels:
                self.channels[other].bridged_to = uuid
        elif effect == "unbridge":
            pair = self.calls.pop(uuid, (uuid,))
            for leg in pair:
                if leg in self.channels:
                    self.channels[leg].bridged_to = None
        elif effect == "destroy":
            del self.channels[uuid]

    def _count_session(self) -> None:
        self.sessions_since_startup += 1
        self.sessions_peak = max(self.sessions_peak, len(self.channels))
        second = self.stage.now // SECOND
        self._created.append(second)
        if self._created[0] < second - 2 * _FIVE_MINUTES:  # seldom, so that it costs nothing
            self._created = [when for when in self._created if when >= second - _FIVE_MINUTES]

    def sessions_per_second(self) -> tuple[int, int]:
        """How many sessions began in the last whole second, and in the busiest second of the last five minutes."""
        second = self.stage.now // SECOND
        counts: dict[int, int] = {}
        for when in self._created:
            if when >= second - _FIVE_MINUTES:
                counts[when] = counts.get(when, 0) + 1
        return counts.get(second - 1, 0), max(counts.values(), default=0)

    def _learn(self, event: Event, prefix: str = "") -> None:
        """Keep what a PRESENCE_IN or MESSAGE_WAITING told, here or (``Orig-``) at another switch."""

        def told(name: str, default: str = "") -> str:
            return event.get(prefix + name) or default

        if told("Event-Name") == "PRESENCE_IN":
            self.presence[told("from")] = Presence(told("status"), told("rpid"))
        else:
            account = told("MWI-Message-Account").removeprefix("sip:")
            counts = told("MWI-Voice-Message", "0/0").partition(" ")[0]
            self.lamps[account] = Lamp(told("MWI-Messages-Waiting") == "yes", counts)

    def fire(self, name: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> Event:
        """Fire an event that somebody else made, now: the switch adds its own headers.

        They stand where the switch puts them: behind ``headers`` when these begin with ``Command``, as those of the
        event socket's ``sendevent`` do, else in front. A name counts in any case; an unknown one makes a CUSTOM event.
        The event is also among those that the cluster's next ``advance`` returns.
        """
        stage = self.stage
        self.sequence += 1
        micros = stage.epoch + stage.now
        sent = bool(headers) and headers[0][0].lower() == "command"
        function, line = ("api_exec", "1580") if name == "BACKGROUND_JOB" else ("parse_command", "2283")
        own = [
            ("Event-Name", name.upper() if name.upper() in _NAMES else "CUSTOM"),
            ("Core-UUID", self.core_uuid),
            ("FreeSWITCH-Hostname", self.hostname),
            ("FreeSWITCH-Switchname", self.name),
            ("FreeSWITCH-IPv4", self.ipv4),
            ("FreeSWITCH-IPv6", f"fd00::{self.index + 1:x}"),
            ("Event-Date-Local", local(micros // SECOND).decode().replace("%20", " ").replace("%3A", ":")),
            ("Event-Date-GMT", gmt(micros // SECOND).decode().replace("%20", " ").replace("%3A", ":")),
            ("Event-Date-Timestamp", str(micros)),
            ("Event-Calling-File", "mod_event_socket.c"),
            ("Event-Calling-Function", function),
            ("Event-Calling-Line-Number", line),
            ("Event-Sequence", str(self.sequence)),
        ]
        text = Event.from_headers([*headers, *own] if sent else [*own, *headers], body, exact=True)
        event = text.with_origin(self._source, micros * 1000)
        if event.name in _STATES:
            self._learn(event)
        elif event.subclass == MULTICAST_EVENT:
            self._hear(event)
        stage.out.append((stage.now / SECOND, self.index, event))
        return event

    def _hear(self, event: Event) -> None:
        """Do what mod_sofia does with a ``multicast::event``, whoever fired it."""
        if event.get("Orig-Event-Name") in _STATES:
            self._learn(event, "Orig-")
        else:
            self.registrar.hear(event, self.epoch_seconds)

    def api(self, command: str) -> str:
        """Run one command of the switch's command line now, and fire its API event; the answer as text.

        An unknown command is answered with ``-ERR <word> Command not found!``.
        """
        from switchcast.simulation.commands import run  # whose tables are made of what this file defines

        word, _, argument = command.partition(" ")
        if argument:
            self.play_now("api-argument", command=wire(word), argument=wire(argument))
        else:
            self.play_now("api", command=wire(word))
        return run(self, word, argument.strip())

    def bgapi(self, command: str, job: str | None = None) -> str:
        """``api`` whose answer is fired as BACKGROUND_JOB; returns the job's UUID."""
        word, _, argument = command.partition(" ")
        job = job or new_uuid(self.stage.rng).decode()
        text = self.api(command).encode("utf-8", "surrogateescape")
        script = "job-argument" if argument else "job"
        told = {"argument": wire(argument)} if argument else {}
        length = b"%d" % len(text)
        self.play_now(script, None, job=job.encode(), command=wire(word), length=length, body=text, **told)
        return job
