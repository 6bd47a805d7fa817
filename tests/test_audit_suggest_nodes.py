"""A suggested policy at work: two nodes under it know the same, and nothing secret is on the wire between them.

Both nodes are made from configuration files in which the suggestion stands as it was written. What they put on the
group is audited, and beside it what their switches told them, so that the audit has something to miss.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from keyfiles import group, written
from ports import free_port
from recordings import PSK
from relays import Pair, event_socket
from sockets import PASSWORD, until

from switchcast import Event, Matcher, StockFrames
from switchcast.app.assembly import Assembly
from switchcast.app.cli.audit_policy import read_policy
from switchcast.app.config import load
from switchcast.endpoints import Endpoint, make_endpoint
from switchcast.guard.audit.classifier import Classifier
from switchcast.guard.audit.comparison import compare
from switchcast.guard.audit.inventory import Audit
from switchcast.guard.audit.leaks import AuditResult, Leak
from switchcast.guard.audit.suggest import NEVER, suggest
from switchcast.node import Node
from switchcast.simulation import DOMAIN, Cluster, Switch
from switchcast.simulation.switch import Lamp, Presence
from switchcast.wire.gap_record import is_gap

KEEP = ("registrations", "presence", "lamps")
KINDS = {
    *("CUSTOM sofia::register", "CUSTOM sofia::unregister", "CUSTOM sofia::expire", "CUSTOM sofia::sip_user_state"),
    *("PRESENCE_IN", "MESSAGE_WAITING"),
}
CONFIGURATION = """
[node]
name = "{name}"

[endpoints.switch]
url = "esl://127.0.0.1:{switch}"
password_file = "{folder}/esl.password"

[endpoints.group]
url = "multicast://239.255.42.44:{port}?interface=lo"
mode = "traced"
key_file = "{folder}/group.key"

[[route]]
from = "switch"
to = ["group"]
policy = "suggested"

[[route]]
from = "group"
to = ["switch"]
"""


def audited(events: Sequence[Event]) -> AuditResult:
    audit = Audit(Classifier())
    audit.add([event for event in events if not is_gap(event)])
    return audit.result()


def leaks_of(result: AuditResult) -> dict[Leak, set[str]]:
    """What is given away, and in which headers of which kinds."""
    found: dict[Leak, set[str]] = {}
    for kind in result.kinds:
        for row in [*kind.headers, *([kind.body] if kind.body else [])]:
            for each in row.found:
                found.setdefault(each.leak, set()).add(f"{kind.kind}: {row.name}")
    return found


class Collected:
    """What an endpoint gives, as it comes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.events: list[Event] = []

    async def run(self) -> None:
        async for batch in self.endpoint.batches():
            self.events += batch

    def has(self, switch: Switch, mark: str) -> bool:
        """Whether the lamp that ends what ``switch`` has told is here."""
        return any(
            event.get("MWI-Message-Account") == mark and event["FreeSWITCH-Switchname"] == switch.name
            for event in self.events
        )


@asynccontextmanager
async def collecting(endpoint: Endpoint) -> AsyncIterator[Collected]:
    collected = Collected(endpoint)
    await endpoint.open_source()
    reading = asyncio.create_task(collected.run())
    try:
        yield collected
    finally:
        await endpoint.close()
        await reading


@asynccontextmanager
async def node_of(file: Path) -> AsyncIterator[Node]:
    """The node that the configuration in ``file`` means."""
    configuration = load(file)
    node = Node(Assembly(configuration).routes, name=configuration.node.name)
    running = asyncio.create_task(node.run())
    try:
        await node.ready.wait()
        yield node
    finally:
        node.stop()
        await running


def tell_secrets(switch: Switch) -> None:
    """What a real switch would tell in passing: a password, a PIN, a message, a command with a secret."""
    switch.fire("MESSAGE", [("from", f"1000@{DOMAIN}"), ("to", f"1001@{DOMAIN}")], b"the code of the safe is 4711")
    switch.fire("DTMF", [("DTMF-Digit", "7"), ("DTMF-Duration", "1600")])
    switch.fire("API", [("API-Command", "originate"), ("API-Command-Argument", "{sip_auth_password=hunter2}user/1000")])
    switch.fire("RECORD_START", [("Record-File-Path", "/var/lib/freeswitch/recordings/1000-2026.wav")])


def tell_state(switch: Switch, user: str) -> None:
    """A registration with credentials beside it, a presence and a lamp of one user."""
    account = f"{user}@{DOMAIN}"
    register = [
        *(("Event-Subclass", "sofia::register"), ("profile-name", "internal"), ("from-user", user)),
        *(
            ("from-host", DOMAIN),
            ("contact", f'"" <sip:{user}@198.51.100.7:5062>'),
            ("call-id", f"{user}@198.51.100.7"),
        ),
        *(("expires", "600"), ("network-ip", "198.51.100.7"), ("network-port", "5062"), ("user-agent", "phone/1")),
        *(
            ("username", user),
            ("realm", DOMAIN),
            ("sip_auth_password", "hunter2"),
            ("sip_auth_nonce", "8c1f"),
        ),
        *(("sip_auth_response", "6629fae49393a05397450978507c4ef1"), ("a1-hash", "939e7578ed9e3c518a452acee763bce9")),
    ]
    switch.fire("CUSTOM", register)
    switch.fire("PRESENCE_IN", [("from", account), ("status", f"At {user}"), ("rpid", "busy"), ("proto", "sip")])
    waiting = [("MWI-Messages-Waiting", "yes"), ("MWI-Message-Account", f"sip:{account}"), ("MWI-Voice-Message", "3/1")]
    switch.fire("MESSAGE_WAITING", waiting)


