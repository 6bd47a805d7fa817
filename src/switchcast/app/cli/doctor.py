"""``switchcast doctor``: why events do not arrive, or will stop arriving, and what mends it."""

from __future__ import annotations

import asyncio
import json as json_text
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.live import Live
from rich.text import Text

from switchcast.app.cli.asking import output_console, to_a_reader
from switchcast.app.cli.config import DEFAULT_FILE
from switchcast.app.cli.doctor_view import print_diagnosis
from switchcast.app.cli.naming import is_name, url_named
from switchcast.app.cli.options import seconds
from switchcast.app.cli.peers import STOCK_GROUP
from switchcast.app.cli.render import error_console, printable
from switchcast.app.cli.running import run, run_until
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import UsageError

if TYPE_CHECKING:
    from switchcast.app.doctor.examine import Diagnosis

__all__ = ["QUERY_SECONDS", "WAIT_SECONDS", "doctor"]

WAIT_SECONDS: Final = 10.0
"""Enough for the ladder; a querier may take longer, and then that is said."""
QUERY_SECONDS: Final = 125.0
"""How often a querier asks by default (RFC 3376, 8.2)."""
_LONGEST_WAIT: Final = 3600.0
_REFRESH: Final = 0.25


def doctor(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="The endpoint to examine: multicast://, udp:// or esl://, or its name in the configuration. Without "
            "one, all of the configuration; where there is none, FreeSWITCH's own, else multicast://225.1.1.1:4242.",
        ),
    ] = None,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            readable=False,
            help="The configuration, if not /etc/switchcast/switchcast.toml.",
        ),
    ] = None,
    wait: Annotated[
        str,
        typer.Option(
            "--wait", "--for", metavar="TIME", help="How long to listen for other hosts and for membership queries."
        ),
    ] = "10s",
    query_interval: Annotated[
        str, typer.Option("--query-interval", metavar="TIME", help="How often the network's querier asks.")
    ] = "125s",
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Find why events do not arrive, or will stop arriving.

    Sends datagrams of five sizes and listens for them, reads what the kernel tells, and says what is wrong, why, and
    what mends it. Run it on two hosts at the same time, and it shows what gets from one to the other. It changes
    nothing. The exit code is 1 when something is wrong.

    switchcast doctor multicast://239.192.1.1:4242
    """
    listening = seconds(wait, "--wait") or WAIT_SECONDS
    interval = seconds(query_interval, "--query-interval") or QUERY_SECONDS
    if listening > _LONGEST_WAIT:
        raise UsageError(f"--wait {wait!r} is longer than an hour; a querier that asks every {interval:g} s needs less")
    if url is not None and config is not None and not is_name(url):
        raise UsageError("the URL and --config both say what to examine; give one")
    from switchcast.app.doctor.examine import prepare

    urls = [url_named(url, config)] if url is not None else _configured(config)
    for each in urls:
        prepare(each)
    run(_Examination(urls, wait=listening, query_interval=interval, json=json).run())


def _configured(config: Path | None) -> list[EndpointUrl]:
    """What to examine where no URL says it, told on standard error."""
    if config is not None or DEFAULT_FILE.exists():
        from switchcast.app.config import load_either
        from switchcast.app.doctor.examine import SCHEMES

        file = config or DEFAULT_FILE
        urls = [endpoint.url for endpoint in load_either(file, outside=True).endpoints.values()]
        urls = list(dict.fromkeys(url for url in urls if url.scheme in SCHEMES))
        if not urls:
            raise UsageError(f"{file} has no multicast:, udp: or esl: endpoint to examine; give a URL")
        return urls
    from switchcast.app.doctor.switch_files import default_url, read_switch

    found = default_url(read_switch())
    where = "FreeSWITCH's own settings" if found else "FreeSWITCH's sample configuration"
    print(f"switchcast: no URL and no {DEFAULT_FILE}; examining the group of {where}", file=sys.stderr)
    return [EndpointUrl.parse(found or STOCK_GROUP)]


class _Examination:
    """Examines some endpoints at the same time, shows how long that takes, and prints what came of it."""

    def __init__(self, urls: Sequence[EndpointUrl], *, wait: float, query_interval: float, json: bool) -> None:
        self._urls = urls
        self._wait = wait
        self._query_interval = query_interval
        self._json = json
        self._diagnoses: list[Diagnosis] = []

    async def run(self) -> int:
        if code := await run_until(self._examine()):
            return code
        with to_a_reader():
            if self._json:
                print(json_text.dumps({"endpoints": [each.to_dict() for each in self._diagnoses]}))
            else:
                console = output_console()
                for place, diagnosis in enumerate(self._diagnoses):
                    if place:
                        print()
                    print_diagnosis(console, diagnosis)
        return 0 if all(each.sound for each in self._diagnoses) else 1

    async def _examine(self) -> None:
        from switchcast.app.doctor.examine import examine

        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(examine(url, wait=self._wait, query_interval=self._query_interval))
                for url in self._urls
            ]
            waiting = asyncio.create_task(self._show())
            try:
                await asyncio.gather(*tasks)
            finally:
                waiting.cancel()
                await asyncio.wait([waiting])
        self._diagnoses = [task.result() for task in tasks]

    async def _show(self) -> None:
        """What is waited for, and how long still."""
        console = error_console()
        names = printable(", ".join(map(str, self._urls)))
        if all(url.scheme == "esl" for url in self._urls):
            print(f"switchcast: asking {names}", file=sys.stderr)
            return
        if not console.is_terminal:
            print(f"switchcast: examining {names}, which takes {self._wait:g} s", file=sys.stderr)
            return
        ends = time.monotonic() + self._wait
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while True:
                left = max(ends - time.monotonic(), 0.0)
                line = f"{math.ceil(left)} s left of listening for other hosts and for queries: {names}"
                live.update(Text(line, "dim", no_wrap=True, overflow="ellipsis"), refresh=True)
                await asyncio.sleep(_REFRESH)
