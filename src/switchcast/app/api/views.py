"""``/nodes``, ``/registrations``, ``/presence``, ``/mailboxes``, ``/calls``: the picture of the cluster, page by page.

A page is made of the keys behind ``after``, in order. They are sorted once and kept for a moment, for whoever goes
through a hundred pages; and the event loop turns every few rows, so that a hundred thousand keep nothing waiting.
"""

from __future__ import annotations

import asyncio
import bisect
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import quote, unquote

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from switchcast.app.api.facts import Facts
from switchcast.app.api.problems import Problem, shown
from switchcast.app.api.reply import Described, Page, Parameters, problems, reply
from switchcast.app.api.rows import CallRow, MailboxRow, NodeRow, PresenceRow, RegistrationRow
from switchcast.views.picture import holds
from switchcast.views.telling import View

__all__ = ["MOST_ROWS", "AskedBody", "CallPage", "ViewPage", "views_router"]

MOST_ROWS: Final = 1_000
_ROWS_A_TURN: Final = 100
_MOST_LOOKED_AT: Final = 20_000
"""Rows that are looked at for one page: where filters let few pass, a page has fewer rows, and a ``next``."""
_SORTED_SECONDS: Final = 2.0

Row = TypeVar("Row")


class AskedBody(Described):
    """A switch that the node asks for what no event has told."""

    endpoint: str = Field(examples=["switch"])
    """The endpoint by which it is asked."""
    node: str = Field(examples=["fs1"])
    """What it calls itself."""
    at: float | None = Field(examples=[1795462923.125])
    """When its last answers were asked for, seconds since 1970."""
    took: float = Field(examples=[0.25])
    """Seconds that these took."""
    why: str = Field(examples=[""])
    """What keeps it from answering now; empty where nothing does."""
    unread: str = Field(examples=[""])
    """Which of its last answers nobody could read, and why; empty where all could be."""


class ViewPage(Page[Row]):
    """Some rows of a view."""

    counters: dict[str, int] = Field(examples=[{"registered": 1200, "doubtful": 0}])
    """How many rows there are by state, and what was refused, by reason."""
    asked: list[AskedBody]
    """The switches that are asked."""


NodePage, RegistrationPage, PresencePage = ViewPage[NodeRow], ViewPage[RegistrationRow], ViewPage[PresenceRow]
MailboxPage, CallPage = ViewPage[MailboxRow], ViewPage[CallRow]


class ViewParameters(Parameters):
    """Which rows, and from where on."""

    match: str = Field(default="", max_length=256, examples=["1000"])
    """Only rows in which this text occurs, in any case."""
    node: str | None = Field(default=None, max_length=256, examples=["fs1"])
    """Only rows of this switch."""
    sure: Literal["asked", "told", "doubtful"] | None = Field(default=None, examples=["doubtful"])
    """Only rows that are as sure as this."""
    after: str = Field(default="", max_length=2048, examples=["1001%40example.com"])
    """The ``next`` of the page before."""
    limit: int = Field(default=100, ge=1, le=MOST_ROWS, examples=[100])
    """At most so many."""

    def key(self) -> str:
        """The key to go on behind; any text is one, whether or not there is such a row."""
        return unquote(self.after, errors="surrogateescape")

    def wants(self, row: dict[str, Any]) -> bool:
        """Whether ``row`` is one of those wanted."""
        if self.match and not holds(row, self.match):
            return False
        given = self.model_dump(exclude={"match", "after", "limit"}, exclude_none=True)
        return all(row.get(name) == value for name, value in given.items())


class NodeParameters(ViewParameters):
    """Which switches."""

    state: Literal["up", "down"] | None = Field(default=None, examples=["down"])
    """Only those in this state."""


class UserParameters(ViewParameters):
    """Whose."""

    user: str | None = Field(default=None, max_length=256, examples=["1000@example.com"])
    """Only those of this user."""


class RegistrationParameters(UserParameters):
    """Which registrations."""

    profile: str | None = Field(default=None, max_length=256, examples=["internal"])
    """Only those at this SIP profile."""
    reachable: bool | None = Field(default=None, examples=[False])
    """Only those that answer the switch, or do not."""


class PresenceParameters(UserParameters):
    """Whose presence."""

    state: str | None = Field(default=None, max_length=32, examples=["ringing"])
    """Only those in this state."""


class MailboxParameters(ViewParameters):
    """Which mailboxes."""

    account: str | None = Field(default=None, max_length=256, examples=["1000@example.com"])
    """Only this one."""
    lamp: bool | None = Field(default=None, examples=[True])
    """Only those whose lamp is lit, or is not."""


