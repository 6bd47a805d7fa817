"""Wire modes in configurations and URLs: what is taken, what is shown, and which files are read for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from configurations import KEYED, SIGNING, lay_out, loaded
from hypothesis import given
from hypothesis import strategies as st
from keyfiles import assert_hidden, group, secret, written

from switchcast.app.config import load
from switchcast.endpoints import EndpointUrl, make_endpoint
from switchcast.endpoints.modes import CIPHERS, MODES, Mode
from switchcast.errors import ConfigurationError, EndpointUnavailable, KeyFileError, UrlError
from switchcast.keys import load_signers

MIB = 1024 * 1024


def mode(options: str) -> Mode:
    return Mode.of(EndpointUrl.parse(f"udp://192.0.2.1?{options}"))


def test_a_url_without_a_mode_is_stock() -> None:
    assert mode("") == Mode()
    assert mode("mode=stock").is_stock


def test_a_mode_has_what_a_url_says_and_else_the_usual() -> None:
    assert mode("mode=traced") == Mode(name="traced")
    assert mode("mode=sealed&key_file=a") == Mode(name="sealed", key_file="a", repair=True)
    given = "cipher=aes-256-gcm&repair=no&keep=1MiB&keep_for=2m&sign_key_file=b&signers_file=c&stock=reject"
    assert mode(f"mode=traced&key_file=a&{given}") == Mode(
        name="traced",
        key_file="a",
        cipher="aes-256-gcm",
        repair=False,
        keep=MIB,
        keep_for=120.0,
        sign_key_file="b",
        signers_file="c",
        stock="reject",
    )


modes = st.builds(
    Mode,
    name=st.sampled_from(MODES[1:]),
    key_file=st.just("/a"),
    cipher=st.sampled_from(CIPHERS),
    repair=st.booleans(),
    keep=st.integers(MIB, 16 * 1024 * MIB),
    keep_for=st.floats(1.0, 3600.0).map(lambda seconds: round(seconds, 3)),
    sign_key_file=st.none() | st.just("/b"),
    signers_file=st.none() | st.just("credential:c"),
)


@given(modes, st.sampled_from(["deliver", "reject"]))
def test_a_mode_is_what_its_options_ask_for(given: Mode, stock: str) -> None:
    if given.name == "traced":
        given = replace(given, stock="reject" if stock == "reject" else "deliver")
    options = given.options()
    assert Mode.of(EndpointUrl("udp", ("192.0.2.1",), options=tuple(options.items()))) == given
    assert set(options) >= {"mode", "key_file"}
    assert Mode().options() == {}


def test_every_wrong_option_is_told_at_once() -> None:
    with pytest.raises(UrlError, match=r"keep=1: out of range; 1MiB") as raised:
        mode("mode=sealed&key_file=a&keep=1")
    assert raised.value.exit_code == 2
    with pytest.raises(UrlError, match=r"psk=\*\*\*: psk: is for stock datagrams") as raised:
        mode("mode=sealed&key_file=a&psk=seven-slow-herons")
    assert "herons" not in str(raised.value)


def test_files_are_read_when_they_are_needed(tmp_path: Path) -> None:
    lay_out(tmp_path, "")
    options = "&".join(
        f"{key}={tmp_path}/{name}" for key, name in (("key_file", "group.key"), ("signers_file", "signers"))
    )
    given = mode(f"mode=sealed&{options}&sign_key_file={tmp_path}/fs1.signing")
    assert (given.keys, given.signing, given.signers) == (None, None, ())
    loaded = given.loaded()
    assert loaded.keys == group(2).live()
    assert loaded.signing == SIGNING
    assert loaded.signers == load_signers(f"{tmp_path}/signers")
    assert_hidden(f"{loaded!r}{loaded}", secret(0), secret(1), SIGNING.seed)
    (tmp_path / "group.key").unlink()
    assert loaded.loaded() == loaded
    with pytest.raises(EndpointUnavailable, match="key: no such file"):
        given.loaded()
    written(tmp_path / "group.key", SIGNING)
    with pytest.raises(KeyFileError, match="key:2: this is a signing key"):
        given.loaded()


def test_a_configuration_says_what_a_url_could(tmp_path: Path) -> None:
    endpoints = loaded(tmp_path, KEYED).endpoints
    assert Mode.of(endpoints["group"].url) == Mode(
        name="sealed",
        key_file=f"{tmp_path}/group.key",
        cipher="aes-256-gcm",
        repair=True,
        keep=128 * MIB,
        keep_for=60.0,
        sign_key_file=f"{tmp_path}/fs1.signing",
        signers_file=f"{tmp_path}/signers",
    )
    side = Mode(name="traced", key_file=f"{tmp_path}/group.key", repair=True, stock="reject")
    assert Mode.of(endpoints["side"].url) == side
    assert [endpoints[name].keys for name in ("group", "side")] == [group(2).live()] * 2
    in_url = KEYED.replace('4243"\nmode = "traced"\n', '4243?mode=traced&keep=64MiB&cipher=chacha20-poly1305"\n')
    assert loaded(tmp_path, in_url).endpoints == endpoints


def test_what_is_shown_has_what_counts_and_no_more(tmp_path: Path) -> None:
    more = '[endpoints.plain]\nurl = "udp://192.0.2.1"\n[endpoints.loss]\nurl = "udp://192.0.2.2?mode=traced"\n'
    shown = loaded(tmp_path, KEYED + more + '[endpoints.record]\nurl = "file:a.jsonl"').as_tables()["endpoints"]
    queue = {"queue": 16384, "overflow": "drop-oldest"}
    assert shown["record"] == {"url": "file:a.jsonl"} | queue
    assert shown["plain"] == {"url": "udp://192.0.2.1", "mode": "stock"} | queue
    assert shown["loss"] == {"url": "udp://192.0.2.2?mode=traced", "stock": "deliver"} | queue
    assert (
        shown["side"]
        == {
            "url": "udp://127.0.0.1:4243",
            "mode": "traced",
            "key_file": f"{tmp_path}/group.key",
            "stock": "reject",
            "cipher": "chacha20-poly1305",
            "repair": True,
            "keep": 64 * MIB,
            "keep_for": 30.0,
        }
        | queue
    )


@pytest.mark.parametrize(
    ("other", "warned"),
    [
        ("multicast://239.192.1.1:4242", True),
        ("multicast://239.192.1.2,239.192.1.1?mode=traced", True),
        ("multicast://239.192.1.1:4243", False),
        ("multicast://239.192.1.2:4242", False),
        ("udp://192.0.2.1:4242", False),
        ("multicast://239.192.1.1:4242?mode=sealed&key_file={folder}/group.key", False),
    ],
)
def test_a_sealed_endpoint_has_a_port_of_its_own(tmp_path: Path, other: str, warned: bool) -> None:
    text = KEYED + f'[endpoints.other]\nurl = "{other}"\n[[route]]\nfrom = "other"\nto = ["side"]\n'
    words = (
        f"{tmp_path}/switchcast.toml:1: endpoints.group: other is at the same address and port, and not sealed: each "
        "rejects what is meant for the other; give one of them another port"
    )
    assert loaded(tmp_path, text).warnings == ((words,) if warned else ())


def test_a_key_in_the_environment_is_one_in_the_file(tmp_path: Path) -> None:
    text = KEYED.replace('mode = "sealed"\n', "").replace('key_file = "{folder}/group.key"\ncipher', "cipher")
    environ = {
        "SWITCHCAST_ENDPOINTS__GROUP__MODE": "sealed",
        "SWITCHCAST_ENDPOINTS__GROUP__KEY_FILE": f"{tmp_path}/group.key",
    }
    assert loaded(tmp_path, text, environ).endpoints == loaded(tmp_path, KEYED).endpoints
    with pytest.raises(
        ConfigurationError, match=r"environment variable SWITCHCAST_ENDPOINTS__GROUP__KEEP: .*out of range"
    ):
        loaded(tmp_path, text, environ | {"SWITCHCAST_ENDPOINTS__GROUP__KEEP": "5"})


def test_keys_come_from_systemds_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    written(folder / "group.key", group(3), 0o440)
    path = lay_out(tmp_path, KEYED.replace("{folder}/group.key", "credential:group.key"))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    configuration = load(path, {"CREDENTIALS_DIRECTORY": str(folder)})
    assert configuration.endpoints["group"].keys == group(3).live()
    assert configuration.as_tables()["endpoints"]["group"]["key_file"] == "credential:group.key"
    assert Mode.of(configuration.endpoints["group"].url).loaded().keys == group(3).live()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    seen = load(path, {}, outside=True)
    words = "key_file: credential:group.key cannot be looked at here: only the service has its credentials"
    told = [each.partition(": ")[2] for each in seen.warnings]
    assert told == [f"endpoints.{each}.{words}" for each in ("group", "side")]
    assert seen.endpoints["group"].keys is None
    with pytest.raises(ConfigurationError, match="there are no credentials"):
        load(path, {})


def test_new_keys_in_a_file_make_no_other_endpoint_but_other_signers_do(tmp_path: Path) -> None:
    before = loaded(tmp_path, KEYED).endpoints["group"]
    written(tmp_path / "group.key", group(2).switch())
    after = load(tmp_path / "switchcast.toml", {}).endpoints["group"]
    assert (after.url, after.fingerprints) == (before.url, before.fingerprints)
    assert after.keys == group(2).switch().live() != before.keys
    written(tmp_path / "signers", f"fs2 {SIGNING.public}\n")
    assert load(tmp_path / "switchcast.toml", {}).endpoints["group"].fingerprints != before.fingerprints


def test_an_endpoint_without_group_keys_is_given_none() -> None:
    with pytest.raises(UrlError, match="memory: endpoints have no group keys"):
        make_endpoint("memory:a").rekey(group().live())
