"""Captures, read and written, with Wireshark's own programs as the peer."""

from __future__ import annotations

import gzip
import ipaddress
import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import DATA
from strategies import PROPERTY

from switchcast._native import MAX_DATAGRAM_IPV4, MAX_DATAGRAM_IPV6, CaptureReader, CaptureWriter

Datagram = tuple[int, str, int, str, int, bytes]

TIME = 1_700_000_000_123_456_789
FORMATS = ["pcap", "pcapng"]


def program(name: str) -> str:
    """The path of one of Wireshark's programs."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is needed as the peer of these tests: apt-get install tshark", pytrace=False)
    return path


def run(name: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        [program(name), *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tshark(path: Path, *, without_checksum: bool = False) -> list[Datagram]:
    """The UDP datagrams that tshark sees, fragments put together; it has found every checksum good."""
    fields = ["frame.time_epoch", "ip.src", "ipv6.src", "udp.srcport", "ip.dst", "ipv6.dst", "udp.dstport"]
    checksums = ["ip.checksum.status", "udp.checksum.status"]
    output = run(
        "tshark",
        *("-r", path, "-n", "-Y", "udp", "-T", "fields", "-E", "separator=|"),
        *("-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.defragment:TRUE"),
        *(word for field in [*fields, "udp.payload", *checksums] for word in ("-e", field)),
    )
    good = {("1", "1"), ("", "1")} | ({("1", "3")} if without_checksum else set())
    return [_row(line.split("|"), good) for line in output.splitlines()]


def _row(columns: list[str], good: set[tuple[str, str]]) -> Datagram:
    time, source4, source6, source_port, destination4, destination6, port, payload, ip_status, udp_status = columns
    assert (ip_status, udp_status) in good, "a checksum is wrong"
    seconds, _, fraction = time.partition(".")
    return (
        int(seconds) * 10**9 + int(fraction.ljust(9, "0")),
        source4 or source6,
        int(source_port),
        destination4 or destination6,
        int(port),
        bytes.fromhex(payload),
    )


def read(*pieces: bytes) -> tuple[list[Datagram], str | None]:
    reader = CaptureReader()
    found = [datagram for piece in pieces for datagram in reader.feed(piece)]
    return found, reader.finish()


def written(capture_format: str, datagrams: list[Datagram]) -> bytes:
    writer = CaptureWriter(capture_format)
    return writer.header() + b"".join(writer.packet(*datagram) for datagram in datagrams)


def some_datagrams() -> list[Datagram]:
    """Both families, every padding, the shortest and the longest."""
    datagrams: list[Datagram] = []
    for size in (1, 2, 3, 4, 257, 1_472, 60_927, MAX_DATAGRAM_IPV4):
        payload = bytes(index * 31 % 251 for index in range(size))
        datagrams.append((TIME + size, "192.0.2.1", 40_000, "225.1.1.1", 4_242, payload))
        datagrams.append((TIME + size, "2001:db8::1", 40_000, "ff02::4242", 4_242, payload))
    datagrams.append((TIME, "::1", 1, "::1", 65_535, b"x" * MAX_DATAGRAM_IPV6))
    return datagrams


@pytest.mark.parametrize("name", ["stock-plain.pcap.gz", "stock-psk.pcap.gz"])
def test_the_recordings_read_as_they_are(
    name: str, plain_datagrams: list[tuple[int, bytes]], psk_datagrams: list[tuple[int, bytes]]
) -> None:
    found, cut = read(gzip.decompress((DATA / name).read_bytes()))
    expected = plain_datagrams if "plain" in name else psk_datagrams
    assert [(time_ns, payload) for time_ns, *_, payload in found] == expected
    assert {(source, destination, port) for _, source, _, destination, port, _ in found} == {
        (found[0][1], found[0][3], 4_242)
    }
    assert cut is None


@pytest.mark.parametrize("capture_format", FORMATS)
def test_wireshark_reads_what_we_write(capture_format: str, tmp_path: Path) -> None:
    path = tmp_path / f"ours.{capture_format}"
    path.write_bytes(written(capture_format, some_datagrams()))
    assert tshark(path) == some_datagrams()
    assert read(path.read_bytes()) == (some_datagrams(), None)
    assert {"pcap": "nanosecond pcap", "pcapng": "pcapng"}[capture_format] in run("capinfos", "-t", path)


@pytest.mark.parametrize(("kind", "unit_ns"), [("pcap", 1_000), ("nsecpcap", 1), ("pcapng", 1)])
def test_we_read_what_wireshark_writes(kind: str, unit_ns: int, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.pcapng", tmp_path / "theirs"
    ours.write_bytes(written("pcapng", some_datagrams()))
    run("editcap", "-F", kind, ours, theirs)
    expected = [(time // unit_ns * unit_ns, *rest) for time, *rest in some_datagrams()]
    assert read(theirs.read_bytes()) == (expected, None)


def test_a_kind_of_capture_that_is_not_read_is_told_apart(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.pcapng", tmp_path / "theirs"
    ours.write_bytes(written("pcapng", some_datagrams()))
    run("editcap", "-F", "modpcap", ours, theirs)
    with pytest.raises(ValueError, match="no capture: it begins with 34 cd b2 a1"):
        read(theirs.read_bytes())


def test_we_read_several_interfaces_as_wireshark_does(tmp_path: Path, plain_datagrams: list[tuple[int, bytes]]) -> None:
    one, other, merged = tmp_path / "one.pcapng", tmp_path / "other.pcap", tmp_path / "merged.pcapng"
    one.write_bytes(written("pcapng", some_datagrams()))
    other.write_bytes(gzip.decompress((DATA / "stock-plain.pcap.gz").read_bytes()))
    run("mergecap", "-w", merged, one, other)
    found, cut = read(merged.read_bytes())
    assert cut is None
    assert len(found) == len(some_datagrams()) + len(plain_datagrams)
    assert found == tshark(merged, without_checksum=True)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def fragments(datagram: Datagram, identification: int, size: int) -> list[bytes]:
    """The IP packets in which a kernel would send ``datagram``, ``size`` bytes of it in each."""
    whole = written("pcap", [datagram])[24 + 16 :]
    header, payload = (whole[:20], whole[20:]) if whole[0] >> 4 == 4 else (whole[:40], whole[40:])
    packets = []
    for at in range(0, len(payload), size):
        piece = payload[at : at + size]
        more = at + size < len(payload)
        if len(header) == 20:
            fields = struct.pack("!HHH", 20 + len(piece), identification, at // 8 | more << 13)
            bare = header[:2] + fields + header[8:10] + b"\0\0" + header[12:]
            packets.append(bare[:10] + struct.pack("!H", checksum(bare)) + bare[12:] + piece)
        else:
            extension = struct.pack("!BBHI", 17, 0, at | more, identification)
            length = struct.pack("!H", 8 + len(piece))
            packets.append(header[:4] + length + b"\x2c" + header[7:] + extension + piece)
    return packets


def test_fragments_are_put_together_as_wireshark_does(tmp_path: Path) -> None:
    large = [datagram for datagram in some_datagrams() if len(datagram[-1]) > 1_400]
    packets = [packet for number, each in enumerate(large) for packet in fragments(each, number + 1, 1_480)]
    path = tmp_path / "fragments.pcap"
    seconds, nanoseconds = divmod(TIME, 10**9)
    path.write_bytes(
        written("pcap", [])
        + b"".join(struct.pack("<IIII", seconds, nanoseconds, len(each), len(each)) + each for each in packets)
    )
    found, cut = read(path.read_bytes())
    assert cut is None
    assert [payload for *_, payload in found] == [payload for *_, payload in large]
    assert found == tshark(path)


@PROPERTY
@given(st.integers(0, 2**64 - 1), st.ip_addresses(), st.integers(0, 65_535), st.binary(max_size=64), st.data())
def test_any_datagram_comes_back(
    time_ns: int,
    source: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
    payload: bytes,
    data: st.DataObject,
) -> None:
    destination = data.draw(st.ip_addresses(v=source.version))
    file = written("pcapng", [(time_ns, str(source), port, str(destination), 65_535 - port, payload)])
    whole = read(file)
    ((found_ns, found_source, found_port, found_destination, other_port, found_payload),), cut = whole
    assert (found_ns, found_port, other_port, found_payload, cut) == (time_ns, port, 65_535 - port, payload, None)
    addresses = ipaddress.ip_address(found_source), ipaddress.ip_address(found_destination)
    assert addresses == (source, destination)
    at = data.draw(st.integers(0, len(file)))
    assert read(file[:at], file[at:]) == whole


@PROPERTY
@given(st.binary(max_size=400), st.sampled_from(FORMATS), st.integers(0, 100), st.binary(max_size=8))
def test_any_bytes_give_datagrams_or_a_clear_error(tail: bytes, capture_format: str, at: int, patch: bytes) -> None:
    whole = written(capture_format, some_datagrams()[:3])
    for file in (tail, whole[:at] + patch + whole[at + len(patch) :], whole + tail):
        with suppress(ValueError):  # nothing else may come out
            found, _ = read(file)
            assert len(found) <= 3 + len(tail) // 28


def test_what_a_capture_cannot_hold_is_refused() -> None:
    writer = CaptureWriter()
    with pytest.raises(ValueError, match="one is IPv4, the other IPv6"):
        writer.packet(0, "10.0.0.1", 1, "::1", 1, b"")
    for address, limit in (("10.0.0.1", MAX_DATAGRAM_IPV4), ("::1", MAX_DATAGRAM_IPV6)):
        with pytest.raises(ValueError, match=f"{limit + 1} bytes of payload do not fit one packet"):
            writer.packet(0, address, 1, address, 1, bytes(limit + 1))
    with pytest.raises(ValueError, match="is not an IP address"):
        writer.packet(0, "localhost", 1, "10.0.0.1", 1, b"")
    with pytest.raises(ValueError, match='is neither "pcapng" nor "pcap"'):
        CaptureWriter("tar")


def test_counters_account_for_every_packet() -> None:
    reader = CaptureReader()
    reader.feed(written("pcap", some_datagrams()) + struct.pack("<IIII", 0, 0, 4, 4) + b"\x60\0\0\0")
    assert reader.finish() is None
    assert reader.counters() == {
        "packets": 18,
        "datagrams": 17,
        "not_udp": 0,
        "malformed": 1,
        "unknown_link": 0,
        "fragments": 0,
        "incomplete": 0,
        "evicted": 0,
    }
