"""Checks of FreeSWITCH's own side: each fires on made facts, and none on a switch that is set up well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doctor_trees import (
    GROUP,
    NODE_INODE,
    PORT,
    SWITCH_PID,
    URL,
    healthy,
    module_file,
    shielding,
    socket,
    switch,
    without_switch,
)

from switchcast.guard.doctor import switch as switch_checks
from switchcast.guard.doctor.facts import Facts, Target
from switchcast.guard.doctor.switch_facts import (
    EventSocketFile,
    ModuleAnswers,
    ModulesFile,
    SwitchFacts,
    SwitchProcess,
    UnreadPart,
)
from switchcast.guard.finding import Finding, Severity
from switchcast.system.firewall import Chain, Firewall, Test
from switchcast.system.owners import Owner, Owners

SHORT = Test("udp-length", ("0-264",))
ESL = "esl://127.0.0.1:8021"


def found(facts: Facts) -> list[Finding]:
    return list(switch_checks.check(facts))


def of_module(**said: Any) -> Facts:
    """A healthy host but for these params of the module."""
    return healthy(switch=switch(module=module_file(**said), answers=None))


def of_socket(**said: Any) -> Facts:
    """A healthy host but for these settings of the event socket."""
    return healthy(switch=switch(event_socket=EventSocketFile("event_socket.conf.xml", **said)))


def of_process(**said: Any) -> Facts:
    """A healthy host whose FreeSWITCH has a key, and is so."""
    process = SwitchProcess(SWITCH_PID, **({"same_network": True} | said))
    return healthy(switch=switch(processes=(process,), module=module_file(keyed=True)))


def of_answers(*answers: Any) -> Facts:
    """A healthy host whose switch answers so."""
    return healthy(switch=switch(answers=ModuleAnswers(ESL, *answers)))


def test_a_healthy_switch_has_no_finding() -> None:
    assert found(healthy()) == []
    assert list(switch_checks.unchecked(healthy())) == []


def test_a_host_without_freeswitch_has_none_either_and_is_told_so() -> None:
    facts = without_switch(healthy())
    assert found(facts) == []
    (told,) = switch_checks.unchecked(facts)
    assert "/etc/freeswitch" in told.why
    assert found(replace(facts, switch=None)) == []


@pytest.mark.parametrize(
    ("facts", "code", "severity"),
    [
        (of_module(source_address="192.0.2.1"), "switch-source-address", Severity.CRITICAL),
        (
            of_module(address=(GROUP, "ff15::1"), source_address_ipv6="2001:db8::1"),
            "switch-source-address",
            Severity.CRITICAL,
        ),
        (of_module(address=("225.1.1.1",)), "switch-group-differs", Severity.CRITICAL),
        (of_module(port=4243), "switch-port-differs", Severity.CRITICAL),
        (of_module(key_agrees=False, endpoint_keyed=True), "switch-key-differs", Severity.CRITICAL),
        (of_module(key_agrees=False, endpoint_keyed=True, keyed=True), "switch-key-differs", Severity.CRITICAL),
        (of_module(key_agrees=False, keyed=True), "switch-key-differs", Severity.NOTICE),
        (of_module(bindings=" "), "switch-sends-nothing", Severity.WARNING),
        (of_module(ttl=0), "switch-ttl-zero", Severity.CRITICAL),
        (of_module(ttl=5), "switch-ttl-differs", Severity.NOTICE),
        (of_module(loopback=False), "switch-loopback-off", Severity.WARNING),
        (of_process(openssl="3", legacy=False, legacy_from="why"), "switch-psk-openssl", Severity.CRITICAL),
        (of_socket(default_password=True), "switch-default-password", Severity.WARNING),
        (of_socket(listen_ip="::"), "switch-event-socket-open", Severity.WARNING),
        (of_socket(listen_ip="0.0.0.0", acls=("any_v4.auto",)), "switch-event-socket-open", Severity.WARNING),  # noqa: S104
        (of_answers(False), "switch-module-not-loaded", Severity.NOTICE),
        (of_answers(True, False), "switch-module-ended", Severity.CRITICAL),
        (of_answers(True, True, ("225.1.1.1 (IPv4 multicast)",)), "switch-not-reloaded", Severity.WARNING),
        (healthy(firewall=None), "switch-zero-length", Severity.WARNING),
    ],
)
def test_each_fault_is_named(facts: Facts, code: str, severity: Severity) -> None:
    said = found(facts)
    assert [(finding.code, finding.severity) for finding in said if finding.code == code] == [(code, severity)]
    others = {finding.code for finding in said} - {code}
    assert others <= ({"switch-zero-length"} if code == "switch-port-differs" else set())  # the rule is for our port
    for finding in said:
        assert finding.evidence
        assert all(mend.how and mend.effect for mend in finding.mends)


@pytest.mark.parametrize(
    "facts",
    [
        of_module(source_address_ipv6="2001:db8::1"),  # no group of IPv6
        of_module(address=(GROUP, "192.0.2.9")),
        of_module(key_agrees=None),
        replace(
            of_module(loopback=False), sockets=(socket(1),), owners=Owners({1: (Owner(SWITCH_PID, "freeswitch"),)})
        ),
        of_process(openssl="3", legacy=True),
        of_process(openssl="1.1"),
        of_process(openssl=""),
        of_socket(listen_ip="::", acls=("loopback.auto",)),
        of_socket(listen_ip="0.0.0.0", acls=("callcentre",)),  # noqa: S104
        of_socket(listen_ip="192.0.2.1"),
        of_answers(None, None),
        replace(healthy(URL + "?mode=sealed"), switch=switch(module=module_file(address=("225.1.1.1",)), answers=None)),
    ],
)
def test_what_is_right_is_left_alone(facts: Facts) -> None:
    assert found(facts) == []


def test_a_module_that_is_not_loaded_is_not_judged_by_its_file() -> None:
    idle = switch(
        module=module_file(address=("225.1.1.1",), source_address="192.0.2.1"),
        modules=ModulesFile("modules.conf.xml", loads_module=False),
        answers=None,
    )
    facts = healthy(switch=idle, sockets=(socket(NODE_INODE),))
    assert [finding.code for finding in found(facts)] == ["switch-module-not-loaded"]


def test_the_way_out_is_named_by_the_address_it_had() -> None:
    """Only where that is known, and not the loopback's."""
    (finding,) = found(of_module(source_address="192.0.2.1"))
    assert [mend.how for mend in finding.mends][1:] == [f"ip route add {GROUP} dev eth0 src 192.0.2.1"]
    (finding,) = found(of_module(source_address="192.0.2.250"))
    assert len(finding.mends) == 1


