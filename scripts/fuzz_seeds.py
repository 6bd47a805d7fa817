"""Write what the fuzzer starts from: the recorded datagrams, as the inputs of each fuzz target.

``fuzz_seeds.py FOLDER`` writes them all below ``FOLDER``; ``fuzz_seeds.py --few FOLDER`` the few odd ones that are kept
in ``fuzz/seeds``, from which the tests' own mutations start.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from recordings import DATA, read_pcap  # noqa: E402

TRAILER = bytes.fromhex("e284b1c598c68ed3acc59ed0a9d087c5a6cf9ac4a6")
PCAP_HEADER_BYTES = 24
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
    capture = gzip.decompress((DATA / "stock-plain.pcap.gz").read_bytes())
    end = PCAP_HEADER_BYTES
    for _ in range(3):
        end += 16 + int.from_bytes(capture[end + 8 : end + 12], "little")
    yield "capture", capture[:end]


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
