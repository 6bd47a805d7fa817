"""What is told when a request cannot be answered, as ``application/problem+json`` (RFC 9457): what, where, the mend.

::

    {"type": "about:blank", "title": "Unprocessable Content", "status": 422,
     "detail": "limit: 5000 is more than 1000", "where": "query: limit", "mend": "write a number from 1 to 1000"}

Nothing of it repeats more than a little of what a stranger wrote, and nothing of it tells of the inside of the node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

__all__ = ["MEDIA_TYPE", "Problem", "ProblemBody", "problem_of_validation", "response_of", "shown"]

MEDIA_TYPE: Final = "application/problem+json"
_MOST_SHOWN: Final = 60
"""Characters of what was sent that are shown again."""
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}  # http.HTTPStatus of 3.11 has older phrases


class Problem(Exception):
    """A request that cannot be answered. ``where`` names the part of the request, or is empty."""

    def __init__(
        self, status: int, what: str, mend: str, where: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.where = where
        self.mend = mend
        self.headers = dict(headers or {})


class ProblemBody(BaseModel):
    """Why a request was not answered (RFC 9457)."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    type: str = Field(examples=["about:blank"])
    """Always ``about:blank``: the status says which kind of problem it is."""
    title: str = Field(examples=["Unprocessable Content"])
    """The status in words."""
    status: int = Field(examples=[422])
    """The status of the answer."""
    detail: str = Field(examples=["5000 is not taken: Input should be less than or equal to 1000"])
    """What was wrong."""
    where: str = Field(examples=["query: limit"])
    """Where in the request it was; empty where it is about the whole."""
    mend: str = Field(examples=["write a whole number from 1 to 1000"])
    """What would do."""


def response_of(problem: Problem) -> Response:
    """The answer."""
    title = _TITLES.get(problem.status) or HTTPStatus(problem.status).phrase
    body = ProblemBody(
        type="about:blank",
        title=title,
        status=problem.status,
        detail=problem.what,
        where=problem.where,
        mend=problem.mend,
    )
    return Response(
        body.model_dump_json().encode() + b"\n", problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def problem_of_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The first of what pydantic found in a request."""
    error = errors[0]
    place = [str(part) for part in error["loc"]]
    where = f"{place[0]}: {'.'.join(place[1:])}" if len(place) > 1 else "".join(place)
    if error["type"] == "extra_forbidden":
        return Problem(422, "there is no such parameter", "leave it out; /api/v1/openapi.json lists all", shown(where))
    given = error.get("input")
    what = f"{shown(given)!r} is not taken" if isinstance(given, str | int | float) else "it is not taken"
    said = str(error["msg"]).removeprefix("Value error, ")
    return Problem(422, f"{what}: {said}", "see /api/v1/openapi.json for what it takes", shown(where))


def shown(value: object) -> str:
    """A little of ``value``, as it may be repeated."""
    text = str(value)[: _MOST_SHOWN + 1].encode("utf-8", "replace").decode()
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
