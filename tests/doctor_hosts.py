"""Hosts whose faults the doctor is to name: one pair for many tests, set right again after each.

What a host counts (drops, failures) goes on counting: a test that wants a host without any takes a new one.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from doctors import Answer, doctors, ensure_forking
from namespaces import Host, two_hosts

__all__ = [
    "BOTH_WAYS",
    "GROUP",
    "PORT",
    "URL",
    "WAITS",
    "Orders",
    "another_link",
    "assert_sound",
    "drop_in",
    "examine",
    "found",
    "gone",
    "linked",
    "mend",
    "on",
    "restored",
]

GROUP: Final = "239.192.7.1"
PORT: Final = 4299
URL: Final = f"multicast://{GROUP}:{PORT}?interface=veth"
BOTH_WAYS: Final = "datagrams of every size get through to and from 1 other host"
SETTINGS: Final = (
    *(f"net.ipv4.conf.{name}.rp_filter" for name in ("all", "veth")),
    *(f"net.ipv4.conf.{name}.force_igmp_version" for name in ("all", "veth")),
    "net.ipv4.ip_forward",
    "net.ipv4.igmp_max_memberships",
    "net.ipv4.igmp_max_msf",
    "net.ipv4.ipfrag_high_thresh",
    "net.ipv4.ipfrag_low_thresh",
    "net.ipv4.ipfrag_time",
    "net.ipv6.conf.veth.disable_ipv6",
    "net.ipv6.conf.veth.keep_addr_on_down",
)
"""What tests and mends set, of the namespace's own."""


RESTORING: Final = """
nft flush ruleset
for link in $(ls /sys/class/net); do
    case $link in lo | veth) ;; *) ip link delete $link 2>&1 || true ;; esac
done
tc qdisc delete dev veth root 2>&1 || true
ip link set veth nomaster mtu 1500 up multicast on
ip route flush proto boot
ip address flush dev veth scope global
ip address add {ipv4}/24 dev veth
ip address add {ipv6}/64 dev veth nodad
"""


@contextmanager
def linked() -> Iterator[tuple[Host, Host]]:
    """Two hosts on one link that keep their addresses while it is down; doctors can be forked from now on."""
    ensure_forking()
    with two_hosts() as hosts:
        for host in hosts:
            host.run("sysctl", "-qw", "net.ipv6.conf.veth.keep_addr_on_down=1")
        yield hosts


@contextmanager
def restored(hosts: tuple[Host, Host]) -> Iterator[tuple[Host, Host]]:
    """The same hosts; in the end their links, addresses, routes, rules and settings are as they were."""
    before = {host: host.run("sysctl", *SETTINGS).splitlines() for host in hosts}
    try:
        yield hosts
    finally:
        for host in hosts:
            host.run("sh", "-ec", RESTORING.format(ipv4=host.ipv4, ipv6=host.ipv6))
            host.run("sysctl", "-qw", *(line.replace(" ", "") for line in before[host]))


def drop_in(host: Host, family: str, hook: str, match: str) -> None:
    """Have ``host`` drop what matches at this hook."""
    host.run("nft", f"add table {family} faults")
    host.run("nft", f"add chain {family} faults dropping {{ type filter hook {hook}; }}")
    host.run("nft", f"add rule {family} faults dropping {match} drop")


Orders = list[tuple[Host, list[str]]]
"""Hosts, and what their doctors are told."""
WAITS: Final = ("250ms", "1s", "2s", "4s", "8s")
"""How long is listened until all shows; more than the first only where the machine is busy."""


def on(hosts: Iterable[Host], url: str = URL, *options: str) -> Orders:
    """The same order for each."""
    return [(host, [url, *options]) for host in hosts]


def examine(orders: Orders, settled: Callable[[list[Answer]], bool], waits: Sequence[str] = WAITS) -> list[Answer]:
    """Let the doctors listen, longer each time, until the answers are ``settled``; the last in any case."""
    answers: list[Answer] = []
    for wait in waits:
        answers = doctors(*((host, [*arguments, "--wait", wait]) for host, arguments in orders))
        if settled(answers):
            break
    return answers


def found(orders: Orders, *wanted: tuple[Host, str], waits: Sequence[str] = WAITS) -> list[dict[str, Any]]:
    """The findings of these codes on these hosts, which must be there."""

    def missing(answers: list[Answer]) -> list[tuple[Host, str]]:
        by_host = {answer.host: answer for answer in answers}
        return [(host, code) for host, code in wanted if code not in by_host[host.name].findings]

    answers = examine(orders, lambda answers: not missing(answers), waits)
    assert missing(answers) == [], [answer.findings for answer in answers]
    by_host = {answer.host: answer for answer in answers}
    for host, _ in wanted:
        grave = bool(by_host[host.name].wrong)
        assert by_host[host.name].code == (1 if grave else 0)
    return [by_host[host.name].findings[code] for host, code in wanted]


def assert_sound(orders: Orders, *, said: str = "", waits: Sequence[str] = WAITS) -> None:
    """Nothing is wrong on any of the hosts, and what was looked for was found healthy."""

    def sound(answer: Answer) -> bool:
        return answer.code == 0 and not answer.wrong and said in answer.healthy

    answers = examine(orders, lambda answers: all(map(sound, answers)), waits)
    assert all(map(sound, answers)), [answer.said for answer in answers]


def gone(orders: Orders, host: Host, *codes: str, waits: Sequence[str] = WAITS) -> None:
    """The findings of these codes are not there any more, though the doctor looks as it did."""

    def without(answers: list[Answer]) -> bool:
        return not any(set(codes) & set(answer.findings) for answer in answers if answer.host == host.name)

    answers = examine(orders, without, waits)
    assert without(answers), [answer.findings for answer in answers]


def another_link(host: Host, name: str = "other", address: str = "192.0.2.1/24") -> None:
    """One more interface of ``host``, up, with an address; what its other end hears nobody reads."""
    host.run("ip", "link", "add", name, "type", "veth", "peer", f"{name}-end")
    for end in (name, f"{name}-end"):
        host.run("ip", "link", "set", end, "up")
    host.run("ip", "address", "add", address, "dev", name)


def mend(host: Host, finding: dict[str, Any], tool: str) -> None:
    """Run the finding's first mend by ``tool`` on ``host``, word for word; of firewall rules every one."""
    commands = [each["how"] for each in finding["mends"] if each["how"].startswith(tool)]
    assert commands, finding
    for command in commands if tool == "nft" else commands[:1]:
        host.run(*shlex.split(command))
