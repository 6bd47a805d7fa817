"""Mistakes in configurations: each gives one clear line, with the right place, the mend, exit code 78 and no secret."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from configurations import FULL, KEYED, SECRETS, TWO_ENDPOINTS, lay_out, loaded, outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyfiles import group, written

from switchcast.app.config import Configuration, load
from switchcast.errors import ConfigurationError

SWITCH, GROUP = '[endpoints.switch]\nurl = "esl://127.0.0.1"\n', '[endpoints.group]\nurl = "multicast://239.192.1.1"\n'
SEALED = GROUP + 'mode = "sealed"\nkey_file = "{folder}/group.key"\n'
"""Four lines."""
BOTH = SWITCH + GROUP
"""Four lines."""
ROUTE = BOTH + '[[route]]\nfrom = "switch"\nto = ["group"]\n'
"""Seven lines."""
RECORDINGS = '[endpoints.old]\nurl = "file:/srv/a.jsonl"\n[endpoints.new]\nurl = "file:/srv/../srv/a.jsonl"\n'
"""Four lines."""
RULE = '[[rule]]\nname = "r"\n'
"""Two lines."""

MISTAKES = [
    # the file itself
    ("[node", 1, "at the end of the file: a table's name is not closed; its ] is missing"),
    ("[node]\nname = fs1", 2, "column 8: no value of TOML; write a text in quotes"),
    ('[node]\nname = "fs1', 2, "a text is not closed; its quotes are missing"),
    ('[node]\nname "fs1"', 2, "write key = value"),
    ('[node]\nname = "a" drain = "5s"', 2, "something follows the value; write one key on a line"),
    ('[node]\nname = "a"\nname = "b"', 3, "this key stands twice; leave one out"),
    ("[node]\n[log]\n[node]", 3, "cannot declare ('node',) twice"),
    ("[[route]]\nto = [1, 2", 2, "a list is not closed; its ] is missing"),
    ("node = yes", 1, "yes and no as true and false"),
    ("<configuration>", 1, "no statement of TOML"),
    ("a = " + "[" * 2000, None, "its lists are nested too deep"),
    ("a = " + "9" * 5000, None, "not TOML: "),
    # tables and keys
    ("[nod]", 1, "nod: unknown key; did you mean node?"),
    ("nam = 1", 1, "nam: unknown key; there are node, log"),
    ('[node]\nnam = "a"', 2, "node.nam: unknown key; did you mean name?"),
    ("node = 5", 1, "node: 5: write a table"),
    ('endpoints = ["a"]', 1, "endpoints: a list: write a table"),
    ("[route]", 1, "route: a table: write a list in brackets"),
    ('[node]\nname = ""', 2, 'node.name: "": empty; give a text'),
    ("[node]\nname = 7", 2, "node.name: 7: write a text in quotes"),
    ("[node]\nname = '" + "n" * 300 + "'", 2, "255"),
    ('[node]\ndrain = "soon"', 2, 'node.drain: "soon": write a length of time as 500ms, 20s, 5m, 1h or 2d'),
    ("[node]\ndrain = -1", 2, "node.drain: -1: a length of time is more than 0"),
    ('[node]\nstate_dir = "state"', 2, 'node.state_dir: "state": write an absolute path'),
    ('[log]\nlevel = "debugg"', 2, 'log.level: "debugg": none of debug, info, warning, error; did you mean debug?'),
    ("[log]\nformat = true", 2, "log.format: true: none of console, json"),
    ('[metrics]\nlisten = "9747"', 2, "metrics.listen: \"9747\": '9747' is no address with a port; write an address"),
    ('[metrics]\nlisten = "::1:9747"', 2, "is no address with a port; write an address"),
    ('[metrics]\nlisten = "127.0.0.1:99999"', 2, "is no address with a port"),
    ('[metrics]\nlisten = "fs1:9747"', 2, "is no IP address; write an address and a port"),
    ('[metrics]\nlisten = "0.0.0.0:9747"', 1, "can be reached from other hosts; write 127.0.0.1:9747, or allow it by"),
    ('[control]\nsocket = "control.sock"', 2, "control.socket: "),
    ('[control]\nsocket = "/' + "s" * 200 + '"', 2, "a socket's path has at most 107 bytes"),
    ("[peers]\ntimeout = 0", 2, "peers.timeout: 0: a length of time is more than 0"),
    (
        '[peers]\nto = ["switch"]',
        2,
        'peers.to[1]: "switch": there is no [endpoints.switch]; there are no endpoints yet',
    ),
    ("[peers]\ntimeot = 1", 2, "peers.timeot: unknown key; did you mean timeout?"),
    # endpoints
    ("[endpoints.a]", 1, 'endpoints.a.url: missing; for example url = "multicast://'),
    ('[endpoints."a b"]\nurl = "memory:a"', 1, "a name has letters, digits, '.', '_' and '-'"),
    ('[endpoints.a]\nurl = ""', 2, "endpoints.a.url: "),
    ('[endpoints.a]\nurl = "239.192.1.1"', 2, "has no scheme"),
    ('[endpoints.a]\nurl = "multicats://239.192.1.1"', 2, "did you mean multicast:?"),
    ('[endpoints.a]\nurl = "multicast://239.192.1.1?interfaces=lo"', 2, "did you mean 'interface'?"),
    ('[endpoints.a]\nurl = "multicast://239.192.1.1?ttl=300"', 2, "ttl=300 is out of range; 0 to 255 are allowed"),
    ('[endpoints.a]\nurl = "multicast://239.192.1.1?source=fs1"', 2, "source='fs1' is no IP address"),
    ('[endpoints.a]\nurl = "udp://192.0.2.1?source_address=lo"', 2, "source_address='lo' is no IP address"),
    ('[endpoints.a]\nurl = "multicast://192.0.2.1"', 2, "no multicast group"),
    ('[endpoints.a]\nurl = "udp://239.192.1.1"', 2, "write multicast:// instead of udp://"),
    ('[endpoints.a]\nurl = "multicast://ff15::1:4242"', 2, "an IPv6 address stands in brackets"),
    ('[endpoints.a]\nurl = "esl://127.0.0.1:port"', 2, "the port 'port' is not a number"),
    ('[endpoints.a]\nurl = "sim://?nodes=none"', 2, "nodes='none' is not a whole number"),
    (
        '[endpoints.a]\nurl = "esl://:seven-slow-herons@127.0.0.1"',
        2,
        'write password_file = "/etc/switchcast/a.password"',
    ),
    ('[endpoints.a]\nurl = "esl://127.0.0.1?password=seven-slow-herons"', 2, "a configuration holds no secrets"),
    ('[endpoints.a]\nurl = "udp://192.0.2.1?psk=seven-slow-herons"', 2, 'write psk_file = "/etc/switchcast/a.psk"'),
    ('[endpoints.a]\nurl = "memory:a"\npassword = "seven-slow-herons"', 3, "unknown key; did you mean password_file?"),
    ('[endpoints.a]\nurl = "memory:a"\nqueue = 0', 3, "endpoints.a.queue: 0: out of range; at least 1 is allowed"),
    ('[endpoints.a]\nurl = "memory:a"\nqueue = "many"', 3, 'endpoints.a.queue: "many": write a whole number'),
    ('[endpoints.a]\nurl = "memory:a"\noverflow = "drop"', 3, "none of drop-oldest, drop-newest, block"),
    # secrets
    (GROUP + 'psk_file = "/nowhere/key"', 3, 'endpoints.group.psk_file: "/nowhere/key": no such file'),
    (GROUP + 'psk_file = "group.psk"', 3, "write an absolute path, or credential:NAME"),
    (GROUP + 'psk_file = "{folder}"', 3, "Is a directory, though it should hold a secret"),
    (GROUP + 'psk_file = "{folder}/open.key"', 3, "others may read this secret (mode 0644); run: chmod 600"),
    (GROUP + 'psk_file = "{folder}/empty.key"', 3, "is empty, though it should hold a secret"),
    (GROUP + 'psk_file = "{folder}/long.key"', 3, "1 to 72 bytes"),
    (GROUP + 'psk_file = "credential:psk"', 3, "$CREDENTIALS_DIRECTORY is not set"),
    (GROUP + 'psk_file = "credential:../psk"', 3, "a credential's name has letters"),
    (GROUP + 'password_file = "{folder}/esl.password"', 3, "multicast: endpoints take no password_file"),
    (
        '[endpoints.a]\nurl = "udp://192.0.2.1?psk_file=/a"\npsk_file = "{folder}/group.psk"',
        3,
        "is given in the URL too; keep it here",
    ),
    ('[endpoints.a]\nurl = "udp://192.0.2.1?psk_file={folder}/long.key"', 2, "1 to 72 bytes"),
    # modes and their keys
    (
        GROUP + 'mode = "seeled"',
        3,
        'endpoints.group.mode: "seeled": none of stock, traced, sealed; did you mean sealed?',
    ),
    (
        GROUP + 'mode = "sealed"',
        3,
        'endpoints.group.mode: "sealed": sealed needs a key_file; make one with: switchcast',
    ),
    (
        SEALED[:-1].replace("mode = ", 'mode = "stock" # '),
        4,
        "key_file goes with mode traced or sealed; add one of them",
    ),
    (GROUP + 'cipher = "aes-256-gcm"\nkeep = "2MiB"', 3, "cipher, keep go with mode traced or sealed; add one of them"),
    (GROUP + 'stock = "reject"', 3, 'endpoints.group.stock: "reject": stock goes with mode traced or sealed'),
    (GROUP + 'signers_file = "{folder}/signers"', 3, "signers_file goes with mode traced or sealed"),
    (GROUP + 'mode = "traced"\nsigners_file = "{folder}/signers"', 4, "needs a key_file; make one with"),
    (GROUP + 'mode = "traced"\nsign_key_file = "{folder}/fs1.signing"', 4, "needs a key_file; make one with"),
    (GROUP + 'mode = "traced"\nrepair = true', 4, "endpoints.group.repair: true: needs a key_file"),
    (GROUP + 'mode = "traced"\nstock = "reject"', 4, "without a key_file every datagram is stock, so none would be"),
    (SEALED + 'stock = "deliver"', 5, "is for mode traced; mode sealed never takes stock datagrams; leave it out"),
    (SEALED + 'stock = "drop"', 5, 'endpoints.group.stock: "drop": none of deliver, reject'),
    (SEALED + 'psk_file = "{folder}/group.psk"', 5, "is for stock datagrams; mode sealed has a key_file in its place"),
    (
        SEALED + 'keep = "1MB"',
        5,
        "endpoints.group.keep: 1000000: out of range; 1MiB, which is the largest event, to 16GiB",
    ),
    (SEALED + 'keep = "17GiB"', 5, "out of range; 1MiB, which is the largest event, to 16GiB are allowed"),
    (SEALED + 'keep = "much"', 5, 'endpoints.group.keep: "much": write a size as 4096, 64KiB, 1MiB or 10MB'),
    (SEALED + 'keep_for = "500ms"', 5, "endpoints.group.keep_for: 0.5: out of range; 1s to 1h are allowed"),
    (SEALED + 'keep_for = "2h"', 5, "out of range; 1s to 1h are allowed"),
    (SEALED + 'repair = "often"', 5, 'endpoints.group.repair: "often": write true or false'),
    (SEALED + 'cipher = "rot13"', 5, 'endpoints.group.cipher: "rot13": none of chacha20-poly1305, aes-256-gcm'),
    (SEALED.replace("group.key", "five.key"), 4, "five.key:7: one key more than the 4 that can be live; retire former"),
    (SEALED.replace("group.key", "twice.key"), 4, "twice.key:2: key c18cea2b stands in line 1 already; leave one out"),
    (SEALED.replace("group.key", "idle.key"), 4, "idle.key: has no key to send with; write send in place of receive"),
    (SEALED.replace("group.key", "open.key"), 4, "others may read this secret (mode 0644); run: chmod 600"),
    (SEALED.replace("group.key", "empty.key"), 4, "empty.key: holds no key; make one with: switchcast key new FILE"),
    (SEALED.replace("group.key", "group.psk"), 4, "group.psk:1: has 1 word; a key is id, secret, state and day made"),
    (SEALED.replace("group.key", "fs1.signing"), 4, "fs1.signing:2: this is a signing key; name it as sign_key_file"),
    (SEALED.replace("group.key", "none"), 4, "no such file, though it should hold keys"),
    (SEALED.replace("{folder}/", ""), 4, "write an absolute path, or credential:NAME for one of systemd's credentials"),
    (SEALED + 'sign_key_file = "{folder}/group.key"', 5, "group.key:3: this is a group's key; name it as key_file"),
    (
        SEALED + 'signers_file = "{folder}/fs1.signing"',
        5,
        "fs1.signing:2: this is a secret; what belongs here is printed",
    ),
    (SEALED + 'signers_file = "{folder}/wide"', 5, "others may change who is believed (mode 0666); run: chmod go-w"),
    (SWITCH + 'mode = "sealed"', 3, "endpoints.switch.mode: esl: endpoints take no mode; leave it out"),
    (
        SWITCH + 'key_file = "{folder}/group.key"',
        3,
        "endpoints.switch.key_file: esl: endpoints take no key_file; leave",
    ),
    ('[endpoints.a]\nurl = "esl://127.0.0.1?mode=sealed"', 2, "unknown option 'mode' for esl: endpoints"),
    ('[endpoints.a]\nurl = "udp://192.0.2.1?mode=sealed"', 2, "sealed needs a key_file"),
    ('[endpoints.a]\nurl = "udp://192.0.2.1?mode=sealed&key_file={folder}/five.key"', 2, "five.key:7: one key more"),
    ('[endpoints.a]\nurl = "udp://192.0.2.1?mode=traced&repair=maybe"', 2, "neither yes nor no"),
    (
        '[endpoints.a]\nurl = "udp://192.0.2.1?mode=traced"\nmode = "traced"',
        3,
        "mode is given in the URL too; keep it here",
    ),
    # routes
    (BOTH + '[[route]]\nto = ["group"]', 5, 'route[1].from: missing; for example from = "switch"'),
    (BOTH + '[[route]]\nfrom = "switch"', 5, 'route[1].to: missing; for example to = ["group"]'),
    (BOTH + '[[route]]\nfrom = "switch"\nto = [5]', 7, "route[1].to[1]: 5: write a text in quotes"),
    (BOTH + '[[route]]\nfrom = "switch"\nto = []', 7, "route[1].to: a list: empty; give at least one"),
    (BOTH + '[[route]]\nfrom = "switch"\nto = "group"', 7, 'route[1].to: "group": write a list in brackets'),
    (
        BOTH + '[[route]]\nfrom = "swich"\nto = ["group"]',
        6,
        'route[1].from: "swich": there is no [endpoints.swich]; did you',
    ),
    (
        BOTH + '[[route]]\nfrom = "switch"\nto = ["group",\n"grup"]',
        8,
        'route[1].to[2]: "grup": there is no [endpoints.grup]',
    ),
    (BOTH + '[[route]]\nfrom = "switch"\nto = ["group", "group"]', 7, "stands twice; leave one out"),
    (BOTH + '[[route]]\nfrom = "switch"\nto = ["switch"]', 7, "events would go back to where they come from"),
    (RECORDINGS + '[[route]]\nfrom = "old"\nto = ["new"]', 7, '"new": writes to where old reads; give it another'),
    (
        SWITCH + '[endpoints.sim]\nurl = "sim://"\n[[route]]\nfrom = "switch"\nto = ["sim"]',
        7,
        'route[1].to[1]: "sim": sim: can be listened to but not sent to',
    ),
    (
        GROUP + '[endpoints.f]\nurl = "file:a.txt"\n[[route]]\nfrom = "group"\nto = ["f"]',
        4,
        "endpoints.f.url: ",
    ),
    (ROUTE + 'bindings = ""', 8, "the bindings are empty; write all"),
    (ROUTE + "where = 'nam == \"a\"'", 8, "column 1: unknown name nam"),
    (ROUTE + "where = 'h[\"a\" == 1'", 8, "column 11: the condition ends where ']' is missing"),
    (ROUTE + 'policy = "clusterr"', 8, "there is no [policies.clusterr]; did you mean cluster?"),
    (ROUTE + 'deduplicate = "maybe"', 8, 'route[1].deduplicate: "maybe": write true or false'),
    (ROUTE + 'alow = ["192.0.2.1"]', 8, "route[1].alow: unknown key; did you mean allow?"),
    (ROUTE + 'name = "a"\n[[route]]\nname = "a"\nfrom = "group"\nto = ["switch"]', 10, "another route has this name"),
    (ROUTE + 'allow = ["192.0.2.1"]', 8, "events from esl: have no sender's address"),
    (
        BOTH + '[[route]]\nfrom = "group"\nto = ["switch"]\nallow = ["192.0.2.1",\n"192.0.2.1/24"]',
        9,
        "for the network write 192.0.2.0/24, for one host 192.0.2.1",
    ),
    (BOTH + '[[route]]\nfrom = "group"\nto = ["switch"]\nallow = ["fs1"]', 8, '"fs1": no IP address or network'),
    # policies
    ("[policies.p]", 1, "policies.p: no event passes"),
    ('[policies.p]\nevents = "all"\nvalues = {{ a = "rot13" }}', 3, "policies.p.values: "),
    ('[policies.p]\nevents = "all"\nvalues = {{ a = "hash" }}', 1, "hash needs key_file"),
    (
        '[policies.p]\nevents = "all"\nvalues = {{ a = "hash" }}\nkey_file = "{folder}/short.key"',
        4,
        "the key in it has 5 bytes, and at least 16 are needed",
    ),
    ('[policies.p]\nevents = "all"\nheders = []', 3, "policies.p.heders: unknown key; did you mean headers?"),
    # rules
    (RULE, 1, "rule[1]: the rule r does nothing; give it one of run, webhook"),
    (RULE + 'log = "a"\nemit = {{to = ["a"], subclass = "a::b"}}', 1, "a rule does one thing; make two rules"),
    (RULE + 'run = ["ls"]', 3, "the program 'ls' is not absolute"),
    (RULE + 'run = "ls -l"', 3, "there is no shell"),
    (RULE + "run = []", 3, "rule[1].run.command: "),
    (RULE + 'log = "{{nam}}"', 3, "rule[1].log.message: "),
    (RULE + 'log = "a"\non = ""', 4, "rule[1].on: "),
    (RULE + 'log = "a"\nwhere = "nam"', 4, "rule[1].where: "),
    (RULE + 'log = "a"\n' + RULE + 'log = "b"', 5, 'rule[2].name: "r": another rule has this name'),
    (
        RULE + 'emit = {{to = ["a"], subclass = "a::b"}}',
        3,
        'rule[1].emit.to[1]: "a": there is no [endpoints.a]; there are no endpoints yet',
    ),
    (RULE + '[rule.esl-api]\nendpoint = "a"\ncommand = ["status"]', 4, "rule[1].esl-api.endpoint: "),
    (RULE + '[rule.esl_api]\nendpoint = "a"\ncommand = ["status"]', 4, "rule[1].esl-api.endpoint: "),
    (GROUP + RULE + '[rule.esl-api]\nendpoint = "group"\ncommand = ["status"]', 6, "is multicast: and no switch"),
    (RULE + 'webhook = "https://u:seven-slow-herons@example.com/"', 3, "holds no user or password"),
    (
        RULE + 'webhook = {{url = "https://example.com/", secret_file = "/nowhere/key"}}',
        3,
        'rule[1].webhook.secret_file: "/nowhere/key": no such file',
    ),
    (RULE + 'log = "a"\ndelivery = "twice"', 4, "none of at-most-once, at-least-once"),
]
"""A configuration, the line of its one mistake, and words of the message."""


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len({text for text, _, _ in MISTAKES}) == len(MISTAKES) >= 60


@pytest.mark.parametrize(("text", "line", "words"), MISTAKES)
def test_a_mistake_is_one_clear_line(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    for name, secret in (("open", "a"), ("empty", ""), ("long", "k" * 73), ("short", "short")):
        (tmp_path / f"{name}.key").write_text(secret)
        (tmp_path / f"{name}.key").chmod(0o644 if name == "open" else 0o600)
    text_of_one = group().text().splitlines()[-1]
    written(tmp_path / "five.key", group(5))
    written(tmp_path / "twice.key", f"{text_of_one}\n{text_of_one}\n")
    written(tmp_path / "idle.key", text_of_one.replace("send", "receive"))
    written(tmp_path / "wide", "", 0o666)
    with pytest.raises(ConfigurationError) as raised:
        loaded(tmp_path, text)
    message = str(raised.value)
    place = f"{tmp_path}/switchcast.toml:" + ("" if line is None else f"{line}: ")
    assert message.startswith(place)
    assert words in message
    assert message.count("\n") == 0
    assert raised.value.exit_code == 78
    assert not any(secret in message for secret in SECRETS)


@pytest.mark.parametrize(
    "text",
    [
        GROUP + 'psk_file = "seven-slow-herons"',
        '[policies.p]\nevents = "all"\nvalues = {{ a = "hash" }}\nkey_file = "seven-slow-herons"',
        RULE + 'webhook = {{url = "https://a.b/", secret_file = "seven-slow-herons"}}',
        RULE + 'webhook = {{url = "https://a.b/", header_files = {{ "X-A" = "seven-slow-herons" }} }}',
        RULE + 'webhook = {{url = "https://a.b/", headers = {{ Authorization = "seven-slow-herons\\n" }} }}',
        RULE + 'webhook = "https://u:seven-slow-herons@a.b/ c"',
        '[endpoints.a]\nurl = "udp://192.0.2.1?pask=seven-slow-herons"',
        '[endpoints.a]\nurl = "esl://u:seven-slow-herons@127.0.0.1:x"',
        '[endpoints.a]\nurl = "memory:a"\npsk = "seven-slow-herons"',
        'psk = "seven-slow-herons"',
        '[node]\nname = ["seven-slow-herons"]',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        loaded(tmp_path, text)
    assert "herons" not in str(raised.value)


def test_a_rule_behind_a_broken_one_keeps_its_line(tmp_path: Path) -> None:
    text = RULE + '[[rule]]\nname = "s"\nwebhook = {{url = "https://a.b/", secret_file = "/nowhere/key"}}\n'
    with pytest.raises(ConfigurationError) as raised:
        loaded(tmp_path, text)
    assert "switchcast.toml:5: rule[2].webhook.secret_file: " in str(raised.value).splitlines()[1]


def test_all_mistakes_are_told_in_the_files_order(tmp_path: Path) -> None:
    text = """\
