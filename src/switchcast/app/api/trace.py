"""``/trace/{key}``: a call's whole story, from the node's archive, or from the events of late in its memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field
from starlette.responses import Response

from switchcast._native import Event
from switchcast.app.api.aside import LOOK_SECONDS, Aside, Deadline
from switchcast.app.api.facts import Facts
from switchcast.app.api.hub import Hub
from switchcast.app.api.problems import Problem
from switchcast.app.api.reply import Described, problems, reply
from switchcast.archive.reading import ArchiveReader
from switchcast.archive.terms import Term
from switchcast.archive.trace.following import Search, gather
from switchcast.archive.trace.sources import Collected, in_archive
from switchcast.errors import SwitchcastError

__all__ = ["TraceBody", "trace_router"]


class TraceBody(Described):
    """Every call that a key matches."""

    key: str = Field(examples=["1000"])
    """What was asked for."""
    calls: list[dict[str, Any]]
    """The calls, the newest first: their legs, steps and bridges, as ``switchcast trace --json`` has them."""
    cut: list[str] = Field(examples=[[]])
    """What was left out because there is too much of it, in sentences."""
    origin: Literal["archive", "memory"] = Field(examples=["memory"])
    """Where the events come from."""


def trace_router(facts: Facts, hub: Hub, aside: Aside) -> APIRouter:
    """The path."""
    router = APIRouter(tags=["events"])

    @router.get("/trace/{key:path}", response_model=TraceBody, responses=problems(404))
    async def trace(key: Annotated[str, Path(min_length=1, max_length=256, examples=["1000"])]) -> Response:
        """A call's whole story across hosts: what became of each leg, who heard whom, and how it ended.

        The key is a Unique-ID or its beginning, a telephone number, a SIP Call-ID or a user.
        """
        directory = facts.archive()
        if directory is None:
            events = [event for reading in hub.recent.scan(None) for event in reading.events]
            return await aside.run(lambda: _told(key, events))
        return await aside.run(lambda: _told(key, directory))

    return router


def _told(key: str, where: FilePath | list[Event]) -> Response:
    """The story; in a thread."""
    try:
        if isinstance(where, list):
            collected = Collected()
            collected.take(where)
            found, origin = gather(key, _in_time(collected)), "memory"
        else:
            found, origin = gather(key, _in_time(in_archive(ArchiveReader(where)))), "archive"
    except SwitchcastError as error:
        raise Problem(503, str(error), "see the node's log", headers={"Retry-After": "10"}) from None
    if not found.calls:
        mend = "write a Unique-ID, number, SIP Call-ID or user; only what the node still has can be told"
        raise Problem(404, f"no call in its {origin} matches", mend, "path: key")
    return reply(found.to_dict() | {"origin": origin})


def _in_time(search: Search) -> Search:
    """The search, until it has gone on for long enough: a number that calls all day leads from call to call."""
    deadline = Deadline()

    def limited(terms: Collection[Term], since: float | None = None, until: float | None = None) -> Iterator[Event]:
        for event in search(terms, since, until):
            if deadline.passed:
                raise Problem(
                    503,
                    f"too many calls match to be told apart in {LOOK_SECONDS:g} s",
                    "write a call's Unique-ID or SIP Call-ID, or ask switchcast trace on the node",
                    "path: key",
                    {"Retry-After": "10"},
                )
            yield event

    return limited
