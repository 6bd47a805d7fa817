"""The running half of a plan up to the queues: feeds, which read sources, and lanes, which are routes.

::

    endpoint ─> allowed addresses ─> duplicates ─┬─> lane: allowed addresses ─> matcher ─> trust ─> policy ─> queues
                 refused              duplicates  ├─> lane: ...
                                                  └─> taps

Every event that a feed has received is counted on its way, and the sums agree whenever no batch is under way::

    of a feed     received = refused + duplicates + passed
    of a lane     what its feed passed = refused + unmatched + untrusted + unsigned + withheld + faulty + passed
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, cast

import structlog

from switchcast._native import Event, Matcher, TrustCheck
from switchcast.endpoints import Endpoint
from switchcast.endpoints.esl import EslEndpoint
from switchcast.errors import SwitchcastError
from switchcast.line.addresses import Allowed
from switchcast.line.duplicates import Duplicates
from switchcast.line.gaps import GapLog, LossWatch
from switchcast.line.plan import Route
from switchcast.line.state import State, Status, for_good, pauses
from switchcast.wire.gap_record import Gap

if TYPE_CHECKING:
    from switchcast.line.holding import Hold
    from switchcast.line.sinks import Outlet

__all__ = ["Feed", "Lane"]

OVERLAPPING: Final = frozenset({"multicast", "udp", "esl", "memory"})
"""Schemes of live sources: one that replaces another is opened before that is closed, so that nothing is missed."""

_FIXED: Final = frozenset({"multicast", "udp"})
"""Schemes of sources whose matcher is part of an open socket."""

_IN_FLIGHT_SECONDS: Final = 0.02
"""What was sent to a source before its successor was open is there by then, on a network as on an event socket."""
_EMPTY_TURNS: Final = 8
"""Turns of the event loop, which looks at its descriptors in each, after which what can be read has been."""

log = structlog.get_logger("switchcast")


class Lane:
    """A route that runs. ``faulty`` counts events that its policy could not judge: they do not pass.

    Of those that it would carry, it refuses what its ``Route.trust_check`` does: it counts them as ``unsigned`` where
    it wants signed ones, else as ``untrusted``.
    """

    def __init__(self, route: Route, matcher: Matcher | None) -> None:
        self.route = route
        self.matcher = matcher
        self.allowed: Allowed | None = None
        self.outlets: tuple[Outlet, ...] = ()
        self.refused = self.unmatched = self.untrusted = self.unsigned = self.withheld = self.faulty = self.passed = 0
        self._trust = route.trust_check()
        self._fault = ""

    def take(self, events: list[Event], *, matched: bool) -> list[Event]:
        """Those of ``events`` that go on to the sinks; ``matched`` when the source has matched for this lane."""
        heard = events if self.allowed is None else self.allowed.select(events)
        wanted = heard if matched or self.matcher is None else self.matcher.select(heard)
        self.refused += len(events) - len(heard)
        self.unmatched += len(heard) - len(wanted)
        if self._trust is not None:
            wanted = self._trusted(self._trust, wanted)
        try:
            passed = self.route.policy(wanted) if wanted else wanted
        except Exception as error:  # whatever cannot be judged stays here; the node runs on
            self.faulty += len(wanted)
            if self._fault != repr(error):
                self._fault = repr(error)
                log.exception("policy_fault", route=self.route.name)
            return []
        self.withheld += len(wanted) - len(passed)
        self.passed += len(passed)
        return passed

    def _trusted(self, check: TrustCheck, events: list[Event]) -> list[Event]:
        taken = check.select(events)
        if self.route.require == "signed":
            self.unsigned += len(events) - len(taken)
        else:
            self.untrusted += len(events) - len(taken)
        return taken

    def counters(self) -> dict[str, int]:
        """``refused``, ``unmatched``, ``untrusted``, ``unsigned``, ``withheld`` (policy), ``faulty``, ``passed``.

        Their sum is what its feed has passed.
        """
        return {
            "refused": self.refused,
            "unmatched": self.unmatched,
            "untrusted": self.untrusted,
            "unsigned": self.unsigned,
            "withheld": self.withheld,
            "faulty": self.faulty,
            "passed": self.passed,
        }


class Feed:
    """A source that runs: opened, read, and opened again when it fails in a way that can pass.

    ``patient``: whether it waits for what is not there yet; otherwise ``run`` gives up at the first error, which
    ``failed`` keeps.
    """

    def __init__(self, name: str, hold: Hold, matcher: Matcher | None, *, patient: bool) -> None:
        self.name = name
        self.hold = hold
        self.state = State.now("starting")
        self.failed: Exception | None = None
        self.received = self.refused = self.duplicates = self.passed = self.outages = 0
        self.losses = LossWatch(name)
        self.gaps = self.missing = 0
        self._gap_log = GapLog()
        self.lanes: tuple[Lane, ...] = ()
        self.allowed: Allowed | None = None
        self.windows: tuple[Duplicates, ...] = ()
        self.own_name = ""
        """This node's name, where the node also sends to what this source hears."""
        self.task: asyncio.Task[None] | None = None
        self._asked = self._wanted = self._made_with = matcher
        self._patient = patient
        self._carrying = False
        self._stopping = asyncio.Event()
        self._opened = False
        self._told = False  # of an outage
        self.matched = False
        """Whether all that it reads has passed its only lane's matcher already, in the source."""

    @property
    def endpoint(self) -> Endpoint:
        """What it reads."""
        return self.hold.holding.endpoint

    @property
    def overlaps(self) -> bool:
        """Whether one that replaces it must be open before this is closed."""
        return self.endpoint.url.scheme in OVERLAPPING and self.state.status == "up"

    def note_gap(self, gap: Gap) -> None:
        """Count a gap that the endpoint has told of, and warn of it."""
        self.gaps += 1
        self.missing += gap.events or 0
        self._gap_log.note(gap, asyncio.get_running_loop().time())

    def counters(self) -> dict[str, int]:
        """``received``, ``refused``, ``duplicates``, ``passed``, ``outages``.

        Of an endpoint that tells of gaps also ``gaps``, the records, and ``missing``, the events that they tell of.
        """
        told = {"gaps": self.gaps, "missing": self.missing} if self.endpoint.tells_gaps else {}
        return told | {
            "received": self.received,
            "refused": self.refused,
            "duplicates": self.duplicates,
            "passed": self.passed,
            "outages": self.outages,
        }

    def succeed(self, other: Feed) -> None:
        """Count on from where one that has ended stopped."""
        self.received, self.refused, self.duplicates = other.received, other.refused, other.duplicates
        self.passed, self.outages = other.passed, other.outages
        self.gaps, self.missing = other.gaps, other.missing

    def lead_to(self, lanes: Sequence[Lane], windows: Sequence[Duplicates]) -> None:
        """Feed these lanes from the next batch on.

        Where every lane refuses an address, the feed does, so that no tap hears it either.
        """
        allowed = Allowed.union([lane.allowed for lane in lanes])
        for lane in lanes:
            if allowed is not None and lane.allowed is not None and lane.allowed.texts == allowed.texts:
                lane.allowed = None  # what the feed has checked
        self.lanes, self.allowed, self.windows = tuple(lanes), allowed, tuple(windows)
        self._note_match()

    def admit(self, events: list[Event]) -> list[Event]:
        """Those of ``events`` that come from an allowed address and have not come before."""
        heard = events if self.allowed is None else self.allowed.select(events)
        fresh = heard
        for window in self.windows:
            fresh = window.take(fresh)
        self.received += len(events)
        self.refused += len(events) - len(heard)
        self.duplicates += len(heard) - len(fresh)
        self.passed += len(fresh)
        return fresh

    def without_echo(self, events: list[Event]) -> list[Event]:
        """Those of ``events`` that are not our own, heard back: who looks on has seen those where they came from."""
        if not self.own_name:
            return events
        return [event for event in events if event.sender != self.own_name]

    async def open(self) -> None:
        """One attempt to open the source. Raises what that does."""
        await self.endpoint.open_source()
        self._opened = True
        await self._ask()
        if self._told:
            self._told = False
            log.warning("source_up", source=self.name)
        self._become("up")

    def must_be_made_anew_for(self, matcher: Matcher | None) -> bool:
        """Whether an endpoint that is open already cannot be asked for what ``matcher`` selects, and not for now."""
        return self._opened and self.endpoint.url.scheme in _FIXED and not same(matcher, self._wanted)

    async def ask(self, matcher: Matcher | None) -> None:
        """Ask the source for other events, without a gap in those that are wanted before and after."""
        if same(matcher, self._wanted):
            return
        self._wanted = matcher
        if self._opened:
            await self._ask()
        elif not isinstance(self.endpoint, EslEndpoint):
            self.endpoint.matcher = self._asked = self._made_with = matcher
            self._note_match()

    def forget(self, window: Duplicates) -> None:
        """Look no more for duplicates in ``window``."""
        self.windows = tuple(each for each in self.windows if each is not window)

    async def _ask(self) -> None:
        """Bring what the endpoint is asked for in line with what is wanted."""
        if same(self._asked, self._wanted):
            return
        if isinstance(self.endpoint, EslEndpoint):
            await self.endpoint.subscribe(self._wanted or Matcher("all"))
        else:
            self.endpoint.matcher = self._wanted
        self._asked, self._made_with = self._wanted, None  # what it had queued by now was matched otherwise
        self._note_match()

    def _note_match(self) -> None:
        asked = self._made_with
        self.matched = asked is not None and len(self.lanes) == 1 and same(asked, self.lanes[0].matcher)

    async def run(self, carry: Callable[[Feed, list[Event]], Awaitable[None]]) -> None:
        """Carry every batch until the source ends, fails for good, or is stopped."""
        waits, received = pauses(), 0
        try:
            while not self._stopping.is_set():
                error = await self._read(carry)
                if error is None or self._stopping.is_set():
                    self._become("ended")
                    return
                if not self._patient or for_good(error):
                    self._fail(error)
                    return
                self._go_down(error)
                if self.received > received:
                    waits, received = pauses(), self.received
                await self._pause(next(waits))
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
        finally:
            await self.let_go()

    async def stop(self) -> None:
        """Read no more. What has been read still goes its way: ``run`` ends after that."""
        self._stopping.set()
        if self.task is not None and (not self._opened or self.hold.holding.shared):
            if not self._carrying:
                self.task.cancel()
        else:
            await self.let_go()

    async def let_go(self) -> None:
        """Give the endpoint up. Idempotent."""
        try:
            await self.hold.let_go()
        except (SwitchcastError, OSError) as error:
            log.warning("source_not_closed", source=self.name, error=str(error))

    async def read_out(self, limit: float) -> None:
        """Let it read what had come by now: until it finds nothing to read, at most for ``limit`` seconds."""
        await asyncio.sleep(_IN_FLIGHT_SECONDS)
        before = -1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while before != self.received or self._carrying:
                    before = self.received
                    for _ in range(_EMPTY_TURNS):
                        await asyncio.sleep(0)

    async def _read(self, carry: Callable[[Feed, list[Event]], Awaitable[None]]) -> Exception | None:
        """Read until the source ends, is stopped, or fails, with the error that it gives back."""
        try:
            if not self._opened or self._told:
                await self.open()
            async with contextlib.aclosing(cast("AsyncGenerator[list[Event]]", self.endpoint.batches())) as batches:
                async for batch in batches:
                    self._carrying = True
                    await carry(self, batch)
                    self._carrying = False
                    if self._stopping.is_set() and self.hold.holding.shared:
                        break
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this source and no other
            return error
        finally:
            self._carrying = False
        return None

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _become(self, status: Status, reason: str = "") -> None:
        self.state = State.now(status, reason)

    def _go_down(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            self.outages += 1
            log.warning("source_down", source=self.name, error=str(error))
            self._become("down", str(error))

    def _fail(self, error: Exception) -> None:
        self.failed = error
        self._become("failed", str(error))
        log.error("source_failed", source=self.name, error=str(error))


def same(one: Matcher | None, other: Matcher | None) -> bool:
    """Whether two matchers of one node select the same events."""
    if one is None or other is None:
        return one is other
    return (one.bindings, one.where) == (other.bindings, other.where)
