"""The rules that packets meet on this host, as far as this program may read them: nftables and iptables."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Final

from switchcast.system.iptables import parse_iptables
from switchcast.system.nftables import parse_listing, parse_nft
from switchcast.system.packet_rules import Chain, Firewall, Rule, Test, Verdict

__all__ = ["Chain", "Firewall", "Rule", "Test", "Verdict", "read_firewall"]

PATIENCE: Final = 10.0
"""Seconds that one tool may take."""
WHERE: Final = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin"
"""Where the tools are; the path of a user who is not root is often without."""
IPTABLES_TABLES: Final = {"filter", "nat", "mangle", "raw", "security"}
"""Tables that iptables makes in nftables; the tool that made them tells them better."""


def read_firewall() -> Firewall:
    """By ``nft``, ``iptables-save`` and ``ip6tables-save``: those that are installed, and permitted.

    Raises ``OSError`` when none of them could be read. Takes some hundredths of a second; the tools only list.
    """
    readers: dict[str, Callable[[str], tuple[Chain, ...]]] = {
        "iptables": lambda tool: parse_iptables(_asked(f"{tool}-save"), "iptables"),
        "ip6tables": lambda tool: parse_iptables(_asked(f"{tool}-save"), "ip6tables"),
        "nft": lambda tool: parse_nft(
            _asked(tool, "-j", "list", "ruleset"), parse_listing(_asked(tool, "-a", "list", "ruleset"))
        ),
    }
    chains: list[Chain] = []
    unread: list[tuple[str, str]] = []
    for tool, reader in readers.items():
        try:
            chains.extend(chain for chain in reader(tool) if not _told_already(chain, chains))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            unread.append((tool, str(error)))
    if not chains and unread:
        raise OSError("; ".join(f"{tool}: {why}" for tool, why in unread))
    if all(shutil.which(name, path=WHERE) is None for name in ("nft", "iptables-save")):
        raise FileNotFoundError("neither nft nor iptables-save is installed")
    return Firewall(tuple(chains), tuple(unread))


def _told_already(chain: Chain, told: list[Chain]) -> bool:
    """Whether this chain of nftables is one that iptables made, and told."""
    return chain.table in IPTABLES_TABLES and any(
        (chain.family, chain.table, chain.name) == (other.family, other.table, other.name) for other in told
    )


def _asked(tool: str, *words: str) -> str:
    """What a tool prints. Raises ``OSError``, with what it said when it failed."""
    path = shutil.which(tool, path=WHERE)
    if path is None:
        raise FileNotFoundError(f"{tool} is not installed")
    try:
        done = subprocess.run(  # noqa: S603 - a fixed list of words, no shell
            [path, *words],
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
            env={"PATH": WHERE, "LC_ALL": "C", "HOME": os.devnull},
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{tool} did not answer within {PATIENCE:g} s") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise OSError(said[0] if said else f"{tool} failed with {done.returncode}")
    return done.stdout.decode("utf-8", "replace")
