"""The forty-line script that everybody writes: one datagram at a time, split, unquote, a dict.

It is kept as people write it, faults and all (it splits at the first colon, and takes the trailer wherever it stands):
it is the speed to beat, not an example.
"""

import socket
import struct
from collections.abc import Callable
from urllib.parse import unquote

TRAILER = b"\xe2\x84\xb1\xc5\x98\xc6\x8e\xd3\xac\xc5\x9e\xd0\xa9\xd0\x87\xc5\xa6\xcf\x9a\xc4\xa6"


def join(group: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((group, port))
    membership = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton("127.0.0.1"))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return sock


def parse(data: bytes) -> dict[str, str]:
    text = data.split(TRAILER)[0].decode("utf-8", "replace")
    head, _, body = text.partition("\n\n")
    headers = {}
    for line in head.split("\n"):
        name, colon, value = line.partition(": ")
        if colon:
            headers[name] = unquote(value)
    if body:
        headers["_body"] = body
    return headers


def receive(sock: socket.socket, handle: Callable[[dict[str, str]], None], count: int) -> None:
    for _ in range(count):
        data, _ = sock.recvfrom(65535)
        handle(parse(data))
