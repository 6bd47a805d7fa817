"""Made-up ``/proc``, ``/sys`` and ``/etc`` below a folder of the test's, and facts of a healthy host to begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from switchcast.endpoints.url import EndpointUrl
from switchcast.guard.doctor.facts import Facts, Heard, ProbeResult, Target
from switchcast.guard.doctor.switch_facts import (
    EventSocketFile,
    ModuleAnswers,
    ModuleFile,
    ModulesFile,
    SwitchFacts,
    SwitchProcess,
)
from switchcast.system.clock import Clock
from switchcast.system.firewall import Chain, Firewall, Rule, Test, Verdict
from switchcast.system.links import Address, Link
from switchcast.system.owners import Owner, Owners
from switchcast.system.platform import Interface, Medium, Platform
from switchcast.system.routes import Route
from switchcast.system.sockets import UdpSocket

GROUP, PORT = "239.192.1.1", 4242
URL = f"multicast://{GROUP}:{PORT}"
SWITCH_PID, NODE_PID = 100, 200
SWITCH_INODE, NODE_INODE = 9001, 9002


def lay(root: Path, files: Mapping[str, str]) -> Path:
    """Write each file below ``root``; its folders are made."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def lay_interface(root: Path, name: str, index: int, **said: str) -> None:
    """``/sys/class/net/NAME`` as of a network card; ``said`` are other files, ``uevent`` among them."""
    files = {"ifindex": str(index), "iflink": str(index), "type": "1", "flags": "0x1003"} | said
    lay(root / "sys/class/net" / name, {file.replace("__", "/"): text for file, text in files.items()})


def lay_process(root: Path, pid: int, name: str, *, links: Mapping[str, str] | None = None, **files: str) -> Path:
    """``/proc/PID`` of a process; ``links`` are the symbolic ones: ``fd/3``, ``exe``, ``ns/net``."""
    folder = root / "proc" / str(pid)
    lay(folder, {"comm": f"{name}\n", **files})
    for place, target in (links or {}).items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, path)
    return folder


def module_settings(**params: str) -> str:
    """The module's file: params one a line, from line 3 on."""
    lines = {"address": GROUP, "port": str(PORT), "bindings": "all"} | params
    text = "".join(f'<param name="{name}" value="{value}"/>\n' for name, value in lines.items())
    return f'<configuration name="event_multicast.conf">\n<settings>\n{text}</settings>\n</configuration>\n'


def event_socket_settings(**params: str) -> str:
    """The event socket's file; ``_`` in a name stands for ``-``."""
    text = "".join(f'<param name="{name.replace("_", "-")}" value="{value}"/>\n' for name, value in params.items())
    return f'<configuration name="event_socket.conf">\n<settings>\n{text}</settings>\n</configuration>\n'


def modules_list(*modules: str) -> str:
    """The list of modules."""
    text = "".join(f'<load module="{module}"/>\n' for module in modules)
    return f'<configuration name="modules.conf">\n<modules>\n{text}</modules>\n</configuration>\n'


def link(name: str = "eth0", index: int = 2, **said: Any) -> Link:
    """A network card that is up."""
    return Link(index, name, 1500, **({"addresses": (Address("192.0.2.1", 24),)} | said))


def platform(medium: Medium = Medium.ETHERNET, **said: Any) -> Platform:
    """A host with eth0, of that kind, by which its default route goes."""
    of_interface = {name: said.pop(name) for name in ("bond_mode", "below", "multicast") if name in said}
    interface = Interface("eth0", 2, medium, **of_interface)
    return Platform(**({"interfaces": (interface,), "default_interfaces": ("eth0",)} | said))


def probe(*others: str) -> ProbeResult:
    """The probe heard these hosts, and itself."""
    rows = [Heard("fs1", name, GROUP, 300, 1, 1) for name in ("fs1", *others)]
    return ProbeResult("fs1", tuple(rows), 5.0)


def socket(inode: int, address: str = "0.0.0.0", port: int = PORT) -> UdpSocket:  # noqa: S104 - as /proc has it
    """A UDP socket of this host."""
    return UdpSocket(address, port, inode)


def module_file(**said: Any) -> ModuleFile:
    """The module's file, as it should be for ``URL``."""
    given: dict[str, Any] = {
        "path": "/etc/freeswitch/autoload_configs/event_multicast.conf.xml",
        "address": (GROUP,),
        "port": PORT,
        "bindings": "all",
        "loopback": True,
        "key_agrees": True,
        "lines": {"address": 3, "port": 4},
    }
    return ModuleFile(**(given | said))


def switch(**said: Any) -> SwitchFacts:
    """A FreeSWITCH with the module, its event socket shut to others."""
    given: dict[str, Any] = {
        "processes": (SwitchProcess(SWITCH_PID, same_network=True, openssl="3", legacy=True),),
        "folder": "/etc/freeswitch",
        "module": module_file(),
        "event_socket": EventSocketFile("/etc/freeswitch/autoload_configs/event_socket.conf.xml"),
        "modules": ModulesFile("/etc/freeswitch/autoload_configs/modules.conf.xml", loads_module=True),
        "answers": ModuleAnswers("esl://127.0.0.1:8021", True, True, (f"{GROUP}:{PORT} (IPv4 multicast)",)),
    }
    return SwitchFacts(**(given | said))


def healthy(url: str = URL, **said: Any) -> Facts:
    """A host where nothing is wrong: a card, a clock, FreeSWITCH and a node on the port, short datagrams dropped."""
    given: dict[str, Any] = {
        "target": Target.of(EndpointUrl.parse(url)),
        "links": (link(),),
        "routes": {GROUP: Route(GROUP, "eth0")},
        "sockets": (socket(SWITCH_INODE), socket(NODE_INODE)),
        "owners": Owners(
            {SWITCH_INODE: (Owner(SWITCH_PID, "freeswitch"),), NODE_INODE: (Owner(NODE_PID, "switchcast"),)}
        ),
        "firewall": Firewall((shielding(),)),
        "probe": probe("fs2"),
        "platform": platform(),
        "clock": Clock(True, 0.0001, 0.05),
        "switch": switch(),
    }
    return Facts(**(given | said))


def shielding(*tests: Test, verdict: Verdict = "drop") -> Chain:
    """A chain with a rule of these tests; by itself, what keeps empty datagrams from the module."""
    tests = tests or (
        Test("protocol", ("udp",)),
        Test("destination-port", (str(PORT),)),
        Test("udp-length", ("0-264",)),
    )
    return Chain("nft", "inet", "switchcast", "input", (Rule(tests, verdict, "as listed"),), hook="input")


def without_switch(facts: Facts) -> Facts:
    """The same host without a FreeSWITCH to be seen."""
    return replace(facts, switch=SwitchFacts(looked_in=("/etc/freeswitch",)))