def test_a_group_that_nodes_have_to_themselves_is_worth_a_notice() -> None:
    apart = switch(module=module_file(address=("225.1.1.1",), port=4243), answers=None)
    said = found(healthy(URL + "?mode=traced", switch=apart))
    assert {finding.code: finding.severity for finding in said if finding.code != "switch-zero-length"} == {
        "switch-group-differs": Severity.NOTICE,
        "switch-port-differs": Severity.NOTICE,
    }


def test_a_group_that_is_one_of_several_is_less_bad() -> None:
    facts = replace(of_module(), target=healthy("multicast://239.192.1.1,239.192.1.2:4242").target)
    (finding,) = found(facts)
    assert (finding.code, finding.severity) == ("switch-group-differs", Severity.WARNING)
    assert '"239.192.1.1,239.192.1.2"' in finding.mends[0].how


def test_a_module_without_its_socket_has_ended() -> None:
    facts = healthy(sockets=(socket(NODE_INODE),))
    (finding,) = found(facts)
    assert (finding.code, finding.severity) == ("switch-module-ended", Severity.CRITICAL)
    assert f"no socket on port {PORT}" in finding.evidence[0]
    (finding,) = found(replace(facts, firewall=None))  # what would have kept it from that is one of its mends
    assert "udp length" in finding.mends[1].how
    assert facts.owners is not None
    hidden = {
        pid: found(replace(facts, owners=replace(facts.owners, hidden=frozenset({pid})))) for pid in (1, SWITCH_PID)
    }
    assert len(hidden[1]) == 1  # another's files have no part in it
    assert hidden[SWITCH_PID] == []  # it may have one that cannot be seen


def test_a_switch_in_another_network_is_told() -> None:
    apart = SwitchProcess(SWITCH_PID, same_network=False)
    facts = healthy(switch=switch(processes=(apart,)))
    (finding,) = found(facts)
    assert finding.code == "switch-elsewhere"
    assert f"nsenter --target {SWITCH_PID} --net switchcast doctor '{URL}'" in finding.mends[0].how
    both = switch(processes=(apart, SwitchProcess(SWITCH_PID, same_network=True)))
    assert found(healthy(switch=both)) == []


