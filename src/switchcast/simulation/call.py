"""One simulated call: a script that is played step by step, and that can be cut short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import log

from switchcast.simulation.stage import Mailbox, Task, UserAgent
from switchcast.simulation.switch import Switch
from switchcast.simulation.templates import Script, Timing, scripts

__all__ = ["Call"]

MIN_RING, MAX_RING = 0.3, 4.0
"""Seconds that a telephone rings."""
MIN_TALK = 0.3
"""Seconds that every conversation lasts at least."""


class Call:
    """A call on one switch, from its first event to its last.

    ``roles``: the caller ``a`` and, where there is one, the callee ``b``. ``talk``: seconds of conversation on average.
    ``leg_uuid``: the UUID of the first leg when it was asked for.
    """

    def __init__(
        self, switch: Switch, script: str, roles: Mapping[str, UserAgent], talk: float, leg_uuid: str | None = None
    ) -> None:
        self.switch = switch
        self.script: Script = scripts()[script]
        self.roles = roles
        stage = switch.stage
        self.began = stage.now
        self.values = self.script.fill(
            stage.rng, switch.identity, {role: agent.slots for role, agent in roles.items()}, {}
        )
        if leg_uuid is not None:
            self.values[self.script.legs[0]] = leg_uuid.encode()
        self.legs = [self.values[index].decode() for _, index in sorted(self.script.legs.items())]
        self.timing = self._draw(talk)
        self.script.fill_times(self.values, self.timing, stage.epoch + self.began)
        self.next = 0
        self.task: Task | None = None
        self.on_message: Callable[[], object] | None = None
        """Called when the caller has left a message."""
        self._wanted_down = False

    def __repr__(self) -> str:
        return f"<Call {self.script.name} on {self.switch.name} {self.legs[0]}>"

    def _draw(self, talk: float) -> Timing:
        """How long this run rings and talks, spread over the recording's gaps in proportion."""
        rng = self.switch.stage.rng
        lengths = {
            "ring": int((MIN_RING + rng.random() * (MAX_RING - MIN_RING)) * 1e6),
            "talk": int((MIN_TALK - log(1.0 - rng.random()) * max(0.0, talk - MIN_TALK)) * 1e6),
        }
        recorded = {kind: sum(end - start for start, end, k in self.script.gaps if k == kind) for kind in lengths}
        return Timing(
            [(end - start) * lengths[kind] // recorded[kind] - (end - start) for start, end, kind in self.script.gaps]
        )

    def start(self) -> None:
        """Put the call on the stage; its first event is due now."""
        self.task = self.switch.stage.start(self.play())

    def play(self) -> Iterator[int]:
        """Fire each event when it is due; yields the time of each, in microseconds since the cluster's start."""
        steps, switch, values = self.script.steps, self.switch, self.values
        starts = switch.starts
        while self.next < len(steps):
            yield self.began + self.timing.place(steps[self.next].at)
            if switch.starts != starts:
                return  # the switch went down, and the call with it
            step = steps[self.next]  # only now: the call may have been cut short meanwhile
            self.next += 1
            if step.effect == "lamp":
                self._leave_message()
            event = switch.emit(values, step)
            if step.leg >= 0 and step.state:
                switch.observe(step, self.legs[step.leg], event, self)
            if self._wanted_down and self.next > self.script.answered:
                self._cut()

    def _leave_message(self) -> None:
        box = self.switch.stage.mailboxes.setdefault(self.roles["b"].number, Mailbox())
        box.new += 1
        told = {"waiting": b"yes", "reason": b"NEW", "counts": b"%d/%d" % (box.new, box.saved)}
        for name, value in {**told, "new": b"%d" % box.new, "saved": b"%d" % box.saved}.items():
            self.values[self.script.params[name]] = value
        if self.on_message is not None:
            self.on_message()

    def hang_up(self) -> bool:
        """End the call: at once when it is up, as soon as it is when it is not. False when it was ending anyway."""
        if self.next > self.script.hangup or self.script.answered < 0:
            return False
        self._wanted_down = True
        if self.next > self.script.answered:
            self._cut()
            if self.task is not None:
                self.switch.stage.wake(self.task)
        return True

    def _cut(self) -> None:
        """Go on with the hang-up, now; what the recording had in between does not happen."""
        self._wanted_down = False
        script, now = self.script, self.switch.stage.now - self.began
        if self.next > script.hangup or script.hangup == len(script.steps):
            return
        end = script.steps[script.hangup].at
        start = max((low for low, high, _ in script.gaps if high <= end.offset), default=0)
        self.timing.cut((start + end.offset) // 2, end, now)
        script.fill_times(self.values, self.timing, self.switch.stage.epoch + self.began)
        self.next = script.hangup
