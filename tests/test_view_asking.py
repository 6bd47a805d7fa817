"""What a switch is asked, and what is read in its answers: the simulator's, recorded forms, and any text at all."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast.errors import AnswerError, SwitchcastError
from switchcast.simulation import Cluster
from switchcast.simulation.commands import call_rows, channel_rows
from switchcast.views import answers
from switchcast.views.asking import MOST_ACCOUNTS, MOST_PROFILES, Asking, mailbox_questions, questions
from switchcast.views.telling import Snapshot

REGISTERED = """<?xml version="1.0" encoding="ISO-8859-1"?>
<profile>
  <registrations>
    <registration>
        <call-id>G6sckKCTIN</call-id>
        <user>1000@pbx.example</user>
        <contact>&quot;&quot; &lt;sip:1000@198.18.0.1;fs_nat=yes;fs_path=sip%3A1000%40198.18.0.1&gt;</contact>
        <agent>Fonephone/5.0 (a &amp; b) &amp;lt;x&amp;gt;</agent>
        <status>Registered(UDP-NAT)(unknown) exp(2026-05-13 18:29:38) expsecs(3598)</status>
        <ping-status>Reachable</ping-status>
        <ping-time>0.00</ping-time>
        <host>fs1.example</host>
        <network-ip>198.18.0.1</network-ip>
        <network-port>5060</network-port>
        <sip-auth-user>1000</sip-auth-user>
        <sip-auth-realm>pbx.example</sip-auth-realm>
        <mwi-account>1000@pbx.example</mwi-account>
    </registration>
  </registrations>
