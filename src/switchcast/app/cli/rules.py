"""``switchcast rules``: try rules out, list them, and ask the running node what its rules have done.

What reads and checks rules is imported when it is needed: the other commands start without it.
"""

from __future__ import annotations

import json as json_text
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from switchcast.app.cli.asking import Socket, to_a_reader
from switchcast.app.cli.helping import Command
from switchcast.app.cli.options import Count, For, seconds, warn
from switchcast.app.cli.running import run
from switchcast.app.control import DEFAULT_SOCKET, ask
from switchcast.endpoints import make_endpoint

__all__ = ["app"]

_MOST_ASKED: Final = 100_000

app = typer.Typer(
    name="rules",
    help="Try rules out, list them, and see what they did.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[
    Path, typer.Argument(metavar="RULES", readable=False, help="A TOML file: a configuration, or just [[rule]] tables.")
]
Rule = Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only this rule.")]
Last = Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, max=_MOST_ASKED, help="The last N.")]
Json = Annotated[bool, typer.Option("--json", help="JSON, one object a line.")]


@app.command("test", cls=Command)
def try_out(
    rules: File,
    events: Annotated[
        str,
        typer.Argument(
            metavar="EVENTS", help="Where events come from: multicast://, udp://, esl://, sim://, file:, archive:, -"
        ),
    ],
    *,
    rule: Rule = None,
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


@app.command("list", cls=Command)
def list_(
    rules: Annotated[
        Path | None,
        typer.Argument(
            metavar="RULES", readable=False, help="A TOML file; without one the running node is asked for its rules."
        ),
    ] = None,
    *,
    json: Json = False,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """List the rules of a file, or of the running node.

    Those of the node are told with what they did.

    switchcast rules list switchcast.toml
    """
    from switchcast.app.cli import rules_view
    from switchcast.app.cli.rules_file import read_rules

    if rules is None:
        _show(ask(socket, {"ask": "rules"}), rules_view.show_running, json=json)
        return
    read = read_rules(rules).rules
    if json:
        _show([each.model_dump(mode="json", by_alias=True, exclude_defaults=True) for each in read], json=True)
    else:
        _show(read, rules_view.show_rules)


@app.command(cls=Command)
def log(*, rule: Rule = None, count: Last = 20, json: Json = False, socket: Socket = DEFAULT_SOCKET) -> None:
    """Show what the rules of the running node did last.

    switchcast rules log --rule new-voicemail
    """
    from switchcast.app.cli.rules_view import show_results

    _show(_newest("rules-log", socket, rule, count), show_results, json=json)


@app.command(cls=Command)
def dead(*, rule: Rule = None, count: Last = 20, json: Json = False, socket: Socket = DEFAULT_SOCKET) -> None:
    """Show the dead letters of the running node.

    What could not be done at all.

    switchcast rules dead
    """
    from switchcast.app.cli.rules_view import show_dead_letters

    _show(_newest("rules-dead", socket, rule, count), show_dead_letters, json=json)


@app.command(cls=Command)
def replay(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="NUMBER", help="As 'rules dead' shows them; without any, all.")
    ] = None,
    *,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Have the running node do dead letters again.

    switchcast rules replay 17 18
    """
    count = ask(socket, {"ask": "rules-replay"} | ({"ids": numbers} if numbers else {}))
    typer.echo(f"{count:,} to be done again")


def _newest(verb: str, socket: str, rule: str | None, count: int) -> list[dict[str, Any]]:
    """The newest ``count`` entries of the node's answer, of ``rule`` alone where one is named, the newest last."""
    answer = ask(socket, {"ask": verb, "limit": _MOST_ASKED if rule else count})
    wanted = [entry for entry in answer if rule in {None, entry["rule"]}]
    return wanted[:count][::-1]


def _show(rows: Sequence[Any], view: Callable[[Sequence[Any]], None] | None = None, *, json: bool = False) -> None:
    """Print ``rows`` as ``view`` does, or each as JSON."""
    with to_a_reader():
        if view is None or json:
            for row in rows:
                print(json_text.dumps(row))
        else:
            view(rows)
