"""The application: the paths under ``/api/v1``, their description, and how mistakes are answered."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from switchcast._native import __version__
from switchcast.app.api.aside import Aside
from switchcast.app.api.audit import audit_router
from switchcast.app.api.events import events_router
from switchcast.app.api.facts import Facts
from switchcast.app.api.guard import Door, Guard
from switchcast.app.api.hub import Hub
from switchcast.app.api.node_paths import node_router
from switchcast.app.api.problems import Problem, ProblemBody, problem_of_validation, response_of, shown
from switchcast.app.api.trace import trace_router
from switchcast.app.api.views import views_router

__all__ = ["DESCRIPTION_PATH", "PREFIX", "make_app"]

PREFIX: Final = "/api/v1"
DESCRIPTION_PATH: Final = f"{PREFIX}/openapi.json"
_ABOUT: Final = """What a switchcast node knows: its picture of the cluster, and the events that it hears.

Every answer is JSON, every mistake `application/problem+json` (RFC 9457) that says what was wrong, where, and what
would do. Lists come in pages: give `next` as `after` until it is null. Times are seconds since 1970, durations seconds.
Everything is read only.
"""
_TAGS: Final = [
    {"name": "cluster", "description": "The picture of the cluster, kept from events and healed by asking switches."},
    {"name": "events", "description": "Events: those that have been, and those that come."},
    {"name": "node", "description": "The node itself."},
]


def make_app(facts: Facts, hub: Hub, aside: Aside, node: str, *, door: Door, counts: Counter[str]) -> ASGIApp:
    """The application for ``node``; it lets in whom ``door`` lets in, and counts into ``counts``."""
    app = FastAPI(
        title="switchcast",
        summary="The node over HTTP",
        description=_ABOUT,
        version=__version__,
        openapi_url=DESCRIPTION_PATH,
        openapi_tags=_TAGS,
        docs_url=None,  # its page is made of scripts from elsewhere
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    whole = APIRouter(prefix=PREFIX)
    whole.include_router(node_router(facts))
    whole.include_router(views_router(facts))
    whole.include_router(events_router(facts, hub, aside, node))
    whole.include_router(trace_router(facts, hub, aside))
    whole.include_router(audit_router(hub.auditing))
    app.include_router(whole)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _fault)
    describe = app.openapi

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(describe(), secured=door.token is not None)
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign]  # FastAPI's documented way
    return Guard(app, door, counts)


def _described(schema: dict[str, Any], *, secured: bool) -> dict[str, Any]:
    """FastAPI's description, with our kind of problem in place of its own, and the token."""
    schemas = schema["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas[ProblemBody.__name__] = ProblemBody.model_json_schema()
    if secured:
        schema["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "What is in the node's token_file."}
        }
        schema["security"] = [{"token": []}]
    return schema


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - it is registered for these
    return response_of(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these
    return response_of(problem_of_validation(error.errors()))


async def _fault(_: Request, error: Exception) -> Response:
    """A fault of ours, which the guard logs: it must not end other answers."""
    return response_of(Problem(500, f"a fault in the node, {type(error).__name__}", "its log has more"))


async def _refused(request: Request, error: Exception) -> Response:
    """What the router says of paths and methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    path = shown(request.url.path)
    if error.status_code == 405:
        problem = Problem(405, f"{shown(request.method)} is not answered", "ask with GET", "method", error.headers)
    else:
        problem = Problem(error.status_code, f"there is no {path}", f"{DESCRIPTION_PATH} lists what there is", "path")
    return response_of(problem)
