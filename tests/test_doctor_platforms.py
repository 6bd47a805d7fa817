"""Faults of where a host runs, made for real on hosts in namespaces: named, and gone where there is a mend.

A radio, a bond, a VLAN and a cloud are made of what a driver or the firmware would show in ``/sys``, laid over a real
link's: the kernel that tests run on need not have such drivers. Two faults are not made: ``clock-jumps`` and
``clock-offset`` need the clock set, and all processes of a machine have one clock. Made facts stand for them.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from doctor_hosts import BOTH_WAYS, URL, assert_sound, found, gone, on
from doctor_trees import lay
from doctors import doctors
from keyfiles import group, written
from namespaces import Host

TUNSETIFF: Final = 0x400454CA
IFF_TUN: Final = 0x0001
TIME_ERROR: Final = 5
"""What ntp_adjtime(3) returns while the clock is not synchronised."""
VETH: Final = "devices/virtual/net/veth"
"""Below ``/sys``."""


def dressed(host: Host, tmp_path: Path, files: dict[str, str], url: str = URL) -> dict[str, Any]:
    """What the doctor finds on ``host`` alone, by code, with these files laid over its ``/sys``."""
    (tmp_path / "sys").mkdir(exist_ok=True)
    (answer,) = doctors((host, [url, "--wait", "200ms"]), over=lay(tmp_path / "sys", files))
    return answer.findings


@pytest.mark.parametrize(
    "files", [{"wireless/status": "0\n"}, {"phy80211/name": "phy0\n"}, {"uevent": "DEVTYPE=wlan\n"}]
)
def test_a_radio(pair: tuple[Host, Host], tmp_path: Path, files: dict[str, str]) -> None:
    told = {f"{VETH}/{name}": text for name, text in files.items()}
    found_here = dressed(pair[0], tmp_path, told)
    assert list(found_here) == ["wireless-link"]
    assert found_here["wireless-link"]["severity"] == "warning"


@pytest.mark.parametrize(
    ("mode", "codes"), [("balance-rr 0", ["bond-mode"]), ("broadcast 3", ["bond-mode"]), ("active-backup 1", [])]
)
def test_a_bond(pair: tuple[Host, Host], tmp_path: Path, mode: str, codes: list[str]) -> None:
    files = {f"{VETH}/bonding/mode": f"{mode}\n", f"{VETH}/lower_eth0/mtu": "", f"{VETH}/lower_eth1/mtu": ""}
    found_here = dressed(pair[0], tmp_path, files)
    assert list(found_here) == codes
    for finding in found_here.values():
        assert "its links are eth0, eth1" in finding["evidence"]


def test_a_vlan_with_nobody_on_it(pair: tuple[Host, Host], tmp_path: Path) -> None:
    tagged = {f"{VETH}/uevent": "DEVTYPE=vlan\n"}
    assert list(dressed(pair[0], tmp_path, tagged)) == ["vlan-alone"]
    a, b = pair
    answers = doctors((a, [URL, "--wait", "400ms"]), (b, [URL, "--wait", "400ms"]), over=tmp_path / "sys")
    assert [answer.findings for answer in answers] == [{}, {}]  # then there is somebody


@pytest.mark.parametrize(
    ("files", "name", "mends"),
    [
        ({"sys_vendor": "Amazon EC2\n"}, "Amazon Web Services", 2),
        ({"chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77\n"}, "Microsoft Azure", 1),
        ({"sys_vendor": "Microsoft Corporation\n"}, None, 0),
    ],
)
def test_a_machine_in_a_cloud(
    pair: tuple[Host, Host], tmp_path: Path, files: dict[str, str], name: str | None, mends: int
) -> None:
    found_here = dressed(pair[0], tmp_path, {f"class/dmi/id/{file}": text for file, text in files.items()})
    assert list(found_here) == (["cloud-network"] if name else [])
    for finding in found_here.values():
        assert str(name) in finding["title"]
        assert len(finding["mends"]) == mends
        assert not finding["evidence"][1:] or finding["evidence"][1] == "the probe heard no other host"


@contextmanager
def tunnel(host: Host) -> Iterator[None]:
    """A tun interface of ``host`` with its program, which reads nothing."""
    with host.entered():
        end = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH14x", b"tun0", IFF_TUN))
    try:
        host.run("ip", "address", "add", "198.51.100.1/24", "dev", "tun0")
        host.run("ip", "link", "set", "tun0", "up")
        yield
    finally:
        os.close(end)


def test_a_tunnel(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    with tunnel(a):
        (finding,) = found(on([a], URL.replace("veth", "tun0")), (a, "tunnel-without-multicast"))
        assert finding["severity"] == "critical"
        gone(on([a]), a, "tunnel-without-multicast")  # interface= with the link that the hosts share


def test_a_clock_that_is_not_synchronised(pair: tuple[Host, Host], tmp_path: Path) -> None:
    """The machine's own, so it is found where the kernel says so to others, too, and only there."""
    synchronised = ctypes.CDLL(None).ntp_adjtime(ctypes.create_string_buffer(512)) != TIME_ERROR
    key = written(tmp_path / "group.key", group())
    traced = dressed(pair[0], tmp_path, {}, url=f"{URL}&mode=traced&key_file={key}")
    assert ("clock-not-synchronised" in traced) is not synchronised
    assert "clock-not-synchronised" not in dressed(pair[0], tmp_path, {})  # nothing in stock mode looks at a clock


def test_a_plain_pair_has_none_of_it(pair: tuple[Host, Host]) -> None:
    assert_sound(on(pair), said=BOTH_WAYS)
