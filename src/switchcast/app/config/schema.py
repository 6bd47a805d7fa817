"""The configuration file as JSON Schema, so that editors complete and check it.

Taplo and what is built on it (the usual TOML extensions of editors) take the schema from a file:
``#:schema /etc/switchcast/switchcast.schema.json`` on the first line of the configuration.
"""

from __future__ import annotations

from typing import Any, Final

from switchcast.app.config.model import FileSettings

__all__ = ["json_schema"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema; what a key means, its default and examples come from the tables' own models."""
    schema = FileSettings.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **schema, "description": "The configuration of a switchcast node."}
