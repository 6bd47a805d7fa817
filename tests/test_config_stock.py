"""The module's own XML: every param with stock's defaults, what it means here, and what is wrong with one."""

from __future__ import annotations

import asyncio
import ipaddress
import tomllib
from pathlib import Path

import pytest
from ports import free_port
from stock_files import LEAST, PSK, VANILLA, nowhere, read, stocked, written

from switchcast import Event
from switchcast.app.config import Configuration, StockOptions, load, load_either, load_stock
from switchcast.app.config.stock import PSK_FILE, as_toml, is_own_address
from switchcast.app.config.stock_xml import read_stock
from switchcast.endpoints import make_endpoint
from switchcast.errors import ConfigurationError


def urls(configuration: Configuration) -> dict[str, str]:
    return {name: str(endpoint.url) for name, endpoint in configuration.endpoints.items()}


def test_the_vanilla_file_is_what_a_fresh_freeswitch_does() -> None:
    configuration = load_either(VANILLA, {})
    assert urls(configuration) == {
        "switch": "esl://127.0.0.1:8021",
        "group": "multicast://225.1.1.1:4242?ttl=1&loopback=no",
    }
    out, back = configuration.routes
    assert (out.source, out.to, out.bindings, out.where, out.policy) == ("switch", ("group",), "all", None, "all")
    assert (back.source, back.to, back.bindings, back.where, back.policy) == ("group", ("switch",), "all", None, "all")
    assert configuration.path == VANILLA
    assert (out.trust, back.trust) == (None, "stock")
    assert [warning.partition(": ")[2] for warning in configuration.warnings] == [
        (
            'route[2].trust: "stock": whoever can send a datagram to group can have switch take over, by the route '
            "group-to-switch, registrations, presence and lamps that it makes up"
        ),
        "endpoints.switch: no password_file: the password that every FreeSWITCH is shipped with is tried",
    ]


def test_every_param_is_read(tmp_path: Path) -> None:
    stock = read(
        tmp_path,
        {
            "ADDRESS": " 225.1.1.1, ff15::1 ,192.0.2.7,fs2.example.com",
            "port": " 4243 ",
            "bindings": "HEARTBEAT CUSTOM sofia::register",
            "ttl": "4",
            "loopback": "yes",
            "source_address": "192.0.2.1",
            "source_address_ipv6": "2001:db8::1",
            "psk": PSK,
        },
    )
    assert stock.address == ("225.1.1.1", "ff15::1", "192.0.2.7", "fs2.example.com")
    assert (stock.port, stock.bindings) == (4243, "HEARTBEAT CUSTOM sofia::register")
    assert (stock.ttl, stock.loopback, stock.psk) == (4, True, PSK)
    assert (stock.source_address, stock.source_address_ipv6) == ("192.0.2.1", "2001:db8::1")
    assert stock.lines["port"] == 4
    assert stock.warnings == []
    assert PSK not in repr(stock)


def test_absent_params_are_as_in_stock(tmp_path: Path) -> None:
    stock = read(tmp_path, {"address": "225.1.1.1", "port": "4242", "bindings": "all"})
    assert (stock.ttl, stock.loopback, stock.source_address, stock.source_address_ipv6, stock.psk) == (
        1,
        False,
        None,
        None,
        None,
    )


def test_the_last_param_of_a_name_counts(tmp_path: Path) -> None:
    params = '<param name="port" value="1"/><param name="port" value="2"/><param name="address" value="225.1.1.1"/>'
    assert read(tmp_path, params).port == 2


@pytest.mark.parametrize(
    ("value", "loopback"),
    [("yes", True), ("TRUE", True), ("on", True), ("t", True), ("allow", True), ("2", True), ("0", False),
     ("no", False), ("false", False), ("", False)],
)  # fmt: skip
def test_loopback_takes_every_word_that_freeswitch_takes(tmp_path: Path, value: str, loopback: bool) -> None:
    group = stocked(tmp_path, loopback=value).endpoints["group"]
    assert group.url.boolean("loopback", True) is loopback


