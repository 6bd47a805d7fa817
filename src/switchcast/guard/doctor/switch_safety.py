"""What ends or opens up a FreeSWITCH: an empty datagram, a key on OpenSSL 3, an event socket that anyone enters."""

from __future__ import annotations

from collections.abc import Iterator

from switchcast.guard.doctor.facts import Facts, Unchecked
from switchcast.guard.doctor.switch_facts import EventSocketFile, SwitchFacts, SwitchProcess
from switchcast.guard.finding import Finding, Mend, Severity
from switchcast.system.firewall import Firewall, Test

__all__ = ["LEGACY", "check", "shield", "unchecked"]

_EVERYWHERE = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - what is looked for
_LOOPBACK_ACLS = frozenset({"loopback.auto"})
_SHORTEST_READ = 257
"""Bytes of the shortest datagram that the module reads."""
_UDP_HEADER = 8
"""Bytes; what a rule compares as the length of a datagram counts them in."""


_RELOAD = 'fs_cli -x "reload mod_event_socket"'
LEGACY = """\
openssl_conf = openssl_init
[openssl_init]
providers = provider_sect
[provider_sect]
default = default_sect
legacy = legacy_sect
[default_sect]
activate = 1
[legacy_sect]
activate = 1"""
"""What has OpenSSL 3 load its old ciphers: lines of ``openssl.cnf`` (config(5))."""


def shield(port: int) -> Mend:
    """What keeps empty datagrams from a stock module."""
    rule = f"udp dport {port} udp length <= {_SHORTEST_READ - 1 + _UDP_HEADER} drop"
    return Mend(
        "nft 'add table inet switchcast'\n"
        "nft 'add chain inet switchcast input { type filter hook input priority 0; }'\n"
        f"nft 'add rule inet switchcast input {rule}'",
        f"Drops datagrams of fewer than {_SHORTEST_READ} bytes, which stock ignores or dies of; events are longer. "
        "Beacons of a traced endpoint on that port, which tell of a lost tail, can be as short and would go too.",
    )


def check(facts: Facts, switch: SwitchFacts, *, ended: bool) -> Iterator[Finding]:
    """What is wrong, the worst first. ``ended``: the module has stopped, and its shield is told of already."""
    yield from _psk(switch)
    if not ended:
        yield from _zero_length(facts, switch)
    yield from _password(switch)
    yield from _open(switch)


def unchecked(switch: SwitchFacts) -> Iterator[Unchecked]:
    """Whether a key ends this FreeSWITCH could not be told."""
    if switch.module is None or not switch.module.keyed:
        return
    unknown = [process for process in switch.processes if _dies_of_key(process) is None]
    if unknown or not switch.processes:
        why = (
            f"the libraries of process {unknown[0].pid} (freeswitch) cannot be seen"
            if unknown
            else "no FreeSWITCH runs here, so which OpenSSL it uses is not known"
        )
        yield Unchecked("whether the psk ends FreeSWITCH (OpenSSL 3)", why, "run it as root while FreeSWITCH runs.")


def _dies_of_key(process: SwitchProcess) -> bool | None:
    if process.openssl is None:
        return None
    if process.openssl != "3":
        return False
    return None if process.legacy is None else not process.legacy


def _psk(switch: SwitchFacts) -> Iterator[Finding]:
    module = switch.module
    dying = [process for process in switch.processes if _dies_of_key(process)]
    if module is None or not module.keyed or not dying:
        return
    yield Finding(
        code="switch-psk-openssl",
        severity=Severity.CRITICAL,
        title="FreeSWITCH crashes at the first event that it sends: psk needs a cipher that OpenSSL 3 does not load.",
        evidence=(
            f"{module.at('psk')}: psk is set",
            f"process {dying[0].pid} (freeswitch) uses OpenSSL 3 without its legacy provider ({dying[0].legacy_from})",
        ),
        cause="The module enciphers with Blowfish, which OpenSSL 3 has in its legacy provider alone, and it does not "
        "look whether it got the cipher.",
        mends=(
            Mend(
                LEGACY,
                "In openssl.cnf, in place of the sections of these names; then restart FreeSWITCH. Loads the old "
                "ciphers for every program that reads the file; OPENSSL_CONF in FreeSWITCH's unit names one for it "
                "alone.",
            ),
            Mend(
                "no psk in event_multicast.conf.xml, and a sealed endpoint of switchcast in place of the module",
                "Authenticated encryption, which psk is not.",
            ),
        ),
    )