def test_the_rule_against_empty_datagrams_is_for_the_port() -> None:
    (finding,) = found(healthy(firewall=Firewall()))
    assert f"udp dport {PORT} udp length <= 264 drop" in finding.mends[0].how
    assert len(finding.evidence) == 3  # it was asked, it is listed, and it has the port
    bare = switch(modules=None, answers=None)
    (finding,) = found(healthy(firewall=Firewall(), switch=bare))
    assert finding.evidence == (f"FreeSWITCH has a socket on port {PORT}",)
    (finding,) = found(healthy(firewall=None, switch=bare))
    assert "could not be seen" in finding.evidence[1]
    assert found(healthy(firewall=None, switch=bare, owners=None)) == []


@pytest.mark.parametrize(
    ("rule", "shields"),
    [
        (shielding(), True),
        (shielding(verdict="reject"), True),
        (shielding(verdict="accept"), False),
        (shielding(SHORT), True),  # for every port
        (shielding(SHORT, Test("destination-port", ("4000-5000", "5060"))), True),
        (shielding(SHORT, Test("destination-port", ("5060",))), False),
        (shielding(SHORT, Test("destination-port", ("5060",), negated=True)), True),
        (shielding(SHORT, Test("source", ("192.0.2.9",))), False),
        (shielding(SHORT, Test("unknown", ("meta mark 1",))), False),
        (shielding(Test("udp-length", ("1000-2000",))), False),
        (shielding(Test("udp-length", ("9-65535",), negated=True)), True),
        (shielding(Test("udp-length", ("short",))), False),
        (shielding(Test("destination-port", (str(PORT),))), False),  # that drops everything, which others tell
    ],
)
def test_only_a_rule_that_drops_every_empty_datagram_is_a_shield(rule: Chain, shields: bool) -> None:
    assert [finding.code for finding in found(healthy(firewall=Firewall((rule,))))] == (
        [] if shields else ["switch-zero-length"]
    )


@pytest.mark.parametrize(
    ("destinations", "port"),
    [
        (("225.1.1.1:4300 (IPv4 multicast)",), 4300),
        (("[ff15::1]:4301 (IPv6 multicast)",), 4301),
        (("ff15::1 (IPv6 multicast)",), 4242),
        ((), 4242),
    ],
)
def test_the_port_of_a_switch_that_was_only_asked(destinations: tuple[str, ...], port: int) -> None:
    """Examined by its event socket alone: the rule is for the module's port, not for that of the socket."""
    asked = SwitchFacts(answers=ModuleAnswers(ESL, True, True, destinations))
    (finding,) = found(Facts(target=Target(url=ESL, port=8021), switch=asked))
    assert finding.code == "switch-zero-length"
    assert f"udp dport {port} " in finding.mends[0].how


def test_a_known_password_on_an_open_socket_is_the_worst() -> None:
    said = found(of_socket(default_password=True, listen_ip="::", acls=("any_v4.auto",), lines={"password": 6}))
    assert [(finding.code, finding.severity) for finding in said] == [
        ("switch-default-password", Severity.CRITICAL),
        ("switch-event-socket-open", Severity.WARNING),
    ]
    assert said[0].evidence == ("event_socket.conf.xml:6: the password is the one that FreeSWITCH is shipped with",)
    (finding,) = found(healthy(switch=switch(answers=ModuleAnswers(ESL, True, True, default_password=True))))
    assert finding.evidence == (f"{ESL} let us in with it",)


def test_what_could_not_be_seen_of_a_switch_is_told() -> None:
    broken = switch(unread=(UnreadPart("the settings of FreeSWITCH's module", "x.xml:3: not XML", "mend it"),))
    (told,) = switch_checks.unchecked(healthy(switch=broken))
    assert told.why == "x.xml:3: not XML"
    silent = SwitchFacts(unread=(UnreadPart("what FreeSWITCH says of its module", "no answer", "look at the URL"),))
    (told,) = switch_checks.unchecked(healthy(switch=silent))  # the only place where was looked
    assert (told.why, told.how) == ("no answer", "look at the URL")
    (told,) = switch_checks.unchecked(of_process(openssl=None))
    assert "psk" in told.what
    (told,) = switch_checks.unchecked(of_process(openssl="3"))
    assert f"process {SWITCH_PID}" in told.why
    (told,) = switch_checks.unchecked(healthy(switch=switch(processes=(), module=module_file(keyed=True))))
    assert "no FreeSWITCH runs here" in told.why
