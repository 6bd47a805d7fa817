"""A sender to be killed: ``python soak_streaming.py MODE GROUP PORT NAME RATE``. Each start numbers events from 1.

It says when it has sent the first, by the monotonic clock that all processes share.
"""

from __future__ import annotations

import sys
import time

from reliable_streams import sender

from switchcast import Event


def main(mode: str, group: str, port: int, name: str, rate: int) -> None:
    out = sender(mode, group, port, name)
    began, done = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * rate) + 1
        if due > done:
            events = [Event("TEXT", {"Number": str(number + 1), "Pad": "x" * 700}) for number in range(done, due)]
            first = done == 0
            done += out.send(events)
            if first and done:
                print(time.monotonic(), flush=True)
        time.sleep(0.002)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
