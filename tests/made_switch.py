"""A program that calls itself freeswitch and treats its port as the stock module does; started by tests.

``python made_switch.py ADDRESS PORT GROUP -conf FOLDER``: binds, joins, says ``ready``, reads until a datagram of no
bytes ends it, says ``ended`` and closes its socket. It goes away when its standard input ends. It has OpenSSL 3 in its
memory.
"""

import ctypes
import socket
import sys
import threading


def listening(address: str, port: int, group: str) -> socket.socket:
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.bind((address, port))
    any_interface = socket.inet_aton("0.0.0.0")  # noqa: S104 - the routing table's
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + any_interface)
    return ear


def read(ear: socket.socket) -> None:
    with ear:
        print("ready", flush=True)
        while ear.recv(65536):
            pass
    print("ended", flush=True)


if __name__ == "__main__":
    with open("/proc/self/comm", "w") as name:
        name.write("freeswitch")
    openssl = ctypes.CDLL("libcrypto.so.3")
    member = listening(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    threading.Thread(target=read, args=(member,), daemon=True).start()
    sys.stdin.read()