def _zero_length(facts: Facts, switch: SwitchFacts) -> Iterator[Finding]:
    known = list(switch.module_known)
    port = switch.module_port
    pids = {process.pid for process in switch.processes}
    for socket in facts.sockets or ():
        owners = (facts.owners.of(socket.inode) or ()) if facts.owners is not None else ()
        if socket.port == port and any(owner.pid in pids for owner in owners):
            known.append(f"FreeSWITCH has a socket on port {port}")
            break
    if not known or _shielded(facts.firewall, port):
        return
    if facts.firewall is None or facts.firewall.unread:
        known.append("whether a firewall rule keeps such datagrams out could not be seen from here")
    yield Finding(
        code="switch-zero-length",
        severity=Severity.WARNING,
        title="One empty datagram to its port ends FreeSWITCH's module, and anyone who reaches the port can send it.",
        evidence=tuple(known),
        cause="The stock module takes a datagram of no bytes for the end of its socket: it stops hearing and sending "
        "and says so nowhere but in multicast_peers.",
        mends=(shield(port),),
    )


def _shielded(firewall: Firewall | None, port: int) -> bool:
    """Whether a rule drops every empty datagram to the port, whoever sends it."""
    rules = [rule for chain in (() if firewall is None else firewall.chains) for rule in chain.rules]
    return any(
        rule.verdict in {"drop", "reject"}
        and any(test.subject == "udp-length" for test in rule.tests)
        and all(_holds_for_empty(test, port) for test in rule.tests)
        for rule in rules
    )


def _holds_for_empty(test: Test, port: int) -> bool:
    """Whether the comparison holds for each datagram of no bytes to the port; ``False`` where that is not sure."""
    if test.subject in {"protocol", "family"}:
        return not test.negated
    wanted = {"destination-port": port, "udp-length": _UDP_HEADER}.get(test.subject)
    return wanted is not None and test.negated is not any(_within(wanted, value) for value in test.values)


def _within(number: int, value: str) -> bool:
    """Whether ``number`` is the value, or in it where it is a range: ``0-264``."""
    low, dash, high = value.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        return False
    return int(low) <= number <= int(high or low)


def _password(switch: SwitchFacts) -> Iterator[Finding]:
    evidence = []
    socket = switch.event_socket
    if socket is not None and socket.default_password:
        evidence.append(f"{socket.at('password')}: the password is the one that FreeSWITCH is shipped with")
    if switch.answers is not None and switch.answers.default_password:
        evidence.append(f"{switch.answers.url} let us in with it")
    if not evidence:
        return
    exposed = socket is not None and _reach(socket) == "anyone"
    yield Finding(
        code="switch-default-password",
        severity=Severity.CRITICAL if exposed else Severity.WARNING,
        title="The event socket of FreeSWITCH has the password that everyone knows.",
        evidence=tuple(evidence),
        cause="Who is let in there can run any command, hear every call and make calls at your cost.",
        mends=(
            Mend(
                f'<param name="password" value="..."/>\n{_RELOAD}',
                "The line in event_socket.conf.xml, with what openssl rand -hex 24 prints: nobody guesses it. Give "
                "nodes the same by password_file=, and fs_cli by /etc/fs_cli.conf.",
            ),
        ),
    )


def _reach(socket: EventSocketFile) -> str:
    """Whom the event socket lets in: ``host``, those ``listed``, ``unlisted`` (depends on the version), ``anyone``."""
    if socket.listen_ip not in _EVERYWHERE:
        return "host" if socket.listen_ip.startswith("127.") or socket.listen_ip == "::1" else "listed"
    if not socket.acls:
        return "unlisted"
    if set(socket.acls) <= _LOOPBACK_ACLS:
        return "host"
    return "anyone" if any(acl in {"any_v4.auto", "any_v6.auto", "wan.auto"} for acl in socket.acls) else "listed"


def _open(switch: SwitchFacts) -> Iterator[Finding]:
    socket = switch.event_socket
    if socket is None or _reach(socket) not in {"unlisted", "anyone"}:
        return
    unlisted = _reach(socket) == "unlisted"
    acl = "no apply-inbound-acl" if unlisted else f"apply-inbound-acl is {', '.join(socket.acls)}"
    yield Finding(
        code="switch-event-socket-open",
        severity=Severity.WARNING,
        title="The event socket of FreeSWITCH listens on every address.",
        evidence=(f"{socket.at('listen-ip')}: listen-ip is {socket.listen_ip}, port {socket.port}, {acl}",),
        cause="Without a list, FreeSWITCH 1.10 turns away all but this host after it has taken the connection, and "
        "older versions ask for nothing but the password."
        if unlisted
        else "Every host that reaches the port may try passwords, which go over the network as plain text.",
        mends=(
            Mend(
                f'<param name="listen-ip" value="127.0.0.1"/>\n{_RELOAD}',
                "The line in event_socket.conf.xml. Only this host can connect, a switchcast node on it among them.",
            ),
            Mend(
                f'<param name="apply-inbound-acl" value="loopback.auto"/>\n{_RELOAD}',
                "The same, or with a list of your own in acl.conf.xml: only its addresses are let in.",
            ),
        ),
    )