def test_a_ttl_of_zero_is_one(tmp_path: Path) -> None:
    assert stocked(tmp_path, ttl="0").endpoints["group"].url.text("ttl") == "0"
    assert stocked(tmp_path, ttl="255").endpoints["group"].url.text("ttl") == "255"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"address": "192.0.2.7"}, {"group": "udp://192.0.2.7:4242", "unicast": "udp://0.0.0.0:4242?share=yes"}),
        ({"address": "2001:db8::7"}, {"group": "udp://[2001:db8::7]:4242", "unicast": "udp://[::]:4242?share=yes"}),
        ({"address": "ff15::1"}, {"group": "multicast://[ff15::1]:4242?ttl=1&loopback=no"}),
        (
            {"address": "192.0.2.7,225.1.1.1,225.1.1.2,ff15::1", "ttl": "3"},
            {
                "group": "multicast://225.1.1.1,225.1.1.2,[ff15::1],192.0.2.7:4242?ttl=3&loopback=no",
                "unicast": "udp://0.0.0.0,[::]:4242?share=yes",
            },
        ),
        (
            {"source_address": "192.0.2.1"},
            {"group": "multicast://225.1.1.1:4242?ttl=1&loopback=no&source_address=192.0.2.1"},
        ),
        (
            {"source_address_ipv6": "2001:db8::1"},
            {"group": "multicast://225.1.1.1:4242?ttl=1&loopback=no"},
        ),
        (
            {"address": "225.1.1.1,ff15::1", "source_address": "192.0.2.1", "source_address_ipv6": "2001:db8::1"},
            {
                "group": "multicast://225.1.1.1:4242?ttl=1&loopback=no&source_address=192.0.2.1",
                "group6": "multicast://[ff15::1]:4242?ttl=1&loopback=no&source_address=2001:db8::1",
            },
        ),
        (
            {"address": "225.1.1.1,ff15::1", "source_address_ipv6": "2001:db8::1"},
            {"group": "multicast://225.1.1.1,[ff15::1]:4242?ttl=1&loopback=no&source_address=2001:db8::1"},
        ),
        (
            {"address": "192.0.2.7", "source_address": "192.0.2.1"},
            {"group": "udp://192.0.2.7:4242?source_address=192.0.2.1", "unicast": "udp://192.0.2.1:4242?share=yes"},
        ),
        (
            {"address": "fs2.example.com"},
            {"group": "udp://fs2.example.com:4242", "unicast": "udp://0.0.0.0:4242?share=yes"},
        ),
        ({"psk": PSK}, {"group": "multicast://225.1.1.1:4242?ttl=1&loopback=no&psk=***"}),
    ],
)
def test_destinations_become_endpoints(tmp_path: Path, params: dict[str, str], expected: dict[str, str]) -> None:
    configuration = stocked(tmp_path, **params)
    assert urls(configuration) == {"switch": "esl://127.0.0.1:8021"} | expected
    sinks = tuple(name for name in expected if name != "unicast")
    assert configuration.routes[0].to == sinks
    heard = {route.source for route in configuration.routes[1:]}
    assert heard == {name for name, url in expected.items() if url.startswith("multicast:") or name == "unicast"}


def test_without_bindings_nothing_is_sent_and_that_is_said(tmp_path: Path) -> None:
    configuration = stocked(tmp_path, bindings="")
    assert [route.name for route in configuration.routes] == ["group-to-switch"]
    assert any("bindings: none, so this host sends nothing" in warning for warning in configuration.warnings)


def test_this_hosts_own_address_is_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, {"address": "192.0.2.7,192.0.2.8", "port": "4242", "bindings": "all"})
    own = StockOptions(is_own=lambda address: str(address) == "192.0.2.7")
    configuration = load_stock(path, {}, own)
    assert configuration.endpoints["group"].url.hosts == ("192.0.2.8",)
    assert f"{path}:3: address: 192.0.2.7 is this host's own; skipped, as in stock" in configuration.warnings


def test_which_addresses_are_this_hosts_own() -> None:
    """Loopback is not skipped, for stock compares with the address of the host's route only."""
    for text in ("192.0.2.77", "225.1.1.1", "127.0.0.1", "::1", "0.0.0.0", "2001:db8::77"):  # noqa: S104 - not bound
        assert not is_own_address(ipaddress.ip_address(text))


def test_the_switch_can_be_another(tmp_path: Path) -> None:
    path = written(tmp_path, {"address": "225.1.1.1", "port": "4242", "bindings": "all"})
    configuration = load_stock(path, {}, StockOptions(switch="esl://192.0.2.9:8022"))
    assert urls(configuration)["switch"] == "esl://192.0.2.9:8022"
    environ = {"SWITCHCAST_ENDPOINTS__SWITCH__URL": "esl://192.0.2.10", "SWITCHCAST_NODE__NAME": "fs1"}
    configuration = load_stock(path, environ)
    assert urls(configuration)["switch"] == "esl://192.0.2.10"
    assert configuration.node.name == "fs1"
    with pytest.raises(ConfigurationError, match=r"^--switch: endpoints.switch.url: .*password_file = ") as raised:
        load_stock(path, {}, StockOptions(switch=f"esl://:{PSK}@192.0.2.9"))
    assert PSK not in str(raised.value)