@pytest.mark.parametrize("informed", [False, True], ids=["unseen", "as seen"])
def test_two_nodes_under_it_know_the_same_and_tell_no_secret(
    informed: bool, tmp_path: Path, plain_datagrams: list[tuple[int, bytes]]
) -> None:
    frames = StockFrames()
    recorded = audited([frames.open(datagram) for _, datagram in plain_datagrams]) if informed else None
    suggestion = suggest(KEEP, recorded)
    assert suggestion.warnings == ()
    written(tmp_path / "group.key", group())
    written(tmp_path / "esl.password", PASSWORD)
    port, mark = free_port(), "sip:the-end@example.com"

    async def main() -> tuple[list[Event], list[Event]]:
        pair = Pair(Cluster(nodes=2, cps=3, seed=5, users=30, expires=3600))
        await pair.start()
        files = []
        for server, name in zip(pair.servers, ("fs1", "fs2"), strict=True):
            file = tmp_path / f"{name}.toml"
            text = CONFIGURATION.format(name=name, switch=server.port, folder=tmp_path, port=port)
            files.append(written(file, text + suggestion.text))
        async with AsyncExitStack() as opened:
            for server in pair.servers:
                await opened.enter_async_context(server)
            hears = [
                await opened.enter_async_context(collecting(event_socket(server, matcher=Matcher("all"))))
                for server in pair.servers
            ]
            url = f"multicast://239.255.42.44:{port}?interface=lo&mode=traced&key_file={tmp_path}/group.key"
            wire = await opened.enter_async_context(collecting(make_endpoint(url)))
            for file in files:
                await opened.enter_async_context(node_of(file))

            one, other = pair.switches
            for _ in range(12):
                pair.live(1)
                await asyncio.sleep(0)
            for switch, user in ((one, "5000"), (other, "6000")):
                tell_secrets(switch)
                tell_state(switch, user)
                switch.fire("MESSAGE_WAITING", [("MWI-Messages-Waiting", "no"), ("MWI-Message-Account", mark)])
            pair.live(0)
            await until(lambda: all(wire.has(switch, mark) for switch in pair.switches))
            await until(lambda: all(hears[index].has(switch, mark) for index, switch in enumerate(pair.switches)))
            for here, there, user in ((one, other, "5000"), (other, one, "6000")):
                await until(partial(knows, there, user))
                assert unknown(here, there) == []
            return [event for heard in hears for event in heard.events], wire.events

    told, sent = asyncio.run(main())
    before, after = audited(told), audited(sent)
    assert not before.uncounted.keys() & {"kinds", "headers"}
    assert leaks_of(before).keys() >= {*NEVER, Leak.NUMBERS, Leak.NAMES, Leak.SIP}
    assert {leak: where for leak, where in leaks_of(after).items() if leak in NEVER} == {}
    assert {row.kind for row in after.kinds} <= KINDS
    assert {row.kind for row in after.kinds} >= {"CUSTOM sofia::register", "PRESENCE_IN", "MESSAGE_WAITING"}
    assert set(compare("suggested", before, after).gone) >= set(NEVER)
    everything = b"".join(event.to_plain() for event in sent)
    assert [
        secret for secret in (b"hunter2", b"6629fae4", b"939e7578", b"4711", b"Record") if secret in everything
    ] == []
    assert len(sent) > 50


def knows(switch: Switch, user: str) -> bool:
    """Whether ``switch`` has been told all of ``tell_state`` at the other."""
    account = f"{user}@{DOMAIN}"
    return (
        switch.api(f"sofia_contact {account}") == f"sofia/internal/sip:{user}@198.51.100.7:5062"
        and switch.presence.get(account) == Presence(f"At {user}", "busy")
        and switch.lamps.get(account) == Lamp(True, "3/1")
    )


def unknown(switch: Switch, other: Switch) -> list[str]:
    """Users who are registered at ``switch`` and cannot be called at the ``other``, or elsewhere than they are."""
    contacts = {f"{user}@{DOMAIN}": row.contact for user, row in switch.registrations.items()}
    assert contacts
    rows = {account: other.registrar.find(account, other.epoch_seconds) for account in contacts}
    return [account for account, row in rows.items() if row is None or row.contact != contacts[account]]


def test_under_it_the_recordings_hold_no_secret(
    plain_datagrams: list[tuple[int, bytes]], psk_datagrams: list[tuple[int, bytes]], tmp_path: Path
) -> None:
    plain, encrypted = StockFrames(), StockFrames(PSK)
    events = [plain.open(datagram) for _, datagram in plain_datagrams]
    events += [encrypted.open(datagram) for _, datagram in psk_datagrams]
    before = audited(events)
    assert leaks_of(before).keys() >= set(NEVER)
    for result in (None, before):
        suggestion = suggest(KEEP, result)
        assert suggestion.warnings == ()
        file = written(tmp_path / "policy.toml", suggestion.text)
        after = audited(read_policy(str(file)).policy(events))
        assert {leak: where for leak, where in leaks_of(after).items() if leak in NEVER} == {}
        assert {row.kind for row in after.kinds} == KINDS - {"CUSTOM sofia::sip_user_state"}
        assert all(row.body is None for row in after.kinds)
