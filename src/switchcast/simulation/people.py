"""The users of a simulated cluster: how they register, move, go, show their presence, write, and read their mail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from switchcast.simulation.stage import DOMAIN, SECOND, Mailbox, Stage, UserAgent
from switchcast.simulation.switch import Registration, Switch
from switchcast.simulation.templates import wire

__all__ = ["Population"]

ARRIVAL_SECONDS = 10.0
"""Within how long after the start every user has registered once, when there are no more than ARRIVALS_PER_SECOND."""
ARRIVALS_PER_SECOND = 500.0
STAY, LEAVE, VANISH = 0.86, 0.91, 0.95
"""What a user does when it is time to register again: up to STAY it registers again, up to LEAVE it unregisters, up to
VANISH it is never heard of again (until it comes back), else it goes to another switch."""
AWAY_SECONDS = (3.0, 45.0)
WRONG_PASSWORD = 0.02
"""How many first registrations are preceded by one that fails."""
EXPIRY_CHECK_SECONDS = 2.0
"""A registration is noticed to have run out up to this much later."""
PRESENCE_SECONDS = 300.0
"""How often one user publishes a new presence, on average."""
MESSAGE_SECONDS = 600.0
"""How often one user writes an instant message, on average."""
READING_SECONDS = (8.0, 40.0)
"""After which time new voicemail is listened to."""

_STATUSES = ("At désk", "Available", "Away", "Busy", "Lunch — back at 1", "On the phone", "In a meeting")
_TEXTS = ("Are you there?", "Call me back: 100% urgent", "Grüße aus dem Büro", "On my way\r\nwith coffee")


class Population:
    """All users of a cluster, who is registered where, and what they do besides calling."""

    def __init__(self, stage: Stage, switches: Sequence[Switch], users: int, expires: float) -> None:
        self.stage = stage
        self.switches = switches
        self.expires = max(1, round(expires))
        self.agents = [UserAgent(str(1000 + i), f"198.{18 + (i >> 16)}.{i >> 8 & 255}.{i & 255}") for i in range(users)]
        self.reachable: list[list[UserAgent]] = [[] for _ in switches]
        """By switch, who is registered there: for drawing one at random."""
        self._place: dict[tuple[int, str], int] = {}
        window = max(ARRIVAL_SECONDS, users / ARRIVALS_PER_SECOND)
        for agent in self.agents:
            stage.start(self._live(agent, stage.between(0.05, window)))
        if users:
            stage.start(self._now_and_then(PRESENCE_SECONDS / users, self._publish))
        if users > 1:
            stage.start(self._now_and_then(MESSAGE_SECONDS / users, self._write))

    def draw(self, index: int, apart_from: UserAgent | None = None) -> UserAgent | None:
        """Somebody who is registered at this switch; ``None`` when nobody (else) is."""
        there = self.reachable[index]
        if not there or (apart_from is not None and len(there) == 1):
            return None
        rng = self.stage.rng
        while True:
            agent = there[int(rng.random() * len(there))]
            if agent is not apart_from:
                return agent

    def _live(self, agent: UserAgent, first: int) -> Iterator[int]:
        """One user's life, without end."""
        stage, rng = self.stage, self.stage.rng
        yield first
        switch = self._some_switch()
        while True:
            switch = self._up(switch)
            yield from self._arrive(agent, switch)
            while True:
                yield stage.now + stage.between(0.4 * self.expires, 0.8 * self.expires)
                fate = rng.random()
                if fate >= STAY or not switch.up:
                    break
                yield from self._register(agent, switch)
                yield from self._ask_for_messages(agent, switch)
            if not switch.up:
                stage.start(self._run_out(switch, switch.registrations[agent.number], agent.copy()))
            elif fate < LEAVE:
                yield from self._unregister(agent, switch)
                yield stage.now + stage.between(*AWAY_SECONDS)
            elif fate < VANISH or len(self.switches) == 1:
                stage.start(self._run_out(switch, switch.registrations[agent.number], agent.copy()))
                yield stage.now + stage.between(self.expires, self.expires + AWAY_SECONDS[1])
            else:
                stage.start(self._run_out(switch, switch.registrations[agent.number], agent.copy()))
                there = (switch.index + 1 + int(rng.random() * (len(self.switches) - 1))) % len(self.switches)
                switch = self.switches[there]

    def _up(self, switch: Switch) -> Switch:
        """``switch``, or when it is down the next one that is up, as a telephone with several registrars does it."""
        others = [*self.switches[switch.index :], *self.switches[: switch.index]]
        return next((each for each in others if each.up), switch)

    def _some_switch(self) -> Switch:
        return self.switches[int(self.stage.rng.random() * len(self.switches))]

    def _arrive(self, agent: UserAgent, switch: Switch) -> Iterator[int]:
        """A first registration, with all that comes with it."""
        stage = self.stage
        agent.move(stage.rng)
        if stage.rng.random() < WRONG_PASSWORD:
            yield from switch.play("register-failure", {"a": agent})
            yield stage.now + stage.between(0.5, 2.0)
        yield from self._register(agent, switch)
        yield stage.now + 1500
        yield from switch.play("registered", {"a": agent})
        yield from self._ask_for_messages(agent, switch)
        yield from switch.play("mailbox-settings", {"a": agent})

    def _register(self, agent: UserAgent, switch: Switch) -> Iterator[int]:
        yield from switch.play("register", {"a": agent}, expires=b"%d" % self.expires)
        slots = agent.slots
        if agent.number not in switch.registrations:
            there = self.reachable[switch.index]
            self._place[switch.index, agent.number] = len(there)
            there.append(agent)
        ip, port = slots["ip"].decode(), slots["port"].decode()
        switch.register(
            Registration(
                agent.number,
                f'"" <sip:{agent.number}@{ip}:{port}>',
                f"{slots['call-id'].decode()}@{DOMAIN}",
                ip,
                port,
                switch.epoch_seconds + self.expires,
                agent,
            )
        )

    def _ask_for_messages(self, agent: UserAgent, switch: Switch) -> Iterator[int]:
        """What a switch does for who has registered: it asks for the mailbox, and the answer sets the lamp."""
        stage = self.stage
        yield stage.now + 600
        yield from switch.play("mailbox-query", {"a": agent})
        yield stage.now + stage.between(0.0005, 0.1)
        box = stage.mailboxes.get(agent.number)
        if box is not None and (box.new or box.saved):
            yield from self.light_lamp(switch, agent, box, "NEW")
        else:
            yield from switch.play("mailbox-empty", {"a": agent})

    def _forget(self, switch: Switch, registration: Registration) -> None:
        switch.unregister(registration.user)
        there = self.reachable[switch.index]
        place = self._place.pop((switch.index, registration.user))
        last = there.pop()
        if place < len(there):
            there[place] = last
            self._place[switch.index, last.number] = place

    def _unregister(self, agent: UserAgent, switch: Switch) -> Iterator[int]:
        registration = switch.registrations[agent.number]
        yield from switch.play("unregister", {"a": agent})
        self._forget(switch, registration)

    def _run_out(self, switch: Switch, registration: Registration, gone: UserAgent) -> Iterator[int]:
        """Let the registration expire, unless it is renewed or replaced before. ``gone``: who had registered."""
        stage = self.stage
        expires = registration.expires
        yield expires * SECOND - stage.epoch + stage.between(0.0, EXPIRY_CHECK_SECONDS)
        if switch.registrations.get(registration.user) is registration:
            self._forget(switch, registration)
            yield from switch.play("expire", {"a": gone}, expires=b"%d" % expires)

    def _now_and_then(self, mean: float, what: Callable[[], None]) -> Iterator[int]:
        """``what`` happens at random, every ``mean`` seconds on average."""
        while True:
            yield self.stage.now + self.stage.exponential(mean)
            what()

    def _publish(self) -> None:
        switch = self._some_switch()
        agent = self.draw(switch.index)
        if agent is not None:
            status = _STATUSES[int(self.stage.rng.random() * len(_STATUSES))]
            switch.play_now("presence", {"a": agent}, status=wire(status))

    def _write(self) -> None:
        switch = self._some_switch()
        writer = self.draw(switch.index)
        reader = self.draw(switch.index, apart_from=writer)
        if writer is not None and reader is not None:
            body = _TEXTS[int(self.stage.rng.random() * len(_TEXTS))].encode()
            roles = {"a": writer, "b": reader}
            self.stage.start(switch.play("message", roles, length=b"%d" % len(body), body=body))

    def light_lamp(self, switch: Switch, agent: UserAgent, box: Mailbox, reason: str) -> Iterator[int]:
        """Tell how many messages the mailbox holds now."""
        yield from switch.play(
            "lamp",
            {"a": agent},
            waiting=b"yes" if box.new else b"no",
            reason=reason.encode(),
            counts=b"%d/%d" % (box.new, box.saved),
            new=b"%d" % box.new,
            saved=b"%d" % box.saved,
        )

    def read_mail(self, switch: Switch, agent: UserAgent) -> Iterator[int]:
        """Listen to all new messages after a while; half the users keep them."""
        stage = self.stage
        yield stage.now + stage.between(*READING_SECONDS)
        box = stage.mailboxes.get(agent.number)
        if box is not None and box.new:
            keep = stage.rng.random() < 0.5
            box.new, box.saved = 0, box.saved + box.new if keep else box.saved
            yield from self.light_lamp(switch, agent, box, "READ" if keep else "DELETE")
