"""The rules that packets meet on this host, as far as this program may read them: nftables and iptables."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from switchcast.system.files import net_file
from switchcast.system.iptables import parse_iptables
from switchcast.system.nft_tables import read_nft_tables
from switchcast.system.nftables import parse_listing, parse_nft
from switchcast.system.packet_rules import Chain, Firewall, Rule, Test, Unlisted, Verdict

__all__ = ["Chain", "Firewall", "Rule", "Test", "Unlisted", "Verdict", "read_firewall"]

PATIENCE: Final = 10.0
"""Seconds that one tool may take."""
WHERE: Final = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin"
"""Where the tools are; the path of a user who is not root is often without."""
ROOT: Final = Path("/")
MOST_SHOWN: Final = 8
"""Tables that are named."""
IPTABLES_TABLES: Final = {"filter", "nat", "mangle", "raw", "security"}
"""Tables that iptables makes in nftables; the tool that made them tells them better."""


def read_firewall() -> Firewall:
    """By ``nft``, ``iptables-save`` and ``ip6tables-save``: those that are installed, and permitted.

    Where one is not installed, the kernel is asked whether it has any rules of that kind. Raises nothing for what it
    meets: it is in ``unread``. Takes some hundredths of a second; the tools only list.
    """
    readers: dict[str, Callable[[str], tuple[Chain, ...]]] = {
        "iptables": lambda tool: parse_iptables(_asked(f"{tool}-save"), "iptables"),
        "ip6tables": lambda tool: parse_iptables(_asked(f"{tool}-save"), "ip6tables"),
        "nft": lambda tool: parse_nft(
            _asked(tool, "-j", "list", "ruleset"), parse_listing(_asked(tool, "-a", "list", "ruleset"))
        ),
    }
    chains: list[Chain] = []
    unread: list[Unlisted] = []
    for tool, reader in readers.items():
        try:
            chains.extend(chain for chain in reader(tool) if not _told_already(chain, chains))
        except FileNotFoundError as missing:
            unread.extend(_beyond(tool, str(missing)))
        except (OSError, ValueError) as error:
            unread.append(Unlisted(tool, str(error)))
    return Firewall(tuple(chains), tuple(unread))


def _beyond(tool: str, missing: str) -> Iterator[Unlisted]:
    """What the kernel has, as it says itself, that this tool would list and is not there to."""
    try:
        if tool == "nft":
            tables = read_nft_tables()
        else:
            tables = tuple(net_file("ip6_tables_names" if tool == "ip6tables" else "ip_tables_names", ROOT).split())
    except FileNotFoundError:  # nor has the kernel any
        return
    except OSError as error:
        if tool == "nft":  # who may not ask for the others either was told so already
            yield Unlisted(tool, f"{missing}, and the kernel does not say more: {error.strerror}", installed=False)
        return
    if tables:
        shown = ", ".join(tables[:MOST_SHOWN])
        yield Unlisted(tool, f"{missing}, and the kernel has tables of it: {shown}", installed=False)


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
