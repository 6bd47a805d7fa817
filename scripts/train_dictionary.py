"""Train the compression dictionary of sealed frames on recordings of a real FreeSWITCH.

``train_dictionary.py [OUTPUT]`` reads ``tests/data``, writes ``native/src/sealed/dictionary.bin`` (the same bytes for
the same input) and prints how well it does. A dictionary never changes once it is out: another one gets another id.

Both recordings are trained on. What names one run or one site (UUIDs, host names, addresses, dates, counters) is drawn
anew for each event first, so that the dictionary holds what all switches say and nothing of the one that was recorded.
The figures are those of dictionaries that have not seen what they are measured on: one trained on each recording,
measured on the other one, which is taken as it was recorded.
"""

from __future__ import annotations

import gzip
import random
import re
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import zstandard

from switchcast._native import CaptureReader, StockFrames

ROOT = Path(__file__).parent.parent
PLAIN = ROOT / "tests/data/stock-plain.pcap.gz"
ENCRYPTED = ROOT / "tests/data/stock-psk.pcap.gz"
PSK = b"ClueCon"
OUTPUT = ROOT / "native/src/sealed/dictionary.bin"

ID = 1
"""Which dictionary this is, as frames name it."""
SIZE = 64 * 1024
"""Bytes. Twice as many made events a fiftieth smaller and took five times the time to pack with."""
LEVEL = 3
"""The level that native/src/sealed/packing.rs packs with: the statistics in a dictionary fit one level best."""
SEGMENT = 2_048
"""Bytes that are taken at a time (COVER's k): a median event. Of the sizes tried, the shorter ones did worse."""
OVERHEAD = 48 + 16
"""Bytes of header and tag in each frame."""
FRAME = 1_200
STOCK_OVERHEAD = 21 + 272
"""Bytes of trailer and padding behind each stock event."""

IDENTITY = re.compile(
    rb"(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    rb"|(?P<local>\d{4}-\d\d-\d\d%20\d\d%3A\d\d%3A\d\d)"
    rb"|(?P<gmt>\w{3},%20\d\d%20\w{3}%20\d{4}%20\d\d%3A\d\d%3A\d\d%20GMT)"
    rb"|(?P<address>\d{1,3}(?:\.\d{1,3}){3})"
    rb"|(?P<number>\d{9,})"
    rb"|(?<=^FreeSWITCH-Hostname: )(?P<hostname>.+)"
    rb"|(?<=^FreeSWITCH-Switchname: )(?P<switchname>.+)"
    rb"|(?<=^Multicast-Sender: )(?P<sender>.+)",
    re.MULTILINE,
)
DATES = {"local": "%Y-%m-%d %H:%M:%S", "gmt": "%a, %d %b %Y %H:%M:%S GMT"}
COMMON_ADDRESSES = (b"127.0.0.1", b"0.0.0.0")


class Elsewhere:
    """Events as another switch at another time would have sent them."""

    def __init__(self) -> None:
        self._random = random.Random(ID)  # noqa: S311 - the same dictionary for the same input

    def __call__(self, text: bytes) -> bytes:
        drawn: dict[bytes, bytes] = {}

        def replacement(found: re.Match[bytes]) -> bytes:
            kind, old = str(found.lastgroup), found.group()
            if kind in {"hostname", "switchname", "sender"}:
                kind, old = "host", b"host"
            if old not in drawn:
                drawn[old] = self._draw(kind, old)
            return drawn[old]

        return IDENTITY.sub(replacement, text)

    def _draw(self, kind: str, old: bytes) -> bytes:
        choose = self._random.randrange
        match kind:
            case "uuid":
                return re.sub(rb"[0-9a-f]", lambda _: b"%x" % choose(16), old)
            case "host":
                return bytes(choose(ord("a"), ord("z") + 1) for _ in range(choose(3, 25)))
            case "address":
                return old if old in COMMON_ADDRESSES else b"%d.%d.%d.%d" % tuple(choose(1, 255) for _ in range(4))
            case "number":  # all zeros, and the like, are what a switch says of nobody
                return old if len(set(old)) == 1 else old[:2] + bytes(choose(ord("0"), ord("9") + 1) for _ in old[2:])
            case _:
                moment = datetime.fromtimestamp(choose(1_800_000_000, 2_000_000_000), tz=UTC)
                return quote(moment.strftime(DATES[kind]), safe=",").encode("ascii")


def texts(path: Path, psk: bytes | None = None) -> list[bytes]:
    """The text of every event in a recording."""
    reader, frames = CaptureReader(), StockFrames(psk)
    return [frames.open(row[-1]).to_plain() for row in reader.feed(gzip.decompress(path.read_bytes()))]


def train(events: list[bytes]) -> bytes:
    """A dictionary for events like these."""
    elsewhere = Elsewhere()
    samples: list[bytes | bytearray | memoryview[int]] = [elsewhere(text) for text in events]
    return zstandard.train_dictionary(SIZE, samples, k=SEGMENT, d=8, dict_id=ID, level=LEVEL).as_bytes()


def measure(dictionary: bytes, events: list[bytes]) -> str:
    """What becomes of events: their sizes, packed, and beside stock's datagrams."""
    compressor = zstandard.ZstdCompressor(
        level=LEVEL, dict_data=zstandard.ZstdCompressionDict(dictionary), write_dict_id=False
    )
    packed = [len(compressor.compress(text)) for text in events]
    sent = sum(size + OVERHEAD * -(-size // (FRAME - OVERHEAD)) for size in packed)
    stock = sum(len(text) + STOCK_OVERHEAD for text in events)
    single = sum(size <= FRAME - OVERHEAD for size in packed) / len(packed)
    sizes = f"median {statistics.median(map(len, events)):,.0f} to {statistics.median(packed):,.0f} bytes"
    return f"{len(events)} events, {sizes}, on the wire {sent / stock:.3f} of stock's, {single:.1%} in one frame"


def main() -> None:
    """Write the dictionary and tell what the method is worth."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    plain, encrypted = texts(PLAIN), texts(ENCRYPTED, PSK)
    print("trained on the plain recording, measured on the other:", measure(train(plain), encrypted))
    print("trained on the other, measured on the plain recording:", measure(train(encrypted), plain))
    output.write_bytes(train(plain + encrypted))


if __name__ == "__main__":
    main()
