"""The node over HTTP: JSON for programs, a live stream for dashboards.

::

    settings   the [api] table                    facts     what is asked of the node
    service    started, changed and ended         server    uvicorn, in the node's own event loop
    guard      what every request has to pass     app       the paths, their description, mistakes
    recent     the events of late, kept once      ids       what names them to clients
    hub        fills recent, wakes the readers    stream    the live stream
    way        a stream that goes on in an archive    past    which archive, and who reads in it now
    aside      threads for what takes a while
    views, rows, events, trace, audit, node_paths            the paths themselves, and their models

Only ``settings`` and ``facts`` can be imported without the extra ``api``; ``load_api`` says so where it is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from switchcast.errors import MissingExtra

if TYPE_CHECKING:
    from switchcast.app.api.service import Api

__all__ = ["load_api"]


def load_api() -> type[Api]:
    """The class that serves a node. Raises ``MissingExtra``."""
    try:
        from switchcast.app.api.service import Api
    except ImportError as error:
        if error.name is not None and error.name.startswith("switchcast"):
            raise
        raise MissingExtra("api", "[api] in the configuration") from None
    return Api
