"""A view as the running node has it: asked for page by page over its control socket."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from switchcast.app.cli.views.showing import Choice, Seen
from switchcast.app.control import ask

__all__ = ["MOST_WATCHED", "fetch"]

PAGE_ROWS: Final = 5_000
"""Rows asked for at a time: while the node writes an answer it does nothing else."""
MOST_WATCHED: Final = 10_000
"""Rows that are asked for again and again with ``--watch``: more than anyone can look at, and no burden to the node."""
MOST_NODES: Final = 5_000


def fetch(socket: str, choice: Choice, most: int | None = None) -> Seen:
    """What the node at ``socket`` knows, the first ``most`` rows of it. Raises ``NoNode`` and what ``ask`` raises."""
    rows: list[dict[str, Any]] = []
    reply: Mapping[str, Any] = {}
    unread = False
    for reply in _pages(socket, choice):
        rows += [row for row in reply["rows"] if choice.wants(row)]
        if most is not None and len(rows) >= most and reply["next"] is not None:
            unread = True
            break
    return Seen(
        rows,
        time.time(),
        counters=reply["counters"],
        asked=reply.get("asked", []),
        doubts=reply.get("doubts", {}),
        nodes=_nodes(socket)
        if any(row.get("sure") == "doubtful" for row in rows) or (choice.node and not rows)
        else {},
        cut=unread,
    )


def _pages(socket: str, choice: Choice) -> Iterator[Mapping[str, Any]]:
    after: str | None = ""
    while after is not None:
        request = {"ask": "view", "name": choice.kind.name, "after": after, "limit": PAGE_ROWS}
        reply = ask(socket, {**request, "match": choice.match or choice.node})
        yield reply
        after = reply["next"]


def _nodes(socket: str) -> dict[str, dict[str, Any]]:
    """What is known of the nodes, which explains why rows are doubtful, or that there are none."""
    reply = ask(socket, {"ask": "view", "name": "nodes", "after": "", "limit": MOST_NODES, "match": ""})
    return {str(row["name"]): row for row in reply["rows"]}
