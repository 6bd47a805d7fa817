"""The picture of the cluster on the command line: ``switchcast nodes|registrations|presence|mailboxes|calls``.

::

    running node ── fetching ──┐                ┌── showing ── table     once
                               ├──> Seen, News ─┤
    SOURCE ─────── listening ──┘                └── watching             again and again, or each change

``commands`` holds the subcommands; what each view looks like stands in ``people`` and ``switches``.
"""

from __future__ import annotations

from switchcast.app.cli.views.commands import calls, mailboxes, nodes, presence, registrations

__all__ = ["calls", "mailboxes", "nodes", "presence", "registrations"]
