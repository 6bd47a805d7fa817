"""The events of registrations as mod_sofia fires them, made up for tests of what learns from them."""

from __future__ import annotations

from typing import Any

from switchcast import Event
from switchcast.views.registrations import Registrations
from switchcast.views.telling import Snapshot, Trust, told

DOMAIN = "pbx.example"
WALL = 1_800_000_000.0
"""What the wall clock says at second 0 of the monotonic one."""


def sofia(
    kind: str, node: str = "fs1", *, trust: Trust = "local", core: str = "", number: int = 0, **headers: str
) -> Event:
    """A ``sofia::`` event of ``node``; a header's name has ``_`` for ``-``. Without ``number`` it has none."""
    told = [
        ("Event-Subclass", f"sofia::{kind}"),
        ("FreeSWITCH-Switchname", node),
        ("Core-UUID", core or f"core-of-{node}"),
        *([("Event-Sequence", str(number))] if number else []),
        *((name.replace("_", "-"), value) for name, value in headers.items()),
    ]
    return (
        Event("CUSTOM", told).with_origin("192.0.2.77:4242", None).with_trust(trust, "x" if trust == "signed" else None)
    )


def register(user: str = "1000", node: str = "fs1", **others: Any) -> Event:
    """``sofia::register`` of a telephone at 198.18.0.1, for an hour unless ``others`` say more."""
    headers = {
        "profile_name": "internal",
        "from_user": user,
        "from_host": DOMAIN,
        "contact": f'"" <sip:{user}@198.18.0.1:5060>',
        "call_id": f"call-of-{user}-at-{node}",
        "expires": "3600",
        "network_ip": "198.18.0.1",
        "network_port": "5060",
        "user_agent": "phone/1",
    }
    return sofia("register", node, **(headers | others))


def unregister(user: str = "1000", node: str = "fs1", **others: Any) -> Event:
    """``sofia::unregister``, whose Call-ID need not be that of the registration."""
    headers = {
        "profile_name": "internal",
        "from_user": user,
        "from_host": DOMAIN,
        "contact": f'"" <sip:{user}@198.18.0.1:5060>',
        "call_id": "another",
        "expires": "0",
    }
    return sofia("unregister", node, **(headers | others))


def expire(user: str = "1000", node: str = "fs1", **others: Any) -> Event:
    """``sofia::expire``, which names the account in other headers and tells a date."""
    headers = {
        "profile_name": "internal",
        "user": user,
        "host": DOMAIN,
        "contact": f'"" <sip:{user}@198.18.0.1:5060>',
        "call_id": f"call-of-{user}-at-{node}",
        "expires": "1800003600",
    }
    return sofia("expire", node, **(headers | others))


def listed(user: str = "1000", node: str = "fs1", seconds: int | None = 3600, **others: str) -> dict[str, str]:
    """A row of ``sofia xmlstatus profile internal reg``; other columns have ``_`` for ``-``."""
    left = "" if seconds is None else f" expsecs({seconds})"
    columns = {
        "profile": "internal",
        "user": f"{user}@{DOMAIN}",
        "contact": f'"" <sip:{user}@198.18.0.1:5060>',
        "call-id": f"call-of-{user}-at-{node}",
        "agent": "phone/1",
        "status": f"Registered(UDP)(unknown) exp(2027-01-15 09:00:00){left}",
        "ping-status": "Reachable",
        "network-ip": "198.18.0.1",
        "network-port": "5060",
    }
    return columns | {name.replace("_", "-"): value for name, value in others.items()}


def snapshot(node: str, begun: float, *rows: dict[str, str]) -> Snapshot:
    """What ``node`` answered to the questions that were begun at ``begun``."""
    return Snapshot(node, f"core-of-{node}", begun, WALL + begun, registrations=rows)


def tell(view: Registrations, now: float, *events: Event) -> Registrations:
    """Let ``view`` learn from ``events`` at ``now``."""
    for event in events:
        said = told(event)
        assert said is not None
        assert said.kind in view.kinds
        view.learn(said, now, WALL + now)
    return view


def held(view: Registrations, now: float = 0.0) -> dict[str, str]:
    """Who is registered (without the domain), and at which switch."""
    return {row["user"].partition("@")[0]: row["node"] for row in view.rows(now)}
