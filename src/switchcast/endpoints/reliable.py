"""The native ends of the modes ``traced`` and ``sealed``, made as a ``Mode`` says."""

from __future__ import annotations

import socket
from typing import Any, Final

from switchcast._native import ReliableReceiver, ReliableSender
from switchcast.endpoints.modes import Mode
from switchcast.endpoints.watch import Watch

__all__ = ["linger", "open_receiver", "open_sender"]

LINGER_SECONDS: Final = 5.0
"""How long a sender that has nothing more to say answers receivers at most. It is over earlier when none asks."""


def open_receiver(mode: Mode, addresses: list[str], port: int, **options: Any) -> ReliableReceiver:
    """A receiver with what ``mode``, loaded, holds; ``options`` are those of any receiver.

    Where signers are named, events wait for the signature of their batch, and come as ``signed``, or as ``member`` when
    there is none: whether that will do is for each route and rule to say.
    """
    return ReliableReceiver(
        addresses,
        port,
        mode=mode.name,
        keys=None if mode.keys is None else mode.keys.secrets,
        repair=mode.repair,
        signers=mode.signers,
        deliver_stock=mode.stock == "deliver",
        **options,
    )


def open_sender(mode: Mode, addresses: list[str], port: int, *, sender: str | None, **options: Any) -> ReliableSender:
    """A sender with what ``mode``, loaded, holds; ``options`` are those of any sender.

    Its stream is known by ``sender``, or by this host's name: of two that are open at a time, each needs its own.
    """
    return ReliableSender(
        addresses,
        port,
        mode=mode.name,
        name=sender or socket.gethostname(),
        keys=None if mode.keys is None else mode.keys.secrets,
        cipher=mode.cipher,
        repair=mode.repair,
        keep=mode.keep,
        keep_for=mode.keep_for,
        signing=None if mode.signing is None else mode.signing.seed,
        sender=sender,
        **options,
    )


async def linger(sender: ReliableSender) -> None:
    """End ``sender``, and answer those who still ask for what they missed, before it is closed."""
    sender.end(LINGER_SECONDS)
    ended = Watch(sender.fileno())
    try:
        await ended.readable()
    finally:
        ended.end()
        sender.close()