</profile>
"""
"""As mod_sofia writes it."""
OVERVIEW = """<?xml version="1.0" encoding="ISO-8859-1"?>
<profiles>
<profile>
<name>external</name>
<type>profile</type>
<data>sip:mod_sofia@192.0.2.1:5080</data>
<state>RUNNING (0)</state>
</profile>
<gateway>
<name>carrier</name>
<type>gateway</type>
<data>sip:user@carrier.example</data>
<state>REGED</state>
</gateway>
<profile>
<name>internal</name>
<type>profile</type>
<data>sip:mod_sofia@192.0.2.1:5060</data>
<state>RUNNING (2)</state>
</profile>
<profile>
<name>internal</name>
<type>profile</type>
<data>sip:mod_sofia@192.0.2.1:5061;transport=tls</data>
<state>RUNNING (2) (TLS)</state>
</profile>
<alias>
<name>192.0.2.1</name>
<type>alias</type>
<data>internal</data>
<state>ALIASED</state>
</alias>
</profiles>
"""


def with_values(**values: str) -> str:
    """``REGISTERED`` with other values, as they stand between their tags."""
    text = REGISTERED
    for name, value in values.items():
        tag = name.replace("_", "-")
        before, _, rest = text.partition(f"<{tag}>")
        text = f"{before}<{tag}>{value}</{tag}>{rest.partition(f'</{tag}>')[2]}"
    return text


def ask(
    answer: Callable[[str], str], accounts: tuple[str, ...] = (), node: str = ""
) -> tuple[Snapshot, Asking, list[str]]:
    """A whole conversation: the snapshot, and what was asked."""
    asking, asked = Asking(node, 5.0, 1005.0, accounts), []
    while (command := asking.next()) is not None:
        assert asking.next() == command, "the same until it is answered"
        asked.append(command)
        asking.take(answer(command))
    return asking.snapshot(), asking, asked


# The simulated switch


def test_a_snapshot_of_a_simulated_switch_is_what_it_is() -> None:
    cluster = Cluster(nodes=2, cps=4, users=40, seed=5)
    cluster.advance(90)
    switch = cluster.switches[0]
    accounts = tuple(f"{number}@sim.example" for number in range(1000, 1040))
    snapshot, asking, asked = ask(switch.api, accounts)
    assert asking.faults == []
    assert asked == questions(("internal",), accounts)
    assert (snapshot.node, snapshot.core, snapshot.begun, snapshot.wall) == ("fs1", switch.core_uuid, 5.0, 1005.0)
    assert snapshot.channels == tuple(channel_rows(switch))
    assert snapshot.calls == tuple(call_rows(switch))
    assert len(snapshot.channels) == len(switch.channels) > 0
    assert snapshot.registrations is not None
    assert {row["call-id"]: row["user"] for row in snapshot.registrations} == {
        row.call_id: f"{row.user}@sim.example" for row in switch.registrations.values()
    }
    for row, held in zip(snapshot.registrations, switch.registrar.rows(switch.epoch_seconds), strict=True):
        assert (row["contact"], row["agent"], row["profile"]) == (held.contact, held.agent, "internal")
        assert (row["network-ip"], row["network-port"]) == (held.network_ip, held.network_port)
    assert snapshot.mailboxes == {
        account: (box.new, box.saved) if (box := switch.mailboxes.get(account[:4])) else (0, 0) for account in accounts
    }
    assert any(new for new, _ in snapshot.mailboxes.values())


def test_the_status_is_told_as_a_heartbeat_tells_it() -> None:
    cluster = Cluster(nodes=1, cps=4, users=40, seed=5)
    heartbeat = [event for _, _, event in cluster.advance(90) if event.name == "HEARTBEAT"][-1]
    snapshot, _, _ = ask(cluster.switches[0].api)
    assert set(snapshot.status) <= set(heartbeat)
    same = {"FreeSWITCH-Version", "Max-Sessions", "Session-Per-Sec"}
    assert {name: snapshot.status[name] for name in same} == {name: heartbeat[name] for name in same}
    assert int(snapshot.status["Uptime-msec"]) == cluster.switches[0].uptime_micros // 1000
    assert int(snapshot.status["Session-Count"]) == len(cluster.switches[0].channels)
    assert snapshot.status["Idle-CPU"] == "99.60"


def test_a_switch_whose_name_is_known_is_not_asked_for_it() -> None:
    cluster = Cluster(nodes=1, cps=0)
    snapshot, _, asked = ask(cluster.switches[0].api, node="other")
    assert (snapshot.node, asked[0]) == ("other", "global_getvar core_uuid")


# What mod_sofia writes


def test_registrations_are_read_with_their_columns() -> None:
    assert answers.registrations("internal", REGISTERED) == (
        {
            "profile": "internal",
            "call-id": "G6sckKCTIN",
            "user": "1000@pbx.example",
            "contact": '"" <sip:1000@198.18.0.1;fs_nat=yes;fs_path=sip%3A1000%40198.18.0.1>',
            "agent": "Fonephone/5.0 (a & b) &lt;x&gt;",
            "status": "Registered(UDP-NAT)(unknown) exp(2026-05-13 18:29:38) expsecs(3598)",
            "ping-status": "Reachable",
            "network-ip": "198.18.0.1",
            "network-port": "5060",
        },
    )


@pytest.mark.parametrize(
    ("values", "column", "told"),
    [
        ({"call_id": "a<b>c</call-id><user>root@x</user>"}, "call-id", "a<b>c</call-id><user>root@x</user>"),
        ({"call_id": "</registration>"}, "call-id", "</registration>"),
        ({"call_id": "&bomb;&#x41;"}, "call-id", "&bomb;&#x41;"),
        ({"user": "<x>@pbx.example"}, "user", "<x>@pbx.example"),
        ({"agent": "two\nlines"}, "agent", "two\nlines"),
        ({"agent": "\x00\x1b[2J\udcff"}, "agent", "\x00\x1b[2J\udcff"),
        ({"agent": ""}, "agent", ""),
        ({"contact": "&lt;a&amp;lt;b&gt;&apos;&#39;&quot;"}, "contact", "<a&lt;b>''\""),
    ],
)
def test_no_telephone_spoils_the_list_by_what_it_writes(values: dict[str, str], column: str, told: str) -> None:
    [row] = answers.registrations("internal", with_values(**values))
    assert row[column] == told
    assert row["network-port"] == "5060"


def test_an_older_answer_without_ping_and_with_a_bare_agent_is_read() -> None:
    lines = [line for line in with_values(agent="<a>").splitlines(keepends=True) if "ping" not in line]
    [row] = answers.registrations("internal", "".join(lines))
    assert (row["user"], row["ping-status"], row["network-ip"]) == ("1000@pbx.example", "", "198.18.0.1")


def test_there_are_no_entities_to_expand() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>\n'
    [row] = answers.registrations("internal", bomb + with_values(agent="&b;"))
    assert row["agent"] == "&b;"


def test_profiles_are_told_once_and_neither_aliases_nor_gateways() -> None:
    assert answers.profiles(OVERVIEW) == ("external", "internal")
    assert answers.profiles("<profiles>\n</profiles>\n") == ()


def test_a_profile_that_is_not_there_has_nobody() -> None:
    assert answers.registrations("gone", "Invalid Profile!\n") == ()


def test_the_status_of_a_switch_that_has_just_started() -> None:
    told = answers.status("UP 1 year, 1 day, 1 hour, 1 minute, 1 second, 1 millisecond, 1 microsecond\n")
    assert told["Uptime-msec"] == str(((366 * 24 + 1) * 60 + 1) * 60_000 + 1001)


# What cannot be read


@pytest.mark.parametrize(
    ("spoiled", "answer", "missing", "reason"),
    [
        (
            "show channels as json",
            "-ERR show Command not found!\n",
            "channels",
            "not JSON but '-ERR show Command not found!'",
        ),
        ("show channels as json", '{"row_count":2,"rows":[{}]}', "channels", "it says '2' rows and lists 1"),
        ("show calls as json", '{"row_count":1,"rows":[{"uuid":', "calls", 'not JSON but \'{"row_count":1'),
        ("show calls as json", "[" * 100_000, "calls", "not JSON"),
        ("show calls as json", '{"row_count":1,"rows":[7]}', "calls", "no rows in"),
        ("sofia xmlstatus", "-ERR sofia Command not found!\n", "registrations", "no list but '-ERR sofia"),
        ("sofia xmlstatus", OVERVIEW[:200], "registrations", "it is cut short"),
        ("sofia xmlstatus profile internal reg", REGISTERED[:-20], "registrations", "it is cut short"),
        (
            "sofia xmlstatus profile internal reg",
            REGISTERED.replace("call-id", "other"),
            "registrations",
            "of 1 registrations 0 can be read",
        ),
        ("sofia xmlstatus profile external reg", "", "registrations", "no list but nothing"),
        (
            "vm_boxcount 1000@pbx.example|all",
            "-ERR vm_boxcount Command not found!\n",
            "mailboxes",
            "no four numbers but",
        ),
    ],
)
def test_a_part_that_cannot_be_read_is_left_out_and_named(spoiled: str, answer: str, missing: str, reason: str) -> None:
    usual = {
        "switchname": "fs1",
        "global_getvar core_uuid": "abc-1",
        "status": "UP 1 years\n",
        "version": "FreeSWITCH Version 1.11.2 (x)\n",
        "show channels as json": '{"row_count":0}',
        "show calls as json": '{"row_count":0}',
        "sofia xmlstatus": OVERVIEW,
        "sofia xmlstatus profile external reg": "<profile>\n  <registrations>\n  </registrations>\n</profile>\n",
        "sofia xmlstatus profile internal reg": REGISTERED,
        "vm_boxcount 1000@pbx.example|all": "1:2:0:0",
        "vm_boxcount 1001@pbx.example|all": "1:2:0:0",
    }
    whole, asking, _ = ask(usual.__getitem__, ("1000@pbx.example", "1001@pbx.example"))
    assert asking.faults == []
    assert getattr(whole, missing) is not None
    snapshot, asking, _ = ask((usual | {spoiled: answer}).__getitem__, ("1000@pbx.example", "1001@pbx.example"))
    assert getattr(snapshot, missing) is None
    parts = {"channels", "calls", "registrations", "mailboxes", "status"} - {missing}
    assert {part: getattr(snapshot, part) for part in parts} == {part: getattr(whole, part) for part in parts}
    [fault] = asking.faults
    assert fault.command == spoiled
    assert str(fault).startswith(f"the switch's answer to '{spoiled}': {reason}")


def test_one_profile_that_cannot_be_read_leaves_all_of_them_out_in_either_order() -> None:
    def answer(bad: str) -> Callable[[str], str]:
        def say(command: str) -> str:
            if command == "sofia xmlstatus":
                return OVERVIEW
            return "cut" if bad in command or "reg" not in command else REGISTERED

        return say

    for profile in ("external", "internal"):
        assert ask(answer(f"profile {profile}"), node="fs1")[0].registrations is None


def test_a_switch_without_a_name_has_no_snapshot() -> None:
    asking = Asking("", 0.0, 0.0)
    while asking.next() is not None:
        asking.take("-ERR no\n")
    with pytest.raises(AnswerError, match="switchname"):
        asking.snapshot()
    assert [fault.command for fault in asking.faults][:3] == ["switchname", "global_getvar core_uuid", "status"]


def test_an_error_is_one_of_ours_shows_no_control_characters_and_travels() -> None:
    with pytest.raises(SwitchcastError) as caught:
        answers.status("\x1b[2J" + "é" * 500 + "\nsecond line")
    assert str(caught.value).isascii()
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# What is not asked


@pytest.mark.parametrize(
    "account",
    [
        "1000@x\nbgapi system reboot",
        "1000@x|new",
        "1000 @x",
        "@x",
        "1000",
        "1000@",
        "a@b c",
        "1000@x\r",
        "é@x",
        "a" * 200 + "@x",
    ],
)
def test_no_account_can_end_a_command_or_be_two_words_of_it(account: str) -> None:
    assert questions((), (account,)) == questions()
    assert mailbox_questions((account,)) == {}
    _, _, asked = ask(lambda _: "", (account,), node="fs1")
    assert not [command for command in asked if command.startswith("vm_boxcount")]


def test_no_profile_can_either_and_then_nobody_is_taken_for_gone() -> None:
    overview = OVERVIEW.replace(">external<", ">ext reg\x0b<").replace(">internal<", ">two words<")
    said = {"sofia xmlstatus": overview}
    snapshot, asking, asked = ask(lambda command: said.get(command, ""), node="fs1")
    assert [command for command in asked if "profile" in command] == []
    assert snapshot.registrations is None
    assert "2 profiles, of which 0 can be asked about" in str(asking.faults[-1])


def test_questions_are_bounded() -> None:
    many = questions((f"p{n}" for n in range(10_000)), (f"{n}@x" for n in range(10_000)))
    assert len(many) == len(questions()) + MOST_PROFILES + MOST_ACCOUNTS


# Any text

TEXTS = st.one_of(
    st.text(max_size=200),
    st.builds(
        "".join,
        st.lists(
            st.one_of(
                st.sampled_from(REGISTERED.splitlines(keepends=True) + OVERVIEW.splitlines(keepends=True)),
                st.text(max_size=20),
            ),
            max_size=30,
        ),
    ),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["rows", "row_count", "uuid"]), inner, max_size=3),
        ),
        max_leaves=10,
    ).map(json.dumps),
)


@PROPERTY
@given(texts=st.lists(TEXTS, max_size=12))
def test_no_answer_is_more_than_an_error(texts: list[str]) -> None:
    left = list(texts)
    snapshot, asking, asked = ask(lambda _: left.pop() if left else "", ("1000@x", "1001@x"), node="fs1")
    assert len(asking.faults) <= len(asked) <= 10 + MOST_PROFILES
    for table in (snapshot.channels, snapshot.calls, snapshot.registrations):
        for row in table or ():
            assert all(isinstance(name, str) and isinstance(value, str) for name, value in row.items())
    assert all("\n" not in command for command in asked)


@PROPERTY
@given(
    call_id=st.text(st.characters(exclude_characters="\r\n"), max_size=30),
    agent=st.text(max_size=30),
    cut=st.integers(0, len(REGISTERED)),
)
def test_what_mod_sofia_would_write_is_read_back(call_id: str, agent: str, cut: int) -> None:
    escaped = agent.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    text = with_values(call_id=call_id, agent=escaped)
    [row] = answers.registrations("internal", text)
    assert (row["call-id"], row["agent"]) == (call_id, agent)
    if not REGISTERED[:cut].rstrip().endswith("</profile>"):
        with pytest.raises(AnswerError):
            answers.registrations("internal", REGISTERED[:cut])


@PROPERTY
@given(rows=st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3), max_size=4))
def test_rows_are_read_back(rows: list[dict[str, str]]) -> None:
    text = json.dumps({"row_count": len(rows)} | ({"rows": rows} if rows else {}))
    assert answers.rows("show channels as json", text) == tuple(rows)


def test_values_that_are_no_text_are_told_as_text() -> None:
    text = '{"row_count":1,"rows":[{"a":null,"b":7,"c":true,"d":[1]}]}'
    assert answers.rows("show", text) == ({"a": "", "b": "7", "c": "true", "d": "[1]"},)
