"""What kind of host this is: a container, a machine in a cloud, and of what kind each of its interfaces is.

Much of it is only a trace that others leave: ``/.dockerenv`` is Docker's, ``/run/.containerenv`` Podman's, the strings
of the firmware (``/sys/class/dmi/id``) the cloud's. So everything here is told with the trace that it was known by, and
what is not known is ``None``. Interfaces are told apart as the kernel's drivers name themselves in ``uevent``
(``DEVTYPE``), and where a driver does not, by the files that only its kind has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from switchcast.system.files import net_file

__all__ = ["Interface", "Medium", "Platform", "Trace", "read_platform"]

MOST_INTERFACES: Final = 4096
"""Interfaces that are looked at: a host of containers has one for each of them."""

_MOST_BYTES: Final = 262_144
"""Bytes read of a file: ``mountinfo`` has a line a mount."""

_ETHERNET: Final = 1
_IFF_TAP: Final = 0x2
_TUNNELS: Final = frozenset({65534, 768, 769, 776, 778, 823})
"""``ARPHRD_`` of links that carry IP alone (``linux/if_arp.h``): none, tunnel, tunnel6, SIT, GRE, GRE over IPv6."""

_CGROUPS: Final = (
    ("Kubernetes", re.compile(r"kubepods")),
    ("Podman", re.compile(r"libpod-")),
    ("Docker", re.compile(r"/docker[/-]|docker-[0-9a-f]{12}")),
    ("LXC", re.compile(r"/lxc[./]")),
    ("containerd", re.compile(r"cri-containerd")),
)
_MOUNTS: Final = (
    ("Kubernetes", re.compile(r"/kubelet/pods/| /var/run/secrets/kubernetes\.io|/run/secrets/kubernetes\.io")),
    ("Podman", re.compile(r"/containers/storage/overlay|/overlay-containers/")),
    ("Docker", re.compile(r"/docker/containers/|/var/lib/docker/")),
    ("LXC", re.compile(r"\blxcfs\b")),
)
_CLOUDS: Final = (
    ("Amazon Web Services", re.compile(r"Amazon EC2|amazon")),
    ("Google Cloud", re.compile(r"Google")),
    ("Microsoft Azure", re.compile(r"7783-7084-3265-9085-8269-3286-77")),
    ("DigitalOcean", re.compile(r"DigitalOcean")),
    ("Hetzner Cloud", re.compile(r"Hetzner")),
    ("Oracle Cloud", re.compile(r"OracleCloud")),
    ("Alibaba Cloud", re.compile(r"Alibaba Cloud")),
    ("Tencent Cloud", re.compile(r"Tencent Cloud")),
    ("Huawei Cloud", re.compile(r"HUAWEI ?CLOUD", re.IGNORECASE)),
    ("IBM Cloud", re.compile(r"IBM:Cloud|ibmcloud")),
    ("OVHcloud", re.compile(r"OVH")),
    ("Scaleway", re.compile(r"Scaleway")),
    ("Vultr", re.compile(r"Vultr")),
    ("Akamai (Linode)", re.compile(r"Akamai|Linode")),
    ("UpCloud", re.compile(r"UpCloud")),
)
"""Who a machine belongs to, by what its firmware says. Azure is known by its asset tag: its vendor is any Hyper-V's."""


class Medium(StrEnum):
    """What kind of link an interface is."""

    ETHERNET = "Ethernet"
    WIRELESS = "Wi-Fi"
    BOND = "bond"
    VLAN = "VLAN"
    BRIDGE = "bridge"
    VETH = "veth pair"
    TUNNEL = "tunnel"
    LOOPBACK = "loopback"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Trace:
    """Something that this host is (``name``), and by what that is known."""

    name: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface, its number (``index``) and what it is.

    ``multicast`` is its flag (``IFF_MULTICAST``), ``below`` are the links under it (a bond's members, the link of a
    VLAN), ``bond_mode`` is set where it is a bond: ``active-backup``.
    """

    name: str
    index: int
    medium: Medium
    multicast: bool = True
    below: tuple[str, ...] = ()
    bond_mode: str | None = None


@dataclass(frozen=True, slots=True)
class Platform:
    """What kind of host this is. ``default_interfaces`` are those that a default route of IPv4 goes through."""

    container: Trace | None = None
    cloud: Trace | None = None
    interfaces: tuple[Interface, ...] = ()
    default_interfaces: tuple[str, ...] = ()

    def interface(self, name: str, index: int) -> Interface | None:
        """The interface of that name and number.

        Both, because ``/sys`` shows the interfaces of the network that it was mounted in, which need not be ours.
        """
        return next((each for each in self.interfaces if (each.name, each.index) == (name, index)), None)


def read_platform(root: Path = Path("/"), environ: Mapping[str, str] | None = None) -> Platform:
    """What kind of host this is. ``environ`` is this process's, in which Kubernetes tells of itself."""
    return Platform(
        container=_container(root, environ or {}),
        cloud=_cloud(root),
        interfaces=tuple(_interfaces(root)),
        default_interfaces=_default_interfaces(root),
    )