def test_variables_are_expanded(tmp_path: Path) -> None:
    before = (
        '<include><X-PRE-PROCESS cmd="set" data="base=225.1"/><X-PRE-PROCESS cmd="set" data="group=$${base}.1.1"/>'
        '<X-PRE-PROCESS cmd="env-set" data="other=FROM_ENV"/>'
    )
    path = written(tmp_path, {"address": "$${group},$${other}", "port": "$${port}", "bindings": "a=$${eq}"}, before)
    path.write_text(path.read_text() + "</include>")
    stock = read_stock(path, {"port": "4243", "eq": "b=c"}, {"FROM_ENV": "225.9.9.9"})
    assert (stock.address, stock.port, stock.bindings) == (("225.1.1.1", "225.9.9.9"), 4243, "a=b=c")
    assert (
        read_stock(path, {"port": "1", "eq": "", "group": "225.7.7.7"}, {"FROM_ENV": "225.9.9.9"}).address[0]
        == "225.7.7.7"
    )


def test_one_configuration_of_several_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, {"address": "225.1.1.1", "port": "4242", "bindings": "all"})
    other = '<configuration name="other.conf"><settings><param name="port" value="x"/></settings></configuration>'
    path.write_text(f'<?xml version="1.0" encoding="ISO-8859-1"?>\n<section>{other}{path.read_text()}{other}</section>')
    assert read_stock(path, {}, {}).port == 4242


@pytest.mark.parametrize("psk", [None, PSK])
@pytest.mark.parametrize("address", ["225.1.1.1", "225.1.1.1,ff15::1,192.0.2.7,fs2.example.com", "2001:db8::7"])
def test_what_convert_writes_means_the_same(tmp_path: Path, address: str, psk: str | None) -> None:
    params = {"address": address, "port": "4243", "bindings": "HEARTBEAT CUSTOM sofia::register", "ttl": "2"}
    path = written(tmp_path, params | ({"psk": psk} if psk else {}))
    key = tmp_path / "psk"
    key.touch(0o600)
    key.write_text(f"{psk}\n")
    options = StockOptions(is_own=nowhere)
    text, _ = as_toml(read_stock(path, {}, {}), path, str(key), options)
    assert PSK not in text
    converted = tmp_path / "switchcast.toml"
    converted.write_text(text)
    theirs, ours = load_stock(path, {}, options), load(converted, {})
    assert ours.routes == theirs.routes
    for name, endpoint in theirs.endpoints.items():
        other = ours.endpoints[name]
        assert (
            endpoint.url.secret("psk")
            == other.url.secret("psk")
            == (psk.encode() if psk and name != "switch" else None)
        )
        assert (endpoint.url.hosts, endpoint.url.port) == (other.url.hosts, other.url.port)
        assert endpoint.fingerprints == other.fingerprints


def test_the_key_of_a_converted_file_stands_elsewhere(tmp_path: Path) -> None:
    stock = read(tmp_path, LEAST + f'<param name="psk" value="{PSK}"/><param name="bindings" value="all"/>')
    text, _ = as_toml(stock, Path("a.xml"), PSK_FILE, StockOptions())
    assert tomllib.loads(text)["endpoints"]["group"]["psk_file"] == "/etc/switchcast/group.psk"
    assert PSK not in text


@pytest.mark.parametrize(
    ("address", "source"), [("127.0.0.1", {}), ("::1", {}), ("127.0.0.1", {"source_address": "127.0.0.1"})]
)
def test_unicast_under_a_key_arrives_on_real_sockets(tmp_path: Path, address: str, source: dict[str, str]) -> None:
    params = {"address": address, "port": str(free_port()), "bindings": "all", "psk": PSK} | source
    configuration = load_stock(written(tmp_path, params), {})
    sink, listening = configuration.endpoints["group"].url, configuration.endpoints["unicast"].url
    event = Event("HEARTBEAT", {"FreeSWITCH-Switchname": "fs1"})

    async def there() -> Event:
        async with make_endpoint(listening, role="source") as heard, make_endpoint(sink, role="sink") as sent:
            await sent.send([event])
            async with asyncio.timeout(30):
                return await anext(aiter(heard))

    assert asyncio.run(there()).sender == "fs1"


def test_unicast_is_sent_from_the_source_address(tmp_path: Path) -> None:
    port = free_port()
    configuration = load_stock(
        written(
            tmp_path, {"address": "127.0.0.1", "port": str(port), "bindings": "all", "source_address": "127.0.0.2"}
        ),
        {},
    )

    async def there() -> Event:
        async with (
            make_endpoint(f"udp://127.0.0.1:{port}", role="source") as heard,
            make_endpoint(configuration.endpoints["group"].url, role="sink") as sent,
        ):
            await sent.send([Event("HEARTBEAT", {"FreeSWITCH-Switchname": "fs1"})])
            async with asyncio.timeout(30):
                return await anext(aiter(heard))

    assert (asyncio.run(there()).source or "").startswith("127.0.0.2:")
