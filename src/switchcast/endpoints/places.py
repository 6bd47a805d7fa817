"""Where on disk an endpoint reads or writes, so that nothing is written over what is still to be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from switchcast.endpoints.url import EndpointUrl

__all__ = ["place_on_disk", "same_place"]

_ON_DISK: Final = frozenset({"file", "archive"})


def place_on_disk(url: EndpointUrl) -> Path | None:
    """The file or directory of ``url``, links followed; ``None`` where there is none that holds what was written.

    So it is for other schemes, and for pipes and devices.
    """
    if url.scheme not in _ON_DISK or not url.path:
        return None
    place = os.path.realpath(url.path)
    special = os.path.exists(place) and not os.path.isfile(place) and not os.path.isdir(place)
    return None if special else Path(place)


def same_place(one: EndpointUrl, other: EndpointUrl) -> bool:
    """Whether both are the same file or archive, however each is written."""
    place = place_on_disk(one)
    return place is not None and place == place_on_disk(other)