def _container(root: Path, environ: Mapping[str, str]) -> Trace | None:
    if host := environ.get("KUBERNETES_SERVICE_HOST"):
        return Trace("Kubernetes", f"KUBERNETES_SERVICE_HOST is {host}")
    for name, patterns in (("proc/1/cgroup", _CGROUPS), ("proc/self/mountinfo", _MOUNTS)):
        text = _text(root / name)
        for runtime, pattern in patterns:
            if pattern.search(text):
                return Trace(runtime, f"/{name} tells of {runtime}")
    for name, runtime in (("run/.containerenv", "Podman"), (".dockerenv", "Docker")):
        if (root / name).exists():
            return Trace(runtime, f"there is a /{name}")
    # Set by LXC, systemd-nspawn and Podman for the first process (systemd's container interface).
    named = re.search(r"(?:^|\0)container=([a-z-]+)", _text(root / "proc/1/environ"))
    return Trace(named[1], f"the first process was started with container={named[1]}") if named else None


def _cloud(root: Path) -> Trace | None:
    folder = root / "sys/class/dmi/id"
    for name in ("sys_vendor", "product_name", "chassis_asset_tag", "board_vendor", "bios_vendor"):
        value = _text(folder / name).strip()
        for cloud, pattern in _CLOUDS:
            if pattern.search(value):
                return Trace(cloud, f"/sys/class/dmi/id/{name} is {value[:80]}")
    return None


def _interfaces(root: Path) -> Iterator[Interface]:
    try:
        folders = sorted((root / "sys/class/net").iterdir())
    except OSError:
        return
    for folder in folders[:MOST_INTERFACES]:
        if (folder / "ifindex").exists():  # which bonding_masters, a plain file beside them, has not
            yield _interface(folder)


def _interface(folder: Path) -> Interface:
    bonding = _text(folder / "bonding/mode").split()
    return Interface(
        name=folder.name,
        index=_number(folder / "ifindex", 0),
        medium=_medium(folder),
        multicast=bool(_number(folder / "flags", 0x1000) & 0x1000),
        below=tuple(name.removeprefix("lower_") for name in _names(folder) if name.startswith("lower_")),
        bond_mode=bonding[0] if bonding else None,
    )


def _medium(folder: Path) -> Medium:
    """What the interface in ``folder`` is; a driver that says nothing of it is known by the files that it makes."""
    kind = _uevent(folder).get("DEVTYPE", "")
    named = {"wlan": Medium.WIRELESS, "bond": Medium.BOND, "vlan": Medium.VLAN, "bridge": Medium.BRIDGE}
    named |= {"wireguard": Medium.TUNNEL, "vxlan": Medium.TUNNEL, "ppp": Medium.TUNNEL}
    if kind in named:
        return named[kind]
    owned = {"wireless": Medium.WIRELESS, "phy80211": Medium.WIRELESS, "bonding": Medium.BOND, "bridge": Medium.BRIDGE}
    for name, medium in owned.items():
        if (folder / name).exists():
            return medium
    family = _number(folder / "type", _ETHERNET)
    if _number(folder / "tun_flags", 0) & _IFF_TAP:
        return Medium.ETHERNET  # whole frames, to a program in place of a wire
    if family == 772:  # ARPHRD_LOOPBACK
        return Medium.LOOPBACK
    if family in _TUNNELS:
        return Medium.TUNNEL
    if family != _ETHERNET or kind:
        return Medium.OTHER
    # A veth's other end is what it is linked to; macvlan and ipvlan, linked to their parent, name themselves.
    own = _number(folder / "ifindex", 0)
    return Medium.VETH if _number(folder / "iflink", own) != own else Medium.ETHERNET


def _default_interfaces(root: Path) -> tuple[str, ...]:
    """Columns of ``/proc/net/route``: interface, destination, gateway, flags, ..., mask."""
    found: list[str] = []
    try:
        table = net_file("route", root)
    except OSError:
        return ()
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == words[7] == "00000000" and words[0] not in found:
            found.append(words[0])
    return tuple(found)


def _uevent(folder: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in _text(folder / "uevent").splitlines())
    return {name: value for name, _, value in pairs}


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _number(path: Path, default: int) -> int:
    try:
        return int(_text(path), 0)
    except ValueError:
        return default


def _text(path: Path) -> str:
    """What the file says, or nothing where it cannot be read: then there is no trace in it."""
    try:
        with open(path, "rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
