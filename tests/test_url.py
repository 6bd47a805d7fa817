"""Endpoint URLs: what they mean, what they refuse, and that they keep secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from switchcast.endpoints import SCHEMES, make_endpoint
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import EndpointDenied, EndpointUnavailable, UrlError


def test_the_parts_of_a_url() -> None:
    url = EndpointUrl.parse("multicast://239.192.1.1,[ff15::1],192.0.2.7:4243?interface=eth0&ttl=4")
    assert (url.scheme, url.hosts, url.port) == ("multicast", ("239.192.1.1", "ff15::1", "192.0.2.7"), 4243)
    assert (url.text("interface"), url.integer("ttl", 1, 0, 255), url.text("none")) == ("eth0", 4, None)


@pytest.mark.parametrize(
    "text",
    [
        "-",
        "-?format=pcapng",
        "file:/var/tmp/a b.jsonl",
        "file:relative.pcapng.zst?speed=1",
        "memory:name",
        "multicast://[ff15::1]:4242",
        "multicast://239.192.1.1,[ff15::1]:4242?interface=eth0",
        "sim://?nodes=3&cps=20",
        "esl://127.0.0.1:8021",
    ],
)
def test_a_url_reads_back_as_it_was_written(text: str) -> None:
    assert str(EndpointUrl.parse(text)) == text
    assert EndpointUrl.parse(str(EndpointUrl.parse(text))) == EndpointUrl.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("239.192.1.1", "no scheme.*multicast://239.192.1.1:4242"),
        ("capture.pcap", "no scheme.*file:capture.pcap"),
        ("multicat://239.192.1.1:4242", "did you mean multicast:"),
        ("http://example.com", "no endpoint has the scheme 'http'"),
        ("multicast://239.192.1.1:port", "'port' is not a number"),
        ("multicast://239.192.1.1:70000", "70000 is out of range"),
        ("multicast://ff15::1:4242", "IPv6 address stands in brackets"),
        ("multicast://239.192.1.1,:4242", "host is missing"),
        ("multicast://:4242", "names no address.*multicast://239.192.1.1:4242"),
        ("multicast://239.192.1.1:4242/path", "have no path"),
        ("multicast://239.192.1.1:4242?tll=2", "unknown option 'tll'.*did you mean 'ttl'"),
        ("multicast://239.192.1.1:4242?ttl=2&ttl=3", "'ttl' is given twice"),
        ("multicast://239.192.1.1:4242?receive_buffer=big", "'big' is not a whole number"),
        ("multicast://239.192.1.1:4242?ring=0", "out of range; 1 to"),
        ("udp://192.0.2.1:4242?interface=eth0", "unknown option 'interface' for udp:"),
        ("multicast://239.192.1.1:4242?psk=a&psk_file=b", "both psk and psk_file"),
    ],
)
def test_a_mistake_is_named_with_its_mend(text: str, words: str) -> None:
    with pytest.raises(UrlError, match=words) as caught:
        make_endpoint(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("value", "meant"), [("yes", True), ("on", True), ("1", True), ("No", False), ("0", False)])
def test_yes_and_no(value: str, meant: bool) -> None:
    assert EndpointUrl.parse(f"file:x?append={value}").boolean("append", not meant) is meant


def test_what_is_neither_yes_nor_no() -> None:
    with pytest.raises(UrlError, match="neither yes nor no"):
        EndpointUrl.parse("file:x?append=maybe").boolean("append", False)


@pytest.mark.parametrize(
    "text",
    [
        "multicast://239.192.1.1:4242?psk=S3cret",
        "esl://:S3cret@127.0.0.1:8021",
        "esl://user:S3cret@127.0.0.1:8021?password=S3cret",
        "multicast://239.192.1.1:nonsense?psk=S3cret",
        "esl://:S3cret@127.0.0.1:nonsense",
        "nosuch://:S3cret@host?psk=S3cret",
        "multicast://239.192.1.1:4242?psk=S3cret&wrong=1",
    ],
)
def test_a_secret_is_never_shown(text: str) -> None:
    try:
        endpoint = make_endpoint(text)
        shown = f"{endpoint!r} {endpoint.url} {endpoint.url!r}"
    except UrlError as error:
        shown = f"{error} {error!r}"
    assert "S3cret" not in shown


def test_a_secret_comes_from_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "group.key"
    file.write_bytes(b"ClueCon\n")
    url = EndpointUrl.parse(f"multicast://239.192.1.1:4242?psk_file={file}")
    file.chmod(0o644)
    with pytest.raises(EndpointDenied, match=f"others may read.*0644.*chmod 600 {file}") as caught:
        url.secret("psk")
    assert caught.value.exit_code == 77
    file.chmod(0o600)
    assert url.secret("psk") == b"ClueCon"
    file.write_bytes(b"")
    with pytest.raises(EndpointUnavailable, match="is empty"):
        url.secret("psk")
    file.unlink()
    with pytest.raises(EndpointUnavailable, match="no such file") as missing:
        url.secret("psk")
    assert missing.value.exit_code == 69


def test_every_scheme_has_its_endpoint() -> None:
    examples = {
        "multicast": "multicast://239.192.1.1",
        "udp": "udp://127.0.0.1",
        "esl": "esl://127.0.0.1",
        "sim": "sim://",
        "file": "file:x.jsonl",
        "-": "-",
        "archive": "archive:history",
        "memory": "memory:x",
    }
    assert examples.keys() == SCHEMES.keys()
    for url in examples.values():
        endpoint = make_endpoint(url)
        assert endpoint.is_source or endpoint.is_sink


@pytest.mark.parametrize(
    "text", ["multicast://", "udp://", "sim://", "other://", "file:", "memory:", "multicast://?ttl=1"]
)
def test_a_url_that_names_nothing_is_shown_as_it_would_be_written(text: str) -> None:
    assert str(EndpointUrl.parse(text)) == text
