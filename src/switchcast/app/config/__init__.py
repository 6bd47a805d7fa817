"""Configuration: one TOML file, or the module's own XML, to what the node is built from.

``load`` reads and checks our file as a whole, ``load_stock`` the module's, ``load_either`` whichever it is. ``locate``
tells the lines, ``model`` the tables, ``environment`` what is overridden, ``endpoint_checks`` and ``checks`` what must
fit together, ``problems`` how mistakes are told, ``stock_xml`` and ``stock`` the module's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from switchcast.app.config.configuration import Configuration, ConfiguredEndpoint
from switchcast.app.config.load import load
from switchcast.app.config.stock import StockOptions, load_stock
from switchcast.app.config.stock_xml import is_stock_file

__all__ = [
    "Configuration",
    "ConfiguredEndpoint",
    "StockOptions",
    "load",
    "load_either",
    "load_stock",
]


def load_either(
    path: Path | str,
    environ: Mapping[str, str] | None = None,
    stock: StockOptions | None = None,
    *,
    outside: bool = False,
) -> Configuration:
    """The configuration at ``path``: the module's own where the name ends in ``.xml``, else ours.

    ``outside`` is as in ``load``. Raises ``ConfigurationError``.
    """
    file = Path(path)
    if is_stock_file(file):
        return load_stock(file, environ, stock, outside=outside)
    return load(file, environ, outside=outside)
