"""What a switch says of the module, asked over its event socket: ``module_exists`` and ``multicast_peers``.

Both only read. The answers are a stranger's text: parts of them are taken where they have the shape that is known, and
no more than a few.
"""

from __future__ import annotations

import re
from typing import Final

from switchcast.endpoints.esl import EslEndpoint
from switchcast.endpoints.esl_options import DEFAULT_PASSWORD, password_of
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import EndpointError
from switchcast.guard.doctor.switch_facts import ModuleAnswers, UnreadPart

__all__ = ["answers_of", "ask_switch"]

MOST_DESTINATIONS: Final = 16
"""Destinations that the module has room for."""

SECONDS: Final = 5.0
"""To wait for an answer."""

_STATE: Final = re.compile(r"module state:\s*(\w+)", re.IGNORECASE)
_DESTINATION: Final = re.compile(r"[^\r\n]{0,200}\bIPv[46] (?:unicast|multicast)\b[^\r\n]{0,40}", re.IGNORECASE)
_LONGEST: Final = 65_536


async def ask_switch(url: EndpointUrl) -> ModuleAnswers | UnreadPart:
    """What the switch at ``url`` (``esl:``) says, or why it says nothing. Raises ``UrlError`` for a wrong URL."""
    endpoint = EslEndpoint(url)
    default = not url.text("user") and not url.username and password_of(url) == DEFAULT_PASSWORD
    try:
        await endpoint.open_sink()  # which asks for no events
        loaded = await _answer(endpoint, "module_exists mod_event_multicast")
        peers = await _answer(endpoint, "multicast_peers")
    except EndpointError as error:
        how = "look at the URL, its password_file, and the switch's event_socket.conf.xml"
        return UnreadPart("what FreeSWITCH says of its module", str(error), how)
    finally:
        await endpoint.close()
    return answers_of(str(url), loaded, peers, default_password=default)


async def _answer(endpoint: EslEndpoint, command: str) -> str:
    """What the switch prints; nothing where our user may not ask, or the command is not there."""
    try:
        text = await endpoint.api(command, seconds=SECONDS)
    except EndpointError:
        if endpoint.closed:
            raise
        return ""
    return "" if text.startswith(("-ERR", "-USAGE")) else text[:_LONGEST]


def answers_of(url: str, loaded: str, peers: str, *, default_password: bool = False) -> ModuleAnswers:
    """What the answers mean. ``module_exists`` says ``true`` or ``false``; ``docs/wire-format.md`` has the other."""
    state = _STATE.search(peers)
    destinations = (line.strip() for line in _DESTINATION.findall(peers))
    return ModuleAnswers(
        url=url,
        loaded={"true": True, "false": False}.get(loaded.strip()),
        active=None if state is None else state[1].lower() == "active",
        destinations=tuple(destinations)[:MOST_DESTINATIONS],
        default_password=default_password,
    )
