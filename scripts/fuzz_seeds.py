"""Write what the fuzzer starts from: the recorded datagrams, as the inputs of each fuzz target.

``fuzz_seeds.py FOLDER`` writes them all below ``FOLDER``; ``fuzz_seeds.py --few FOLDER`` the few odd ones that are kept
in ``fuzz/seeds``, from which the tests' own mutations start.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import fuzz_reliable_seeds  # noqa: E402
from recordings import DATA, read_pcap  # noqa: E402

TRAILER = bytes.fromhex("e284b1c598c68ed3acc59ed0a9d087c5a6cf9ac4a6")
FRAGMENT_BYTES = 400
FEW_BYTES = 1_300
"""Longer seeds make mutation slow and reach nothing that these do not."""
ODD = (
    b"Event-Name: HEARTBEAT",
    b"Event-Name: MESSAGE_WAITING",
    b"Event-Name: PRESENCE_IN",
    b"Event-Name: RECV_MESSAGE",
    b"Event-Name: NOTIFY\n",
    b"Event-Name: DETECTED_SPEECH",
    b"Event-Subclass: sofia%3A%3Aregister",
    b"Event-Subclass: sofia%3A%3Aunregister",
    b"Event-Subclass: test%3A%3Aodd",
    b"Event-Subclass: test%3A%3Abody-utf8",
    b"Event-Subclass: test%3A%3Abody-latin1",
    b"Event-Subclass: test%3A%3Abody-magic",
    b"Event-Subclass: test%3A%3Abody-headerlike",
    b"Event-Subclass: test%3A%3Abody-nl\n",
)
"""What the few hold one of each: the common kinds, and those made to be awkward."""


def text_of(datagram: bytes) -> bytes:
    """The event's text in a plain datagram: what stands in front of the last trailer."""
    return datagram[: datagram.rindex(TRAILER)]


def few(datagrams: list[bytes]) -> Iterator[bytes]:
    """One short datagram of each odd kind."""
    for mark in ODD:
        yield next(datagram for datagram in datagrams if mark in datagram and len(datagram) <= 2 * FEW_BYTES)


def seeds(only_few: bool) -> Iterator[tuple[str, bytes]]:
    """Target and input of each seed."""
    plain = [datagram for _, datagram in read_pcap(DATA / "stock-plain.pcap.gz")]
    psk = [datagram for _, datagram in read_pcap(DATA / "stock-psk.pcap.gz")]
    if only_few:
        plain = list(few(plain))
        psk = [min(psk, key=len)]
    for datagram in plain:
        yield "event", text_of(datagram)
    yield from (("frame", datagram) for datagram in plain[-3:] + psk if only_few)
    yield from (("frame", datagram) for datagram in plain + psk if not only_few)
    for capture in captures(plain[:3]):
        yield "capture", capture
    texts = [text_of(datagram) for datagram in plain]
    yield from fuzz_reliable_seeds.seeds(texts[:4] if only_few else texts)


def captures(datagrams: list[bytes]) -> Iterator[bytes]:
    """The same datagrams as pcap of Ethernet, big-endian and in fragments, and as pcapng of raw IP."""
    packets = [packet for datagram in datagrams for packet in ipv4_packets(datagram, FRAGMENT_BYTES)]
    pcap = struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, 1)
    for second, packet in enumerate(packets):
        frame = bytes(12) + b"\x08\x00" + packet
        pcap += struct.pack(">IIII", second, 0, len(frame), len(frame)) + frame
    yield pcap
    pcapng = pcapng_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    pcapng += pcapng_block(1, struct.pack("<HHI", 101, 0, 0))
    for second, datagram in enumerate(datagrams):
        (packet,) = ipv4_packets(datagram, len(datagram) + 8)
        head = struct.pack("<IIIII", 0, 0, second * 10**6, len(packet), len(packet))
        pcapng += pcapng_block(6, head + packet + bytes(-len(packet) % 4))
    yield pcapng


def ipv4_packets(payload: bytes, most: int) -> list[bytes]:
    """``payload`` over UDP from 127.0.0.1 to 225.1.1.1, in fragments that carry ``most`` bytes, checksums left out."""
    whole = struct.pack(">HHHH", 4242, 4242, len(payload) + 8, 0) + payload
    packets = []
    for start in range(0, len(whole), most):
        piece = whole[start : start + most]
        more = 0x2000 if start + most < len(whole) else 0
        packets.append(
            struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(piece), len(payload), more | start // 8, 1, 17, 0)
            + bytes([127, 0, 0, 1, 225, 1, 1, 1])
            + piece
        )
    return packets


def pcapng_block(kind: int, body: bytes) -> bytes:
    """One block, its length at both ends."""
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--few"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    written = 0
    for number, (target, data) in enumerate(seeds("--few" in sys.argv)):
        folder = Path(arguments[0]) / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"recorded-{number:04}").write_bytes(data)
        written += 1
    print(f"{written} seeds below {arguments[0]}")


if __name__ == "__main__":
    main()
