"""A simulated cluster of switches that behave like a recorded one: deterministic, without I/O and without a clock."""

from __future__ import annotations

from switchcast.simulation.cluster import DEFAULT_START, Cluster, Summary
from switchcast.simulation.registrar import Registrar, SipRegistration
from switchcast.simulation.stage import DOMAIN, Mailbox
from switchcast.simulation.switch import Channel, Lamp, Presence, Registration, Switch

__all__ = [
    "DEFAULT_START",
    "DOMAIN",
    "Channel",
    "Cluster",
    "Lamp",
    "Mailbox",
    "Presence",
    "Registrar",
    "Registration",
    "SipRegistration",
    "Summary",
    "Switch",
]
