"""FreeSWITCH's files and processes read from made-up trees, and what a switch answers about its module."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from doctor_trees import (
    PORT,
    SWITCH_PID,
    event_socket_settings,
    lay,
    lay_process,
    module_settings,
    modules_list,
)
from hypothesis import given
from hypothesis import strategies as st
from sockets import PATIENCE
from switches import ACCEPTED, GREETING, SECRET, reply, scripted, serve

from switchcast.app.doctor.openssl_files import legacy_by_settings
from switchcast.app.doctor.switch_asking import answers_of, ask_switch
from switchcast.app.doctor.switch_files import default_url, read_switch, with_answers
from switchcast.app.doctor.switch_xml import MOST_ELEMENTS, read_elements
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import ConfigurationError
from switchcast.guard.doctor.switch_facts import ModuleAnswers, SwitchFacts, UnreadPart

ETC = "etc/freeswitch"
CONFIGS = f"{ETC}/autoload_configs"
MODULE, EVENT_SOCKET, MODULES = (
    f"{CONFIGS}/{name}.conf.xml" for name in ("event_multicast", "event_socket", "modules")
)
INCLUDE = '<settings><X-PRE-PROCESS cmd="include" data="../more/*.xml"/>'
LIBRARIES = "/usr/lib/x86_64-linux-gnu"


def see(root: Path, files: dict[str, str] | None = None, psk: bytes | None = None) -> SwitchFacts:
    """What is seen of a host with these files; ``/proc`` is empty but for what is there already."""
    lay(root, {"proc/version": "Linux\n", **(files or {})})
    return read_switch(psk, root=root, environ={})


def test_a_host_without_freeswitch_shows_where_was_looked(tmp_path: Path) -> None:
    switch = see(tmp_path)
    assert (switch.found, switch.unread) == (False, ())
    assert switch.looked_in[0] == str(tmp_path / ETC)
    assert default_url(switch) is None


def test_the_files_of_a_switch_are_read(tmp_path: Path) -> None:
    switch = see(
        tmp_path,
        {
            f"{ETC}/vars.xml": '<include>\n<X-PRE-PROCESS cmd="set" data="group=225.1.1.1"/>\n'
            '<!-- <X-PRE-PROCESS cmd="set" data="group=239.9.9.9"/> -->\n'
            '<X-PRE-PROCESS cmd="set" data="both=$${group},ff15::1"/>\n'
            '<X-PRE-PROCESS cmd="stun-set" data="outside=stun:example.com"/>\n</include>\n',
            MODULE: module_settings(address="$${both}", ttl="3", source_address="192.0.2.1"),
            EVENT_SOCKET: event_socket_settings(listen_ip="::", listen_port="8022", password="ClueCon"),  # noqa: S106
            MODULES: modules_list("mod_event_multicast", "mod_event_socket"),
        },
    )
    assert switch.unread == ()
    assert switch.folder == str(tmp_path / ETC)
    module, event_socket, modules = switch.module, switch.event_socket, switch.modules
    assert module is not None
    assert event_socket is not None
    assert modules is not None
    assert (module.address, module.port, module.ttl) == (("225.1.1.1", "ff15::1"), PORT, 3)
    assert (module.source_address, module.loopback, module.keyed) == ("192.0.2.1", False, False)
    assert module.at("source_address") == f"{tmp_path / MODULE}:7"
    assert (event_socket.listen_ip, event_socket.port, event_socket.default_password) == ("::", 8022, True)
    assert (event_socket.acls, event_socket.at("password")) == ((), f"{tmp_path / EVENT_SOCKET}:5")
    assert modules.loads_module
    assert default_url(switch) == f"multicast://225.1.1.1,[ff15::1]:{PORT}?ttl=3"
    EndpointUrl.parse(default_url(switch) or "")


def test_a_module_without_a_group_is_examined_by_unicast(tmp_path: Path) -> None:
    assert (
        default_url(see(tmp_path, {MODULE: module_settings(address="192.0.2.7, fs2")})) == f"udp://192.0.2.7,fs2:{PORT}"
    )


def test_defaults_of_the_event_socket_are_freeswitchs(tmp_path: Path) -> None:
    found = see(tmp_path, {EVENT_SOCKET: event_socket_settings(apply_inbound_acl="lan")}).event_socket
    assert found is not None
    assert (found.listen_ip, found.port, found.default_password, found.acls) == ("127.0.0.1", 8021, True, ("lan",))
    found = see(tmp_path, {EVENT_SOCKET: event_socket_settings(password=SECRET)}).event_socket
    assert found is not None
    assert not found.default_password
    assert SECRET not in repr(found)


def test_an_event_socket_that_is_not_loaded_does_not_matter(tmp_path: Path) -> None:
    switch = see(tmp_path, {EVENT_SOCKET: event_socket_settings(), MODULES: modules_list("mod_sofia")})
    assert switch.event_socket is None
    assert switch.modules is not None
    assert not switch.modules.loads_module
    later = see(tmp_path, {f"{CONFIGS}/post_load_modules.conf.xml": modules_list("mod_event_multicast")})
    assert later.modules is not None
    assert later.modules.loads_module
    assert "post_load" in later.modules.path


@pytest.mark.parametrize(
    ("written", "known", "agrees"),
    [(None, None, True), (SECRET, SECRET.encode(), True), (SECRET, b"other", False), (SECRET, None, False)],
)
def test_keys_are_compared_and_never_kept(
    tmp_path: Path, written: str | None, known: bytes | None, agrees: bool
) -> None:
    given = {} if written is None else {"psk": written}
    switch = see(tmp_path, {MODULE: module_settings(**given)}, known)
    assert switch.module is not None
    assert (switch.module.keyed, switch.module.key_agrees) == (written is not None, agrees)
    assert SECRET not in repr(switch)
    unknown = read_switch(None, False, root=tmp_path, environ={}).module
    assert unknown is not None
    assert unknown.key_agrees is None


@pytest.mark.parametrize(
    ("files", "where", "why"),
    [
        ({MODULE: "<configuration>\n<oops"}, f"{MODULE}:2", "not XML"),
        ({MODULE: '<!DOCTYPE x [<!ENTITY a "aaaa">]>\n<x>&a;</x>'}, f"{MODULE}:1", "document type"),
        ({MODULE: module_settings(port="many")}, f"{MODULE}:4", "port"),
        ({MODULE: module_settings(address="$${local_ip_v4}")}, f"{MODULE}:3", "running switch"),
        ({MODULE: module_settings().replace("<settings>", INCLUDE)}, f"{MODULE}:2", "X-PRE-PROCESS include"),
        ({EVENT_SOCKET: event_socket_settings().replace("<settings>", INCLUDE)}, f"{EVENT_SOCKET}:2", "include"),
        ({EVENT_SOCKET: "\0"}, f"{EVENT_SOCKET}:1", "not XML"),
        ({MODULES: "<modules>" + "<x/>" * MOST_ELEMENTS + "</modules>"}, f"{MODULES}:1", "10,000 elements"),
        ({f"{ETC}/vars.xml/not-a-file": ""}, f"{ETC}/vars.xml", "directory"),
    ],
)
def test_a_broken_file_is_unread_with_its_line(tmp_path: Path, files: dict[str, str], where: str, why: str) -> None:
    switch = see(tmp_path, files)
    (part,) = switch.unread
    assert part.why.startswith(f"{tmp_path / where}:")
    assert why in part.why
    assert (switch.module, switch.event_socket, switch.modules) == (None, None, None)


def test_a_variable_that_is_not_known_hides_no_other_param(tmp_path: Path) -> None:
    text = event_socket_settings(listen_ip="$${local_ip_v4}", password="$${known}", listen_port="8022")  # noqa: S106
    known = '<settings><X-PRE-PROCESS  cmd = "set" note="" data= "known=ClueCon"/>'
    switch = see(tmp_path, {EVENT_SOCKET: text.replace("<settings>", known)})
    (part,) = switch.unread
    assert part.why == f"{tmp_path / EVENT_SOCKET}:3: listen-ip needs a variable that only the running switch knows"
    assert "fs_cli" in part.how
    assert switch.event_socket is not None
    assert (switch.event_socket.default_password, switch.event_socket.port) == (True, 8022)


PIECES = st.sampled_from(
    [
        *('<configuration name="event_multicast.conf">', "<settings>", "</settings>", "</configuration>", "<", "&#0;"),
        *('<param name="psk" value="' + SECRET + '"/>', '<param name="port" value="1"/>', "<param/>", "$${", "]]>"),
        *(
            '<X-PRE-PROCESS cmd="set" data="a=$${a}"/>',
            '<X-PRE-PROCESS cmd="exec-set" data="a=b"/>',
            "<!--",
            "\xff",
            "\0",
        ),
    ]
)


@given(st.dictionaries(st.sampled_from([MODULE, EVENT_SOCKET, MODULES, f"{ETC}/vars.xml"]), st.lists(PIECES)))
def test_no_file_at_all_is_more_than_unread(files: dict[str, list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        switch = see(Path(folder), {name: "".join(pieces) for name, pieces in files.items()})
    assert SECRET not in repr(switch)


def test_a_secret_is_not_repeated_by_a_mistake(tmp_path: Path) -> None:
    switch = see(tmp_path, {MODULE: module_settings(psk=SECRET * 8)})
    assert switch.unread
    assert SECRET not in repr(switch)


def test_a_file_that_may_not_be_read_is_unread(tmp_path: Path) -> None:
    loop = tmp_path / MODULE
    lay(tmp_path, {MODULES: modules_list("mod_event_multicast")})
    loop.symlink_to(loop)
    (part,) = see(tmp_path).unread
    assert part.why.startswith(f"{loop}: cannot be read: ")


def test_latin_1_by_its_declaration_is_read_as_the_text_that_it_is(tmp_path: Path) -> None:
    lay(tmp_path, {"a.xml": '<?xml version="1.0" encoding="ISO-8859-1"?>\n<param name="ä"/>\n'})
    (element,) = read_elements(tmp_path / "a.xml")
    assert (element.name, element.attributes, element.line) == ("param", {"name": "ä"}, 2)
    with pytest.raises(ConfigurationError, match="no such file"):
        read_elements(tmp_path / "b.xml")


def start(root: Path, *libraries: str, words: str = "freeswitch", **links: str) -> None:
    """A running FreeSWITCH with these libraries in its memory."""
    maps = "".join(f"7f0-7f1 r-xp 0 8:1 12 {LIBRARIES}/{name}\n" for name in libraries)
    lay_process(root, SWITCH_PID, "freeswitch", links=links, cmdline=words.replace(" ", "\0") + "\0", maps=maps)


@pytest.mark.parametrize(
    ("words", "links", "folder"),
    [
        ("freeswitch -conf /srv/fs -nc", {}, "srv/fs"),
        ("freeswitch -nc -conf fs", {"cwd": "/srv"}, "srv/fs"),
        ("freeswitch -base /opt/fs", {}, "opt/fs/conf"),
        ("freeswitch", {"exe": "/home/fs/bin/freeswitch"}, "home/fs/conf"),
    ],
)
def test_the_folder_is_the_one_that_freeswitch_was_started_with(
    tmp_path: Path, words: str, links: dict[str, str], folder: str
) -> None:
    start(tmp_path, words=words, **links)
    switch = see(tmp_path, {f"{folder}/vars.xml": "", MODULE: module_settings()})
    assert switch.folder == str(tmp_path / folder)
    assert switch.module is None  # that of another folder is another's


def test_a_container_of_this_host_is_read_through_proc(tmp_path: Path) -> None:
    lay_process(tmp_path, SWITCH_PID, "freeswitch", links={"ns/mnt": "mnt:[2]", "ns/net": "net:[2]"})
    for namespace in ("mnt", "net"):
        lay(tmp_path, {"proc/self/comm": "test"})
        (tmp_path / "proc/self/ns").mkdir(exist_ok=True)
        (tmp_path / f"proc/self/ns/{namespace}").symlink_to(f"{namespace}:[1]")
    inside = str(Path("proc", str(SWITCH_PID), "root", MODULE))
    switch = see(tmp_path, {inside: module_settings(), MODULE: module_settings(port="9")})
    assert switch.module is not None
    assert switch.module.path == str(tmp_path / inside)
    assert switch.processes[0].same_network is False


SECTIONS = "[a]\nproviders = b  # those\n[b]\ndefault = d\nlegacy = l\n[d]\nactivate = 1\n[l]\n"


@pytest.mark.parametrize(
    ("libraries", "settings", "expected"),
    [
        ((), "", ("", None)),
        (("libcrypto.so.1.1",), "", ("1.1", None)),
        (("libcrypto.so.3", "ossl-modules/legacy.so"), "", ("3", True)),
        (("libcrypto.so.3",), "", ("3", False)),
        (("libcrypto.so.3",), f"openssl_conf = a\n{SECTIONS}activate = 1\n", ("3", True)),
        (("libcrypto.so.3",), f"openssl_conf = a\n{SECTIONS}", ("3", False)),
    ],
)
def test_openssl_is_known_by_what_is_in_memory(
    tmp_path: Path, libraries: tuple[str, ...], settings: str, expected: tuple[str, bool | None]
) -> None:
    start(tmp_path, *libraries)
    (process,) = see(tmp_path, {"etc/ssl/openssl.cnf": settings}).processes
    assert (process.openssl, process.legacy) == expected
    assert bool(process.legacy_from) == (expected[1] is not None)


def test_memory_that_may_not_be_seen_leaves_openssl_unknown(tmp_path: Path) -> None:
    lay_process(tmp_path, SWITCH_PID, "freeswitch")
    (process,) = see(tmp_path).processes
    assert (process.openssl, process.legacy) == (None, None)


def test_the_legacy_provider_by_settings(tmp_path: Path) -> None:
    assert legacy_by_settings(tmp_path) == (None, "")
    lay(tmp_path, {"etc/pki/tls/openssl.cnf": ".include /etc/other.cnf\n", "srv/fs.cnf": f"openssl_conf=a\n{SECTIONS}"})
    assert legacy_by_settings(tmp_path) == (None, "")
    assert legacy_by_settings(tmp_path, "/srv/fs.cnf")[0] is False


def answer(text: str) -> bytes:
    return f"Content-Type: api/response\nContent-Length: {len(text)}\n\n{text}".encode()


PEERS = f"""Module state: Inactive
Destinations:
  225.1.1.1:{PORT} (IPv4 multicast)
  [ff15::1]:{PORT} (IPv6 multicast)
