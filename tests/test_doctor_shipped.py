"""FreeSWITCH set up as its packages set it up: files with comments, variables and includes, laid where they lie.

On hosts in namespaces, with a program of that name that was started with them, and with its event socket where that is
asked. What a package ships is not safe, and that is what is found; each param that mends it is tried.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from doctor_hosts import linked
from doctor_trees import lay, modules_list
from doctors import doctors
from made_switches import running
from namespaces import Host
from sockets import PATIENCE
from switches import ACCEPTED, GREETING, reply, scripted, serve

from switchcast.app.doctor.examine import Diagnosis, examine
from switchcast.endpoints.url import EndpointUrl
from switchcast.guard.finding import Severity

GROUP: Final = "225.1.1.1"
PORT: Final = 4242
URL: Final = f"multicast://{GROUP}:{PORT}?interface=veth"
MODULE: Final = "autoload_configs/event_multicast.conf.xml"
EVENT_SOCKET: Final = "autoload_configs/event_socket.conf.xml"
MODULES: Final = "autoload_configs/modules.conf.xml"
SHIPPED: Final = {
    "freeswitch.xml": """<?xml version="1.0"?>
<document type="freeswitch/xml">
  <!-- the variables come first -->
  <X-PRE-PROCESS cmd="include" data="vars.xml"/>
  <section name="configuration" description="Various Configuration">
    <X-PRE-PROCESS cmd="include" data="autoload_configs/*.xml"/>
  </section>
</document>
""",
    "vars.xml": """<include>
  <!-- <X-PRE-PROCESS cmd="set" data="everybody=225.9.9.9"/> -->
  <X-PRE-PROCESS cmd="set" data="everybody=225.1.1.1"/>
  <X-PRE-PROCESS cmd="set" data="domain=$${local_ip_v4}"/>
  <X-PRE-PROCESS cmd="stun-set" data="outside=stun:stun.example.com"/>
  <X-PRE-PROCESS cmd="exec-set" data="where=hostname -f"/>
</include>
""",
    MODULE: """<configuration name="event_multicast.conf" description="Multicast Event">
  <settings>
    <param name="address" value="$${everybody}"/>
    <param name="port" value="4242"/>
    <param name="bindings" value="all"/>
    <param name="ttl" value="1"/>
    <!-- <param name="loopback" value="no"/>-->
    <!-- <param name="psk" value="ClueCon"/> -->
  </settings>
</configuration>
""",
    EVENT_SOCKET: """<configuration name="event_socket.conf" description="Socket Client">
  <settings>
    <param name="nat-map" value="false"/>
    <param name="listen-ip" value="::"/>
    <param name="listen-port" value="8021"/>
    <param name="password" value="ClueCon"/>
    <!--<param name="apply-inbound-acl" value="loopback.auto"/>-->
  </settings>
</configuration>
""",
    MODULES: modules_list("mod_event_socket", "mod_event_multicast"),
}
INCLUDE: Final = '<X-PRE-PROCESS cmd="include" data="../more/*.xml"/>'
UNSAFE: Final = ["switch-default-password", "switch-event-socket-open", "switch-zero-length"]
PEERS: Final = f"Module state: {{}}\nDestinations:\n  {{}}:{PORT} (IPv4 multicast)\n"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with linked() as (host, _):
        host.run("ip", "route", "add", "224.0.0.0/4", "dev", "veth")
        yield host


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return lay(tmp_path / "conf", SHIPPED)


def edit(conf: Path, name: str, before: str, after: str) -> None:
    text = (conf / name).read_text()
    assert before in text
    (conf / name).write_text(text.replace(before, after))


def looked_at(host: Host, url: str = URL) -> Diagnosis:
    with host.entered():
        return asyncio.run(examine(EndpointUrl.parse(url), wait=0.1, query_interval=125))


def codes(diagnosis: Diagnosis) -> list[str]:
    return sorted(each.code for each in diagnosis.findings if each.code.startswith(("switch-", "event-")))


def unread(diagnosis: Diagnosis) -> list[str]:
    """What of the switch was not checked, and why, in one line each."""
    return [f"{each.what}: {each.why}" for each in diagnosis.unchecked if "FreeSWITCH" in each.what]


def test_what_a_package_ships_is_read_and_found_unsafe(host: Host, conf: Path) -> None:
    with running(host, conf, GROUP, PORT):
        diagnosis = looked_at(host)
    assert codes(diagnosis) == UNSAFE
    assert unread(diagnosis) == []
    evidence = [line for finding in diagnosis.findings for line in finding.evidence]
    assert f"{conf / EVENT_SOCKET}:6: the password is the one that FreeSWITCH is shipped with" in evidence


def test_what_the_findings_say_makes_it_safe(host: Host, conf: Path) -> None:
    edit(conf, EVENT_SOCKET, '"::"', '"127.0.0.1"')
    edit(conf, EVENT_SOCKET, "ClueCon", "of-no-use-to-guess")
    with running(host, conf, GROUP, PORT):
        assert codes(looked_at(host)) == ["switch-zero-length"]
    edit(conf, EVENT_SOCKET, '"127.0.0.1"', '"::"')
    edit(conf, EVENT_SOCKET, "<!--<param", "<param")
    edit(conf, EVENT_SOCKET, 'auto"/>-->', 'auto"/>')
    with running(host, conf, GROUP, PORT):
        assert codes(looked_at(host)) == ["switch-zero-length"]


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ((MODULE, '"4242"', '"4243"'), ["switch-port-differs"]),
        ((MODULES, "mod_event_multicast", "mod_event_zmq"), ["switch-module-not-loaded"]),
        ((MODULE, "$${everybody}", "$${everybody},ff15::1"), []),
        ((MODULE, '"address"', '"ADDRESS"'), []),
    ],
)
def test_a_changed_file(host: Host, conf: Path, change: tuple[str, str, str], more: list[str]) -> None:
    edit(conf, *change)
    with running(host, conf, GROUP, PORT):
        assert codes(looked_at(host)) == sorted([*UNSAFE, *more])


@pytest.mark.parametrize(
    ("change", "why", "left"),
    [
        ((MODULE, "</settings>", ""), "not XML: mismatched tag", UNSAFE),
        ((MODULE, "$${everybody}", "$${local_ip_v4}"), "is set where only the running switch knows it", UNSAFE),
        ((MODULE, "<settings>", f"<settings>{INCLUDE}"), "X-PRE-PROCESS include brings in", UNSAFE),
        ((MODULE, '"1"', '"many"'), 'ttl: "many": no TTL', UNSAFE),
        ((EVENT_SOCKET, '"::"', '"$${local_ip_v4}"'), "listen-ip needs a variable", [UNSAFE[0], UNSAFE[2]]),
        ((EVENT_SOCKET, "<configuration", "<!DOCTYPE a><configuration"), "has a document type", [UNSAFE[2]]),
    ],
)
def test_what_only_the_switch_understands_hides_nothing_else(
    host: Host, conf: Path, change: tuple[str, str, str], why: str, left: list[str]
) -> None:
    edit(conf, *change)
    with running(host, conf, GROUP, PORT):
        diagnosis = looked_at(host)
    assert codes(diagnosis) == left
    (told,) = unread(diagnosis)
    assert f"{conf / change[0]}:" in told
    assert why in told


def asked(host: Host, *answers: bytes) -> Diagnosis:
    """What is found by a switch's event socket on ``host`` that answers so."""

    async def scene() -> Diagnosis:
        async with asyncio.timeout(PATIENCE), scripted(GREETING, ACCEPTED, *answers) as port:
            url = EndpointUrl.parse(f"esl://:no-known-password@127.0.0.1:{port}")
            return await examine(url, wait=0.1, query_interval=125)

    with host.entered():
        return asyncio.run(scene())