[node]
nam = "fs1"
drain = "soon"

[endpoints.switch]
url = "esl://127.0.0.1:8021"
queue = "many"

[endpoints.group]

[[route]]
from = "switch"
to = ["group", "archive"]
where = "nam"

[[route]]
to = ["switch"]

[[route]]
from = "group"
to = ["swich"]
policy = "none"

[[rule]]
name = "a"

[[rule]]
name = "b"
emit = {{ to = ["nowhere"], subclass = "a::b" }}
"""
    with pytest.raises(ConfigurationError) as raised:
        loaded(tmp_path, text, {"SWITCHCAST_LOG__LEVEL": "loud"})
    told = [re.sub(r"^.*?switchcast.toml:", "", line) for line in str(raised.value).splitlines()]
    assert [line.partition(": ")[0] for line in told[1:]] == [
        "2",
        "3",
        "7",
        "9",
        "13",
        "14",
        "16",
        "21",
        "22",
        "24",
        "29",
    ]
    assert told[0].startswith("environment variable SWITCHCAST_LOG__LEVEL")
    assert "route[2].from: missing" in told[7]
    assert 'route[3].to[1]: "swich": there is no [endpoints.swich]; did you mean switch?' in told[8]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.exists, "no such file"),
        (lambda path: path.mkdir(), "is a directory; name a configuration file"),
        (os.mkfifo, "is not a file"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
        (lambda path: path.write_bytes(b"[node]\nname = '\xe4'\n"), ":2: is not UTF-8"),
        (lambda path: path.write_bytes(b"#" * 1_048_577), "is larger than 1,048,576 bytes"),
        (lambda path: path.write_bytes("[node]".encode("utf-16")), ":1: is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "a.toml"
    assert callable(make)
    make(path)
    with pytest.raises(ConfigurationError, match=re.escape(words)) as raised:
        load(path, {})
    assert str(raised.value).startswith(str(path))
    assert raised.value.exit_code == 78


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[node]\r\nname = 'fs1'\r\n", encoding="utf-8-sig", newline="")
    assert load(path, {}).node.name == "fs1"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200) | st.text(st.sampled_from('[]{}=.,"#\n1ab_- '), max_size=80))
def test_any_text_is_a_configuration_or_a_mistake(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    assert str(outcome(path))


PIECES = (FULL + KEYED.replace("endpoints.group", "endpoints.other")).replace("{{", "{").replace("}}", "}").splitlines()
VALUES = [
    "5",
    "-1",
    '""',
    '"a"',
    "true",
    "[]",
    "{}",
    "[[1]]",
    '{ a = "b" }',
    "1979-05-27",
    "nan",
    '"\\u0000"',
    '["a", 1]',
    '"sealed"',
    '"traced"',
    '"{folder}/group.key"',
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_configuration_with_anything_in_it_is_one_or_a_mistake(tmp_path: Path, data: st.DataObject) -> None:
    lines = list(PIECES)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[place].partition(" = ")
        if equals and data.draw(st.booleans()):
            lines[place] = f"{key} = {data.draw(st.sampled_from(VALUES))}"
        elif data.draw(st.booleans()):
            del lines[place]
        else:
            lines.insert(place, lines[data.draw(st.integers(0, len(lines) - 1))])
    path = lay_out(tmp_path, "")
    path.write_text("\n".join(lines).replace("{folder}", str(tmp_path)))
    ended = outcome(path)
    assert not any(secret in f"{ended}{ended!r}" for secret in SECRETS)


def test_the_two_endpoints_of_other_tests_are_right(tmp_path: Path) -> None:
    assert isinstance(outcome(lay_out(tmp_path, TWO_ENDPOINTS)), Configuration)