Peer fs2 UP; last seen 4 seconds ago
Peer fs3 DOWN; last seen 90 seconds ago
"""


def ask(*answers: bytes, password: str = "", options: str = "") -> ModuleAnswers | UnreadPart:
    """What is made of a switch that answers so."""

    async def scene() -> ModuleAnswers | UnreadPart:
        async with asyncio.timeout(PATIENCE), scripted(*answers) as port:
            return await ask_switch(EndpointUrl.parse(f"esl://{password}127.0.0.1:{port}{options}"))

    return asyncio.run(scene())


def test_a_switch_is_asked_about_its_module() -> None:
    answers = ask(GREETING, ACCEPTED, answer("true"), answer(PEERS), password=f":{SECRET}@")
    assert isinstance(answers, ModuleAnswers)
    assert (answers.loaded, answers.active, answers.default_password) == (True, False, False)
    assert len(answers.destinations) == 2
    assert SECRET not in repr(answers)
    assert with_answers(SwitchFacts(), answers).found


def test_a_simulated_switch_does_not_have_the_module() -> None:
    async def scene() -> ModuleAnswers | UnreadPart:
        async with serve() as server:
            return await ask_switch(EndpointUrl.parse(f"esl://127.0.0.1:{server.port}"))

    answers = asyncio.run(scene())
    assert isinstance(answers, ModuleAnswers)
    assert (answers.loaded, answers.active, answers.destinations) == (False, None, ())
    assert answers.default_password


@pytest.mark.parametrize("answers", [(), (GREETING, reply("-ERR invalid"))])
def test_a_switch_that_does_not_answer_is_unread(answers: tuple[bytes, ...]) -> None:
    said = ask(*answers, password=f":{SECRET}@", options="?timeout=0.05")
    assert isinstance(said, UnreadPart)
    assert said.why
    assert SECRET not in said.why
    assert with_answers(SwitchFacts(), said).unread == (said,)


def test_a_user_who_may_not_ask_learns_nothing_and_is_told_nothing_wrong() -> None:
    refused = reply("-ERR permission denied")
    answers = ask(GREETING, ACCEPTED, refused, refused)
    assert isinstance(answers, ModuleAnswers)
    assert (answers.loaded, answers.active) == (None, None)


def test_answers_are_bounded() -> None:
    flood = answers_of("esl:", "maybe", f"225.1.1.1:{PORT} (IPv4 multicast)\n" * 1000 + "x" * 10_000)
    assert (flood.loaded, flood.active, len(flood.destinations)) == (None, None, 16)
