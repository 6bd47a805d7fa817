"""A simulated mod_sofia: what it shows, what it does with ``multicast::event``, and what a restart leaves of it."""

from __future__ import annotations

import re

import pytest

from switchcast import Event
from switchcast.simulation import DOMAIN, Cluster, Switch

ACCOUNT = f"1000@{DOMAIN}"
REGISTER = {
    "Event-Name": "CUSTOM",
    "Event-Subclass": "sofia::register",
    "profile-name": "internal",
    "from-user": "1000",
    "from-host": DOMAIN,
    "contact": '"" <sip:1000@198.51.100.7:5062;fs_path=sip:192.0.2.9>',
    "call-id": "abc",
    "expires": "60",
    "network-ip": "198.51.100.7",
    "network-port": "5062",
    "user-agent": "phone/1",
    "username": "anna",
    "realm": "pbx.example",
}
ABROAD = "sofia/internal/sip:1000@198.51.100.7:5062;fs_path=sip:192.0.2.9"
NOBODY = "error/user_not_registered"


def tell(switch: Switch, **changed: str) -> Event:
    """Fire the ``multicast::event`` of a registration elsewhere; ``changed`` headers have ``_`` for ``-``."""
    headers = REGISTER | {name.replace("_", "-"): value for name, value in changed.items()}
    sent = [("Command", "sendevent CUSTOM"), *((f"Orig-{name}", value) for name, value in headers.items())]
    return switch.fire("CUSTOM", [*sent, ("Event-Subclass", "multicast::event")])


def quiet(users: int = 0) -> tuple[Cluster, Switch]:
    cluster = Cluster(nodes=1, cps=0, users=users, expires=3600)
    cluster.advance(15)
    return cluster, cluster.switches[0]


def test_a_registration_elsewhere_is_shown_by_the_profile_and_not_by_the_core() -> None:
    cluster, switch = quiet()
    tell(switch)
    assert switch.api(f"sofia_contact {ACCOUNT}") == switch.api("sofia_contact */1000") == ABROAD
    shown = switch.api(f"sofia status profile internal reg {ACCOUNT}")
    told = dict(re.findall(r"^(\S+): *\t(.*)$", shown, re.MULTILINE))
    assert (told["User"], told["Contact"], told["Call-ID"]) == (ACCOUNT, REGISTER["contact"], "abc")
    assert (told["Agent"], told["Auth-User"], told["Auth-Realm"]) == ("phone/1", "anna", "pbx.example")
    assert told["Status"].endswith("EXPSECS(60)")
    assert "<user>1000@" in switch.api("sofia xmlstatus profile internal reg 1000")
    assert switch.api("show registrations count") == "\n0 total.\n"
    assert switch.registrations == {}
    cluster.advance(cluster.now + 61)
    assert switch.api(f"sofia_contact {ACCOUNT}") == NOBODY


def test_one_account_has_one_row_whoever_told_of_it_last() -> None:
    _, switch = quiet(users=1)
    own = switch.api(f"sofia_contact {ACCOUNT}")
    assert own.startswith("sofia/internal/sip:1000@198.18.")
    tell(switch)
    assert switch.api(f"sofia_contact {ACCOUNT}") == ABROAD
    assert "1 total" in switch.api("show registrations count")
    switch.register(switch.registrations["1000"])
    assert switch.api(f"sofia_contact {ACCOUNT}") == own
    tell(switch, Event_Subclass="sofia::unregister")
    assert switch.api(f"sofia_contact {ACCOUNT}") == NOBODY
    assert "1 total" in switch.api("show registrations count")
    tell(switch)
    switch.unregister("1000")
    assert switch.api(f"sofia_contact {ACCOUNT}") == ABROAD


def test_a_telephone_that_does_not_answer_elsewhere_is_shown_as_such() -> None:
    _, switch = quiet()
    tell(switch)

    def ping() -> str:
        found = re.search(r"^Ping-Status: *\t(\S+)$", switch.api("sofia status profile internal reg"), re.MULTILINE)
        return found[1] if found else ""

    assert ping() == "Reachable"
    tell(switch, Event_Subclass="sofia::sip_user_state", Ping_Status="UNREACHABLE", call_id="another")
    assert ping() == "Reachable"
    tell(switch, Event_Subclass="sofia::sip_user_state", Ping_Status="UNREACHABLE")
    assert ping() == "Unreachable"
    tell(switch, Event_Subclass="sofia::sip_user_state", Ping_Status="REACHABLE")
    assert ping() == "Reachable"


@pytest.mark.parametrize(
    "changed",
    [{"profile_name": "external"}, {"Event_Subclass": "sofia::expire"}, {"Event_Subclass": "sofia::gateway_state"}],
)
def test_what_is_none_of_its_business_changes_nothing(changed: dict[str, str]) -> None:
    _, switch = quiet()
    tell(switch, **changed)
    assert switch.api(f"sofia_contact {ACCOUNT}") == NOBODY


def test_presence_and_lamps_elsewhere_are_learned_and_not_fired_again() -> None:
    cluster, switch = quiet()
    tell(switch, Event_Name="PRESENCE_IN", **{"from": ACCOUNT, "status": "Away", "rpid": "away"})
    tell(
        switch,
        Event_Name="MESSAGE_WAITING",
        MWI_Messages_Waiting="yes",
        MWI_Message_Account=f"sip:{ACCOUNT}",
        MWI_Voice_Message="3/1 (0/0)",
    )
    assert (switch.presence[ACCOUNT].status, switch.presence[ACCOUNT].rpid) == ("Away", "away")
    assert (switch.lamps[ACCOUNT].waiting, switch.lamps[ACCOUNT].counts) == (True, "3/1")
    assert [event.subclass for _, _, event in cluster.advance(cluster.now)] == ["multicast::event"] * 2
    assert switch.api(f"sofia_contact {ACCOUNT}") == NOBODY


def test_a_restart_brings_another_core_uuid_and_leaves_the_registrations() -> None:
    cluster = Cluster(nodes=1, cps=3, users=20, talk=60, expires=600)
    cluster.advance(30)
    switch = cluster.switches[0]
    before, users, contacts = switch.core_uuid, set(switch.registrations), switch.api("sofia_contact 1000")
    assert switch.channels
    legs = set(switch.channels)
    cluster.advance(30)
    switch.restart()
    assert (switch.core_uuid != before, switch.channels, switch.calls) == (True, {}, {})
    assert set(switch.registrations) == users
    assert switch.api("sofia_contact 1000") == contacts
    told = [event for _, _, event in cluster.advance(120)]
    assert {event["Core-UUID"] for event in told} == {switch.core_uuid}
    assert [event.sequence for event in told] == list(range(401, 401 + len(told)))
    assert not {event.unique_id for event in told} & legs
    assert any(event.name == "CHANNEL_CREATE" for event in told)
    assert switch.uptime_micros == 90_000_000
