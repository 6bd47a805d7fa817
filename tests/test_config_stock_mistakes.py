"""What is wrong with a file of the module's: told with its line, and with what FreeSWITCH would have done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stock_files import LEAST, PSK, nowhere, read, written

from switchcast.app.config import StockOptions, load_stock
from switchcast.errors import ConfigurationError

MISTAKES = [
    ("", 2, "address: missing; FreeSWITCH would send nowhere"),
    ('<param name="address" value="225.1.1.1"/>', 3, "port: missing; FreeSWITCH would take port 0"),
    ('<param name="address" value=""/>', 3, "a destination is missing"),
    ('<param name="address" value="225.1.1.1,,225.1.1.2"/>', 3, "a destination is missing"),
    (f'<param name="address" value="{",".join(["225.1.1.1"] * 17)}"/>', 3, "FreeSWITCH has room for 16"),
    ('<param name="address" value="225.1.1.1 225.1.1.2"/>', 3, "is neither an address nor a name"),
    (LEAST + '<param name="port" value="424x"/>', 5, 'port: "424x": no port; FreeSWITCH would take it for 424;'),
    (LEAST + '<param name="port" value="70000"/>', 5, "FreeSWITCH would take it for 4464; write 1 to 65535"),
    (LEAST + '<param name="port" value="0"/>', 5, "FreeSWITCH would take it for 0;"),
    (
        LEAST + '<param name="ttl" value="many"/>',
        5,
        'ttl: "many": no TTL; FreeSWITCH would take it for 1; write 0 to 255',
    ),
    (LEAST + '<param name="ttl" value="256"/>', 5, "FreeSWITCH would take it for 1;"),
    (LEAST + '<param name="ttl" value="-1"/>', 5, "FreeSWITCH would take it for 255;"),
    (LEAST + '<param name="ttl" value="3 hops"/>', 5, "FreeSWITCH would take it for 3;"),
    (LEAST + '<param name="loopback" value="maybe"/>', 5, "neither yes nor no; FreeSWITCH would take it for no"),
    (LEAST + '<param name="source_address" value="::1"/>', 5, "no IPv4 address of a host"),
    (LEAST + '<param name="source_address" value="eth0"/>', 5, "no IPv4 address of a host"),
    (LEAST + '<param name="source_address_ipv6" value="127.0.0.1"/>', 5, "no IPv6 address of a host"),
    (LEAST + '<param name="psk" value=""/>', 5, "psk: a key of 0 bytes; 1 to 72 count"),
    (LEAST + f'<param name="psk" value="{PSK * 5}"/>', 5, "psk: a key of 90 bytes; 1 to 72 count"),
    (LEAST + '<param name="bindings" value="$${own_bindings}"/>', 5, "give it with --set own_bindings=value"),
    (LEAST + '<X-PRE-PROCESS cmd="exec" data="id"/>', 5, "X-PRE-PROCESS exec: only set and env-set"),
    (LEAST + '<X-PRE-PROCESS cmd="include" data="*.xml"/>', 5, "X-PRE-PROCESS include: only set and env-set"),
    (LEAST + '<X-PRE-PROCESS cmd="set" data="name"/>', 5, 'write data="name=value"'),
    (LEAST + '<X-PRE-PROCESS cmd="env-set" data="name=NO_SUCH"/>', 5, "the environment has no NO_SUCH; set it"),
    (LEAST + "<param", 6, "not XML: "),
    (LEAST + "&xxe;", 5, "not XML: undefined entity"),
]


@pytest.mark.parametrize(("params", "line", "words"), MISTAKES)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, params: str, line: int, words: str) -> None:
    path = written(tmp_path, params)
    with pytest.raises(ConfigurationError) as raised:
        load_stock(path, {})
    message = str(raised.value)
    assert message.splitlines()[0].startswith(f"{path}:{line}: ")
    assert words in message.splitlines()[0]
    assert raised.value.exit_code == 78
    assert PSK not in message


def test_all_mistakes_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, {"address": "a b", "port": "x", "ttl": "x", "loopback": "x"})
    with pytest.raises(ConfigurationError) as raised:
        load_stock(path, {})
    assert re.findall(r":(\d+): (\w+): ", str(raised.value)) == [
        ("3", "address"), ("4", "port"), ("5", "ttl"), ("6", "loopback")
    ]  # fmt: skip


def test_a_mistake_that_shows_later_has_the_params_line(tmp_path: Path) -> None:
    path = written(tmp_path, LEAST + '<param name="bindings" value="' + "A " * 1100 + '"/>')
    with pytest.raises(ConfigurationError, match=rf"^{re.escape(str(path))}:5: route\[1\].bindings: "):
        load_stock(path, {})


def test_an_unknown_param_is_a_warning_for_stock_ignores_it(tmp_path: Path) -> None:
    stock = read(tmp_path, LEAST + '<param name="loopbak" value="yes"/>\n<param name="bindings" value="all"/>')
    (warning,) = stock.warnings
    assert warning.endswith(":5: loopbak: unknown, so it does nothing, as in stock; did you mean loopback?")
    assert stock.loopback is False


def test_unknown_bindings_are_a_warning_with_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, LEAST + '<param name="bindings" value="HEARTBEET"/>')
    assert any(f"{path}:5: route[1].bindings: unknown event" in each for each in load_stock(path, {}).warnings)


BOMB = """<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<configuration name="event_multicast.conf"><settings><param name="address" value="&c;"/></settings></configuration>"""
EXTERNAL = """<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY xxe SYSTEM "file:///etc/passwd">]>
<configuration name="event_multicast.conf">&xxe;</configuration>"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, ":1: has a document type"),
        (EXTERNAL, ":2: has a document type"),
        ('<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>', ":1: has a document type"),
        ('<configuration name="sofia.conf"/>', "this is sofia.conf, not event_multicast.conf"),
        ("<document/>", 'there is no <configuration name="event_multicast.conf">'),
        ("", "not XML: no element found"),
        ("[node]", "not XML: "),
    ],
)
def test_what_is_not_the_modules_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        load_stock(path, {})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=20), value=st.text(max_size=40), raw=st.booleans())
def test_any_file_is_a_configuration_or_a_mistake(tmp_path: Path, name: str, value: str, raw: bool) -> None:
    path = tmp_path / "a.xml"
    quoted = value if raw else "".join(f"&#{ord(each)};" for each in value)
    params = "".join(f'<param name="{each}" value="{quoted}"/>' for each in (name, "address", "bindings", "psk"))
    text = f'<configuration name="event_multicast.conf"><settings>{LEAST}{params}</settings></configuration>'
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_stock(path, {}, StockOptions(is_own=nowhere))
    except ConfigurationError as error:
        assert str(error)  # noqa: PT017 - one or the other
