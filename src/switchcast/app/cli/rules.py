"""``switchcast rules``: try rules out, list them, and ask the running node what its rules have done.

What reads and checks rules is imported when it is needed: the other commands start without it.
"""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated, Final

import typer

from switchcast.app.cli.options import Count, For, seconds, warn
from switchcast.app.cli.running import run
from switchcast.endpoints import make_endpoint

__all__ = ["app"]

_MOST_ASKED: Final = 100_000

app = typer.Typer(name="rules", help="Try rules out, list them, and see what they did.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="RULES", help="A TOML file: a configuration, or just [[rule]] tables.")]
Json = Annotated[bool, typer.Option("--json", help="JSON, one object a line.")]


@app.command("test")
def try_out(
    rules: File,
    events: Annotated[
        str,
        typer.Argument(metavar="EVENTS", help="Where events come from: multicast://, udp://, esl://, sim://, file:, -"),
    ],
    *,
    rule: Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only this rule.")] = None,
    json: Json = False,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NAME", help="This host's name: the file's, or the machine's.")
    ] = None,
    count: Count = None,
    for_: For = None,
) -> None:
    """Show what would fire and why not, without acting.

    Time is the events' own, so that limits on a recording are as they would have been.

    switchcast rules test switchcast.toml file:capture.pcap.gz
    """
    from switchcast.app.cli.rules_file import read_rules
    from switchcast.app.cli.rules_trial import AsJson, AsText, Trial
    from switchcast.rules.engine import Engine

    limit = seconds(for_)
    read = read_rules(rules)
    chosen = read.named(rule)
    for each in chosen:
        for sentence in each.warnings:
            warn(f"rule {each.name}: {sentence}")
    engine = Engine(chosen, node or read.node)
    show = AsJson(engine.node) if json else AsText(engine.node)
    run(Trial(engine, make_endpoint(events, role="source"), show, count).run(limit))


@app.command("list")
def list_(rules: File, *, json: Json = False) -> None:
    """List the rules of a file.

    switchcast rules list switchcast.toml
    """
    from switchcast.app.cli.rules_file import read_rules
    from switchcast.app.cli.rules_view import show_rules

    read = read_rules(rules)
    if json:
        for each in read.rules:
            print(json_text.dumps(each.model_dump(mode="json", by_alias=True, exclude_defaults=True)))
        return
    show_rules(read.rules)


@app.command()
def log(
    *,
    rule: Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only this rule.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, help="The last N actions.")] = 20,
    json: Json = False,
    socket: Annotated[Path | None, typer.Option("--socket", metavar="PATH", help="The node's control socket.")] = None,
) -> None:
    """Show what the rules of the running node did last.

    switchcast rules log --rule new-voicemail
    """
    from switchcast.app.cli.rules_view import show_results
    from switchcast.app.control import DEFAULT_SOCKET, ask

    answer = ask(socket or DEFAULT_SOCKET, {"ask": "rules-log", "limit": _MOST_ASKED if rule else count})
    wanted = [entry for entry in answer if rule in {None, entry["rule"]}][:count]
    if json:
        for entry in reversed(wanted):
            print(json_text.dumps(entry))
        return
    show_results(wanted[::-1])
