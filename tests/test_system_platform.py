"""What kind of host this is, its clock, its processes and who holds a socket, read from made-up trees and from here."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from doctor_trees import lay, lay_interface, lay_process

from switchcast.system.clock import ClockReading, clock_of, clock_step, read_clock, read_times
from switchcast.system.owners import Owner, Owners, read_owners
from switchcast.system.platform import Medium, Platform, read_platform
from switchcast.system.processes import find_processes


@pytest.mark.parametrize(
    ("files", "environ", "name"),
    [
        ({".dockerenv": ""}, {}, "Docker"),
        ({"run/.containerenv": ""}, {}, "Podman"),
        ({"proc/1/cgroup": "0::/system.slice/docker-0123456789abcdef.scope\n"}, {}, "Docker"),
        ({"proc/1/cgroup": "12:cpu:/docker/0123456789abcdef\n"}, {}, "Docker"),
        ({"proc/1/cgroup": "0::/machine.slice/libpod-0123.scope\n"}, {}, "Podman"),
        ({"proc/1/cgroup": "0::/lxc/web/init.scope\n"}, {}, "LXC"),
        ({"proc/1/cgroup": "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope\n"}, {}, "Kubernetes"),
        ({"proc/self/mountinfo": "1 2 0:3 /kubelet/pods/x /etc/hosts rw - ext4 /dev/a rw\n"}, {}, "Kubernetes"),
        ({"proc/self/mountinfo": "1 2 0:3 /docker/containers/x/hosts /etc/hosts rw - ext4 /a rw\n"}, {}, "Docker"),
        ({"proc/1/environ": "HOME=/root\0container=lxc\0"}, {}, "lxc"),
        ({"proc/1/environ": "container=systemd-nspawn\0"}, {}, "systemd-nspawn"),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, "Kubernetes"),
    ],
)
def test_a_container_is_known_by_what_its_runtime_leaves(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], name: str
) -> None:
    found = read_platform(lay(tmp_path, files), environ).container
    assert found is not None
    assert found.name == name
    assert found.evidence


def test_a_plain_machine_is_neither_container_nor_cloud(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "proc/1/cgroup": "0::/init.scope\n",
            "proc/1/environ": "HOME=/\0",
            "proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
            "sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n",  # a Hyper-V of one's own
            "sys/class/dmi/id/product_name": "Virtual Machine\n",
        },
    )
    found = read_platform(tmp_path)
    assert (found.container, found.cloud) == (None, None)
    assert read_platform(tmp_path / "nothing") == Platform()


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("sys_vendor", "Amazon EC2", "Amazon Web Services"),
        ("product_name", "Google Compute Engine", "Google Cloud"),
        ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", "Microsoft Azure"),
        ("sys_vendor", "DigitalOcean", "DigitalOcean"),
        ("sys_vendor", "Hetzner", "Hetzner Cloud"),
        ("chassis_asset_tag", "OracleCloud.com", "Oracle Cloud"),
        ("sys_vendor", "Alibaba Cloud", "Alibaba Cloud"),
        ("sys_vendor", "Vultr", "Vultr"),
    ],
)
def test_a_cloud_is_known_by_its_firmware(tmp_path: Path, file: str, text: str, name: str) -> None:
    found = read_platform(lay(tmp_path, {f"sys/class/dmi/id/{file}": text + "\n"})).cloud
    assert found is not None
    assert (found.name, text in found.evidence) == (name, True)


def test_interfaces_are_told_apart(tmp_path: Path) -> None:
    lay_interface(tmp_path, "lo", 1, type="772", flags="0x49")
    lay_interface(tmp_path, "eth0", 2)
    lay_interface(tmp_path, "wlan0", 3, wireless__status="0")
    lay_interface(tmp_path, "wlan1", 4, uevent="DEVTYPE=wlan\nINTERFACE=wlan1\n")
    lay_interface(tmp_path, "bond0", 5, bonding__mode="balance-rr 0\n", lower_eth0="", lower_eth1="")
    lay_interface(tmp_path, "eth0.5", 6, uevent="DEVTYPE=vlan\n", iflink="2")
    lay_interface(tmp_path, "br0", 7, bridge__multicast_snooping="1")
    lay_interface(tmp_path, "veth1", 8, iflink="9")
    lay_interface(tmp_path, "tun0", 10, type="65534", flags="0x1091", tun_flags="0x1")
    lay_interface(tmp_path, "tap0", 13, tun_flags="0x5002")
    lay_interface(tmp_path, "wg0", 11, type="65534", flags="0x91", uevent="DEVTYPE=wireguard\n")
    lay_interface(tmp_path, "mac0", 12, uevent="DEVTYPE=macvlan\n", iflink="2")
    lay(tmp_path, {"sys/class/net/bonding_masters": "bond0\n"})
    found = {each.name: each for each in read_platform(tmp_path).interfaces}
    assert {name: each.medium for name, each in found.items()} == {
        "lo": Medium.LOOPBACK,
        "eth0": Medium.ETHERNET,
        "wlan0": Medium.WIRELESS,
        "wlan1": Medium.WIRELESS,
        "bond0": Medium.BOND,
        "eth0.5": Medium.VLAN,
        "br0": Medium.BRIDGE,
        "veth1": Medium.VETH,
        "tun0": Medium.TUNNEL,
        "tap0": Medium.ETHERNET,
        "wg0": Medium.TUNNEL,
        "mac0": Medium.OTHER,
    }
    assert (found["bond0"].bond_mode, found["bond0"].below) == ("balance-rr", ("eth0", "eth1"))
    assert (found["wg0"].multicast, found["tun0"].multicast) == (False, True)


def test_an_interface_of_another_network_is_not_taken_for_ours(tmp_path: Path) -> None:
    lay_interface(tmp_path, "eth0", 2)
    found = read_platform(tmp_path)
    assert found.interface("eth0", 2) is not None
    assert found.interface("eth0", 7) is None


def test_the_default_route_names_its_interface(tmp_path: Path) -> None:
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    rows = "eth1\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    rows += "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    assert read_platform(lay(tmp_path, {"proc/net/route": head + rows + "short\n"})).default_interfaces == ("eth0",)


def test_the_kernels_word_on_the_clock() -> None:
    steered = clock_of(0, 0x2001, 1_500_000_000, 20_000)
    assert (steered.synchronised, steered.offset, steered.largest_error) == (True, 1.5, 0.02)
    assert clock_of(0, 0x1, 1_500_000, 0).offset == 1.5
    assert not clock_of(0, 0x40, 0, 16_000_000).synchronised
    assert not clock_of(5, 0x1, 0, 0).synchronised
    assert read_clock().largest_error >= 0


def test_a_step_of_the_clock_is_what_the_other_clock_does_not_share() -> None:
    before = ClockReading(wall=1000.0, since_start=50.0)
    assert clock_step(before, ClockReading(1010.0, 60.0)) == 0
    assert clock_step(before, ClockReading(1070.0, 60.0)) == 60
    assert clock_step(before, ClockReading(900.0, 60.0)) == -110
    assert abs(clock_step(read_times(), read_times())) < 10


def test_owners_are_found_by_the_sockets_number(tmp_path: Path) -> None:
    lay_process(tmp_path, 30, "freeswitch", links={"fd/5": "socket:[77]", "fd/6": "pipe:[77]", "fd/7": "/dev/null"})
    lay_process(tmp_path, 9, "switchcast", links={"fd/3": "socket:[77]", "fd/4": "socket:[78]"})
    lay_process(tmp_path, 40, "gone")
    lay(tmp_path, {"proc/version": "Linux\n"})
    found = read_owners([77, 99], tmp_path)
    assert found.of(77) == (Owner(9, "switchcast"), Owner(30, "freeswitch"))
    assert found.of(99) == ()
    assert str(Owner(30, "freeswitch")) == "freeswitch (process 30)"


def test_a_process_that_may_not_be_looked_into_is_counted(tmp_path: Path) -> None:
    lay_process(tmp_path, 30, "freeswitch", fd="no folder, so it cannot be listed")
    found = read_owners([77], tmp_path)
    assert found.hidden == {30}
    assert found.of(77) is None
    assert Owners({77: (Owner(1, "x"),)}, hidden=frozenset({5})).of(77) == (Owner(1, "x"),)


def test_our_own_socket_is_found_to_be_ours() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        inode = os.fstat(ours.fileno()).st_ino
        owners = read_owners([inode]).of(inode)
    assert owners is not None
    assert [owner.pid for owner in owners] == [os.getpid()]


def test_processes_are_found_by_name_with_what_they_use(tmp_path: Path) -> None:
    for namespace in ("net", "mnt"):
        lay_process(tmp_path, 1, "init", links={f"ns/{namespace}": f"{namespace}:[1]"})
        lay(tmp_path, {"proc/self/comm": "test"})
        (tmp_path / "proc/self/ns").mkdir(exist_ok=True)
        (tmp_path / f"proc/self/ns/{namespace}").symlink_to(f"{namespace}:[1]")
    library = "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"
    folder = lay_process(
        tmp_path,
        70,
        "freeswitch",
        links={"exe": "/usr/bin/freeswitch", "cwd": "/var/lib", "ns/net": "net:[2]", "ns/mnt": "mnt:[1]"},
        cmdline="/usr/bin/freeswitch\0-conf\0/srv/fs\0-nc\0",
        environ="A=1\0OPENSSL_CONF=/etc/fs.cnf\0",
        maps=f"7f0-7f1 r-xp 0 8:1 12 {library}\n7f1-7f2 rw-p 0 0:0 0 [heap]\n7f2-7f3 r--p 0 8:1 12 {library}\n",
    )
    (found,) = find_processes("freeswitch", tmp_path)
    assert (found.pid, found.executable, found.folder, found.root) == (70, "/usr/bin/freeswitch", "/var/lib", tmp_path)
    assert found.mapped == (library,)
    assert found.same_network is False
    assert (found.argument("-conf"), found.argument("-nc"), found.argument("-base")) == ("/srv/fs", None, None)
    assert (found.variable("OPENSSL_CONF"), found.variable("B")) == ("/etc/fs.cnf", None)
    (folder / "ns/mnt").unlink()
    (folder / "ns/mnt").symlink_to("mnt:[9]")
    assert find_processes("freeswitch", tmp_path)[0].root == folder / "root"
    assert find_processes("asterisk", tmp_path) == ()
