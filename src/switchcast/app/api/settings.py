"""The ``[api]`` table, apart from what serves it: a configuration is checked without the extra."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from switchcast.app.listen import is_local, parse_listen
from switchcast.errors import UsageError
from switchcast.settings import Settings, Size

__all__ = ["PORT", "SETTING", "SHORTEST_TOKEN", "ApiSettings"]

SETTING: Final = "api.listen"
"""The setting that errors of the address are about."""
PORT: Final = 8480
SHORTEST_TOKEN: Final = 16
"""Bytes of a token: a shorter one can be tried out over a network."""


def _listen(text: str) -> str:
    try:
        parse_listen(text, SETTING, PORT)
    except UsageError as error:
        raise ValueError(str(error).removeprefix(f"{SETTING}: ")) from None
    return text


class ApiSettings(Settings):
    """The ``[api]`` table: the node over HTTP, for programs and dashboards. Without the table there is none."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(default=f"127.0.0.1:{PORT}", examples=[f"127.0.0.1:{PORT}"])
    """Address and port; one that other hosts can reach needs a ``token_file``."""
    token_file: str | None = Field(default=None, examples=["/etc/switchcast/api.token", "credential:api.token"])
    """The file that holds the token which every request has to bring, readable by its owner only, or
    ``credential:NAME``. Without one whoever has an account on this host may ask."""
    hosts: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = Field(
        default=(), examples=[["fs1.example.com"]]
    )
    """Names that it may be asked by on a loopback address, besides ``localhost`` and addresses: those that a proxy in
    front of it passes on."""
    streams: int = Field(default=256, ge=1, le=10_000)
    """Clients of the live stream at once."""
    recent: int = Field(default=10_000, ge=1, le=10_000_000)
    """Events that are kept in memory, for ``/events`` and for streams that are resumed."""
    recent_size: Size = Field(default=64 << 20, ge=1 << 20, examples=["64MiB"])
    """How much these events may take; the oldest go first."""
    audit: bool = False
    """Whether what events give away is counted as they come, for ``/audit``; needs the extra ``audit``."""

    @model_validator(mode="after")
    def _check_reach(self) -> ApiSettings:
        host, port = self.address
        if self.token_file is None and not is_local(host):
            raise ValueError(
                f"{self.listen} can be reached from other hosts, which must prove who they are: add token_file, or "
                f"write 127.0.0.1:{port}"
            )
        return self

    @property
    def address(self) -> tuple[str, int]:
        """``listen`` as host and port."""
        return parse_listen(self.listen, SETTING, PORT)