def answer(text: str) -> bytes:
    return f"Content-Type: api/response\nContent-Length: {len(text)}\n\n{text}".encode()


def test_settings_that_the_running_module_has_not_read(host: Host, conf: Path) -> None:
    with running(host, conf, GROUP, PORT):
        stale = asked(host, answer("true"), answer(PEERS.format("Active", "225.7.7.7")))
        fresh = asked(host, answer("true"), answer(PEERS.format("Active", GROUP)))
    assert "switch-not-reloaded" in codes(stale)
    assert codes(fresh) == UNSAFE


def test_a_module_that_says_itself_that_it_has_ended(host: Host, conf: Path) -> None:
    with running(host, conf, GROUP, PORT):
        ended = asked(host, answer("true"), answer(PEERS.format("Inactive", GROUP)))
    (finding,) = (each for each in ended.findings if each.code == "switch-module-ended")
    assert finding.severity is Severity.CRITICAL


def test_a_password_that_a_switch_refuses(host: Host) -> None:
    async def scene() -> Diagnosis:
        async with asyncio.timeout(PATIENCE), serve(password="of-no-use-to-guess") as server:  # noqa: S106
            return await examine(EndpointUrl.parse(f"esl://127.0.0.1:{server.port}"), wait=0.1, query_interval=125)

    with host.entered():
        assert codes(asyncio.run(scene())) == ["event-socket-denied"]


def test_a_host_that_an_access_list_keeps_out(host: Host) -> None:
    async def scene() -> Diagnosis:
        refusal = b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n"
        async with asyncio.timeout(PATIENCE), scripted(refusal) as port:
            return await examine(EndpointUrl.parse(f"esl://127.0.0.1:{port}"), wait=0.1, query_interval=125)

    with host.entered():
        assert codes(asyncio.run(scene())) == ["event-socket-denied"]


def test_a_user_of_the_switch_who_may_not_ask(host: Host) -> None:
    refused = reply("-ERR permission denied")
    assert codes(asked(host, refused, refused)) == []


def test_files_that_an_ordinary_user_may_not_read(host: Host, conf: Path) -> None:
    """Whatever could not be looked at is told with what would help, and nothing is said to be well for it."""
    for path in (conf, *conf.rglob("*")):
        os.chown(path, 998, 998)
        path.chmod(0o700)
    with running(host, conf, GROUP, PORT):
        (answer,) = doctors((host, [URL, "--wait", "200ms"]), ordinary=True)
    assert not set(answer.findings) & {*UNSAFE, "own-not-heard", "not-joined"}
    told = {each["what"]: each for each in answer.said["endpoints"][0]["unchecked"]}
    for what in ("the rules of nft", "whether the network has a querier", f"whose sockets are on port {PORT}"):
        assert "sudo" in told[what]["how"]
    assert not any(word in answer.healthy for word in ("firewall", "FreeSWITCH", "asks for"))
