"""Files of the module's, as tests write them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from recordings import DATA

from switchcast.app.config import Configuration, StockOptions, load_stock
from switchcast.app.config.stock_xml import StockSettings, read_stock

VANILLA = DATA / "event_multicast.conf.xml"
PSK = "an-otter-under-ice"
LEAST = '<param name="address" value="225.1.1.1"/>\n<param name="port" value="4242"/>\n'
"""Two lines, 3 and 4 of a file."""


def nowhere(_: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """No address is this host's own."""
    return False


def written(folder: Path, params: Mapping[str, str] | str, before: str = "") -> Path:
    """A file of the module's with ``params``, one a line from line 3 on (behind ``before``)."""
    lines = (
        params if isinstance(params, str) else "\n".join(f'<param name="{n}" value="{v}"/>' for n, v in params.items())
    )
    path = folder / "event_multicast.conf.xml"
    path.write_text(
        f'{before}<configuration name="event_multicast.conf">\n<settings>\n{lines}\n</settings>\n</configuration>\n'
    )
    return path


def read(folder: Path, params: Mapping[str, str] | str) -> StockSettings:
    """What a file with ``params`` says."""
    return read_stock(written(folder, params), {}, {})


def stocked(folder: Path, **params: str) -> Configuration:
    """The configuration of ``params`` beside the least that there must be."""
    least = {"address": "225.1.1.1", "port": "4242", "bindings": "all"}
    return load_stock(written(folder, least | params), {}, StockOptions(is_own=nowhere))
