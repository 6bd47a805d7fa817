"""Rows on their way out: models for the description, and JSON that is made without them.

Every row of the API is described by a model, and tests hold the two against each other. An answer is not validated
again on its way: a page of a thousand rows would keep the node's loop from the line.
"""

from __future__ import annotations

import json
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from switchcast.app.api.problems import MEDIA_TYPE, ProblemBody

__all__ = ["PROBLEMS", "Described", "Page", "Parameters", "problems", "reply"]

Row = TypeVar("Row")


class Described(BaseModel):
    """A model whose fields are told of by their docstrings."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


class Parameters(BaseModel):
    """Parameters of a query: one that is not known is a mistake, not a wish that goes unheard."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


class Page(Described, Generic[Row]):
    """Some of the rows, and how to get the others."""

    rows: list[Row]
    """The rows."""
    next: str | None = Field(examples=["1001%40example.com"])
    """What to give as ``after`` for the next rows; null where there are no more."""


_SAID: Final = {
    400: "The request cannot be read.",
    401: "The token is missing or wrong.",
    404: "There is no such thing.",
    413: "The request has a body.",
    431: "The headers are too long.",
    421: "The node is not asked by this name here.",
    422: "A parameter is not taken: which, and what would do.",
    503: "Too many ask, or it took too long; ``Retry-After`` says when to try again.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the description: these statuses, and those that every path has."""
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}}}
    return {status: {"description": _SAID[status], "content": content} for status in sorted({*PROBLEMS, *statuses})}


PROBLEMS: Final = (400, 401, 413, 421, 422, 431, 503)


def reply(body: object) -> Response:
    """``body`` as JSON. What is not UTF-8 in an event stays what the event has, as a lone surrogate's escape."""
    text = json.dumps(body, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Response(text.encode() + b"\n", media_type="application/json")
