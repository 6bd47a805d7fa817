"""A host without the key that sends what looks like frames: ``python soak_stranger.py GROUP PORT RATE SECONDS``.

It says how many it sent, and how many of them the kernel would not take.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import time


def main(group: str, port: int, rate: int, seconds: float) -> None:
    chance = random.Random(5)  # noqa: S311 - to be the same in each run
    key_id = bytes.fromhex(os.environ["KEY_ID"])
    frames = []
    for number in range(4_096):
        header = bytearray(b"\xc5\x57\x01" + bytes([chance.choice((1, 1, 1, 2, 3, 5))]) + key_id)
        header += chance.randbytes(8) + chance.randbytes(16) + number.to_bytes(8, "big")
        header += b"\0\0\0\1\0\1\0\0"
        frames.append(bytes(header) + chance.randbytes(chance.randrange(16, 600)))
    sent = refused = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        index = socket.if_nametoindex("veth")
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + index.to_bytes(4, sys.byteorder))
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            for _ in range(max(0, int(passed * rate) - sent - refused)):
                try:
                    mouth.sendto(frames[sent & 4_095], (group, port))
                    sent += 1
                except OSError:
                    refused += 1
            time.sleep(0.0005)
    print(sent, refused)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
