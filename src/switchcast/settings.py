"""What every table of settings is made of: strict models, and the kinds of values that several of them have.

A table stands beside the feature it sets: ``RuleSettings`` in ``rules``, ``PolicySettings`` in ``guard``. The
configuration file puts them together (``app.config``). A validator here raises ``ValueError`` with a sentence that says
what would do; the configuration adds the file, the line and the key.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from switchcast.quantities import parse_duration, parse_size

__all__ = ["Duration", "Settings", "Size", "check_trust"]


class Settings(BaseModel):
    """A table of settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=False,
        use_attribute_docstrings=True,  # what a field's docstring says is what an editor shows for its key
    )


def check_trust(trust: str | None, require: str | None, signers: tuple[str, ...]) -> None:
    """Whether ``trust``, ``require`` and ``signers`` of a route or a rule go together. Raises ``ValueError``."""
    if trust == "stock" and require == "signed":
        raise ValueError('trust = "stock" takes what nobody vouches for, require = "signed" does not; leave one out')
    if signers and require != "signed":
        raise ValueError('signers are asked for only with require = "signed"; add that, or leave them out')


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["500ms", "20s", "5m", "1h", "2d"]}),
]
"""Seconds; written ``"20s"``."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["64KiB", "1MiB"]}),
]
"""Bytes; written ``"64KiB"``."""