class CallParameters(ViewParameters):
    """Which calls."""

    state: str | None = Field(default=None, max_length=32, examples=["held"])
    """Only those in this state."""
    number: str | None = Field(default=None, max_length=256, examples=["1000"])
    """Only those in which this number calls or is called."""

    def wants(self, row: dict[str, Any]) -> bool:
        """Also by any of its legs."""
        if self.node is not None and self.node not in row["nodes"]:
            return False
        if self.number is not None and not any(
            self.number in {leg["from_number"], leg["to_number"]} for leg in row["legs"]
        ):
            return False
        rest = self.model_copy(update={"node": None, "number": None})
        return ViewParameters.wants(rest, row)


class _Pages:
    """Makes pages of the views."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._sorted: dict[str, tuple[View, float, list[str]]] = {}

    async def page(self, name: str, wanted: ViewParameters) -> Response:
        """Rows of the view ``name``."""
        view = self.view(name)
        clock = asyncio.get_running_loop().time
        keys = self._keys(name, view, clock())
        start = bisect.bisect_right(keys, wanted.key()) if wanted.after else 0
        rows: list[dict[str, Any]] = []
        last = ""
        for looked_at, index in enumerate(range(start, len(keys))):
            if looked_at % _ROWS_A_TURN == _ROWS_A_TURN - 1:
                await asyncio.sleep(0)
            if looked_at >= _MOST_LOOKED_AT or len(rows) == wanted.limit:
                return self._reply(view, rows, keys[index - 1] if looked_at >= _MOST_LOOKED_AT else last)
            row = view.row(keys[index], clock())
            if row is not None and wanted.wants(row):
                rows.append(row)
                last = keys[index]
        return self._reply(view, rows, None)

    def view(self, name: str) -> View:
        """A view by its name. Raises ``Problem``."""
        view = self._facts.view(name)
        if view is None:
            raise Problem(503, f"no picture of {name} is kept", "see [views] in the configuration")
        return view

    def _keys(self, name: str, view: View, now: float) -> list[str]:
        kept = self._sorted.get(name)
        if kept is not None and kept[0] is view and now - kept[1] < _SORTED_SECONDS:
            return kept[2]
        keys = sorted(view.keys())
        self._sorted[name] = (view, now, keys)
        return keys

    def _reply(self, view: View, rows: list[dict[str, Any]], last: str | None) -> Response:
        after = None if last is None else quote(last, safe="", errors="surrogateescape")
        tail = {"next": after, "counters": view.counters(), "asked": self._facts.asked()}
        return reply({"rows": rows} | tail)


def views_router(facts: Facts) -> APIRouter:
    """The paths."""
    router = APIRouter(tags=["cluster"])
    pages = _Pages(facts)

    @router.get("/nodes", response_model=NodePage, responses=problems())
    async def nodes(wanted: Annotated[NodeParameters, Query()]) -> Response:
        """The switches: up or down, version, uptime, sessions, CPU, and what of their events was lost."""
        return await pages.page("nodes", wanted)

    @router.get("/registrations", response_model=RegistrationPage, responses=problems())
    async def registrations(wanted: Annotated[RegistrationParameters, Query()]) -> Response:
        """Who is registered, where, from which address, until when."""
        return await pages.page("registrations", wanted)

    @router.get("/presence", response_model=PresencePage, responses=problems())
    async def presence(wanted: Annotated[PresenceParameters, Query()]) -> Response:
        """What lamps show of users."""
        return await pages.page("presence", wanted)

    @router.get("/mailboxes", response_model=MailboxPage, responses=problems())
    async def mailboxes(wanted: Annotated[MailboxParameters, Query()]) -> Response:
        """Messages that wait, and the lamp for them."""
        return await pages.page("mailboxes", wanted)

    @router.get("/calls", response_model=CallPage, responses=problems())
    async def calls(wanted: Annotated[CallParameters, Query()]) -> Response:
        """The calls there are, with their legs."""
        return await pages.page("calls", wanted)

    @router.get("/calls/{id:path}", response_model=CallRow, responses=problems(404))
    async def call(
        key: Annotated[str, Path(alias="id", max_length=256, examples=["6d5b2c1e-0f6a-4a57-9f4e-000000000017"])],
    ) -> Response:
        """One call by its id."""
        row = pages.view("calls").row(key, asyncio.get_running_loop().time())
        if row is None:
            raise Problem(404, f"there is no call {shown(key)}", "/api/v1/calls lists those there are", "path: id")
        return reply(row)

    return router
