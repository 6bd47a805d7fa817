"""A snapshot of the node in Prometheus' words.

Importing this needs the extra ``metrics``; without it ``MissingExtra`` is raised, which says so.

=================  ====================================================================================
dropped            lost: somebody wanted it. ``reason`` says why, ``place`` and ``name`` say where
filtered           left out on purpose: by bindings, a policy, the list of allowed addresses, the guard
rejected           arrived, but was no event
counted            what else a part counts, under its own counter's name, so that nothing vanishes here
=================  ====================================================================================

An event that is dropped counts once in each place that drops it: two sinks that lose it are two losses. Labels hold
names of the configuration and of the code, never anything from an event; a counter whose name is not one that code
would choose is left out.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from switchcast._native import __version__
from switchcast.app.snapshot import EndpointState, Part, Snapshot
from switchcast.errors import MissingExtra

try:
    from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
except ImportError:
    raise MissingExtra("metrics", "[metrics] in the configuration") from None

__all__ = ["Exposition", "NodeCollector"]

_REASON: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

_LOST: Final = frozenset(
    {
        "condition_errors",
        "errors",
        "kernel_drops",
        "queue_full",
        "queue_overflow",
        "refused_misread",
        "ring_overflow",
        "truncated",
        "unanswered",
        "unsent",
    }
)
"""Counters of endpoints that count events which were wanted and are gone, without their direction."""
_LEFT_OUT: Final = frozenset(
    {"duplicates", "guarded", "other_port", "refused", "unmatched", "unsigned", "untrusted", "withheld"}
)
"""Counters of events that were not wanted; ``refused`` are those from addresses that are not allowed."""
_DIRECTIONS: Final = {"received_": "in", "sent_": "out"}
_SUMS: Final = frozenset({"delivered", "undrained"})
"""Counters that say again what others of the same part, or of its queue, say."""
_RESULTS: Final = frozenset({"done", "failed", "unfinished"})
"""How an action can end; what is refused or waits has not begun."""
_PEER_STATES: Final = ("up", "returning", "down", "rival")
_DOUBTS: Final = ("lost", "down", "restarted")

_COUNTERS: Final = {
    "source_received": ("Events that came from a source, before anything was left out.", "source"),
    "source_passed": ("Events of a source that went on to its routes.", "source"),
    "source_outages": ("Times that a source failed and was opened again.", "source"),
    "route_passed": ("Events that a route gave to its sinks.", "route"),
    "sink_offered": ("Events that came to a sink's queue.", "sink"),
    "sink_sent": ("Events that a sink has taken.", "sink"),
    "sink_outages": ("Times that a sink could not take events and was tried again.", "sink"),
    "rule_matched": ("Events that a rule's bindings, senders and condition wanted.", "rule"),
    "rule_fired": ("Firings of a rule: what limits, debounce and once-per let pass.", "rule"),
}
_GAUGES: Final = {"pending", "queued", "running", "waiting"}


class NodeCollector:
    """Asks ``take`` for a snapshot and its delay at each scrape, and tells it as metrics.

    The delay is how long the event loop took to answer, in seconds.
    """

    def __init__(self, take: Callable[[], tuple[Snapshot, float]]) -> None:
        self._take = take

    def collect(self) -> Iterator[Metric]:
        """Every metric of ``docs/monitoring.md`` that begins with ``switchcast_``."""
        snapshot, lag = self._take()
        yield InfoMetricFamily(
            "switchcast_build",
            "What runs here.",
            value={"version": __version__, "python": platform.python_version(), "node": snapshot.node},
        )
        yield GaugeMetricFamily(
            "switchcast_ready",
            "1 when the node does all that its configuration asks for, as /readyz says.",
            value=float(snapshot.ready),
        )
        yield GaugeMetricFamily(
            "switchcast_event_loop_lag_seconds", "How long the event loop took to answer this scrape.", value=lag
        )
        yield from _configuration(snapshot)
        yield from _peers(snapshot.peers)
        yield from _picture(snapshot)
        yield from _Tables(snapshot).families()


def _peers(counters: Mapping[str, int]) -> Iterator[Metric]:
    peers = GaugeMetricFamily("switchcast_peers", "Other nodes by what is known of them.", labels=["state"])
    for state in _PEER_STATES:
        peers.add_metric([state], counters.get(state, 0))
    yield peers
    yield CounterMetricFamily(
        "switchcast_heartbeats", "HEARTBEAT events that peers are known by.", value=counters.get("heartbeats", 0)
    )


def _picture(snapshot: Snapshot) -> Iterator[Metric]:
    rows = GaugeMetricFamily(
        "switchcast_view_rows", "Rows of a view of the cluster, by what is so of them.", labels=["view", "state"]
    )
    for view, states in snapshot.rows.items():
        for state, count in _sound(states):
            rows.add_metric([view, state], count)
    yield rows
    answering = GaugeMetricFamily(
        "switchcast_switch_answering", "1 while a switch that is asked what is so answers.", labels=["endpoint"]
    )
    for endpoint, answers in snapshot.answering.items():
        answering.add_metric([endpoint], float(answers))
    yield answering
    doubted = GaugeMetricFamily(
        "switchcast_nodes_doubted", "Nodes of which not all is known that happened, by why.", labels=["why"]
    )
    for why in _DOUBTS:
        doubted.add_metric([why], snapshot.doubted.get(why, 0))
    yield doubted


def _configuration(snapshot: Snapshot) -> Iterator[Metric]:
    reloads = CounterMetricFamily(
        "switchcast_reloads", "Times that the configuration was read again, by what came of it.", labels=["outcome"]
    )
    for outcome, count in snapshot.reloads.items():
        reloads.add_metric([outcome], count)
    yield reloads
    if snapshot.configured_at is not None:
        yield GaugeMetricFamily(
            "switchcast_configuration_timestamp_seconds",
            "When the configuration in force was taken, in seconds since 1970.",
            value=snapshot.configured_at,
        )


class _Tables:
    """The parts' counters, sorted into families."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._own = {
            key: CounterMetricFamily(f"switchcast_{key}", text, labels=[label])
            for key, (text, label) in _COUNTERS.items()
        }
        place = ["place", "name"]
        self._dropped = CounterMetricFamily(
            "switchcast_dropped", "Events lost although somebody wanted them.", labels=[*place, "reason"]
        )
        self._filtered = CounterMetricFamily(
            "switchcast_filtered", "Events left out on purpose.", labels=[*place, "reason"]
        )
        self._rejected = CounterMetricFamily(
            "switchcast_rejected", "What arrived at an endpoint and was no event.", labels=["endpoint", "reason"]
        )
        self._datagrams = CounterMetricFamily(
            "switchcast_endpoint_datagrams", "Datagrams of an endpoint.", labels=["endpoint", "direction"]
        )
        self._bytes = CounterMetricFamily(
            "switchcast_endpoint_bytes", "Bytes of an endpoint's datagrams.", labels=["endpoint", "direction"]
        )
        self._up = GaugeMetricFamily(
            "switchcast_endpoint_up", "1 while an endpoint can do its work.", labels=["endpoint"]
        )
        self._outages = CounterMetricFamily(
            "switchcast_endpoint_outages", "Times that an endpoint lost its connection.", labels=["endpoint"]
        )
        self._refused = CounterMetricFamily(
            "switchcast_rule_refused",
            "Matches and firings of a rule that its limits refused.",
            labels=["rule", "reason"],
        )
        self._actions = CounterMetricFamily(
            "switchcast_rule_actions", "Actions of a rule by what came of them.", labels=["rule", "result"]
        )
        self._depth = GaugeMetricFamily(
            "switchcast_queue_events", "Events that wait in a queue, or are in its reader's hand.", labels=place
        )
        self._limit = GaugeMetricFamily(
            "switchcast_queue_limit_events", "Events that a queue can hold before it drops.", labels=place
        )
        self._counted = CounterMetricFamily(
            "switchcast_counted", "What else a part counts, by its counter's name.", labels=[*place, "counter"]
        )
        for endpoint in snapshot.endpoints:
            self._endpoint(endpoint)
        for kind, parts in (
            ("source", snapshot.sources),
            ("route", snapshot.routes),
            ("sink", snapshot.sinks),
            ("tap", snapshot.taps),
        ):
            for part in parts:
                self._part(kind, part)
        for policy in snapshot.policies:
            self._policy(policy)
        for rule in snapshot.rules:
            self._rule("rule", Part(rule.name, rule.counters))  # the queue that the rule limits is that of its actions
        for action in snapshot.actions:
            self._rule("action", action)
        told = (*_PEER_STATES, "heartbeats")
        self._rest("peers", {name: count for name, count in snapshot.peers.items() if name not in told})
        self._rest("journal", snapshot.journal)
        for view in snapshot.views:
            self._rest("view", view.counters, view.name)
        self._rest("api", snapshot.api)

    def families(self) -> Iterator[Metric]:
        """Every family, those without a sample too: a query for what has not happened yet finds its name."""
        yield from self._own.values()
        yield from (self._dropped, self._filtered, self._rejected, self._refused, self._actions)
        yield from (self._up, self._outages, self._datagrams, self._bytes, self._depth, self._limit)
        yield self._counted

    def _endpoint(self, endpoint: EndpointState) -> None:
        self._up.add_metric([endpoint.name], float(endpoint.up))
        for counter, count in _sound(endpoint.counters):
            prefix = next((each for each in _DIRECTIONS if counter.startswith(each)), "")
            bare = counter.removeprefix(prefix)
            at = ("endpoint", endpoint.name)
            if bare.startswith("rejected_"):
                self._rejected.add_metric([endpoint.name, bare.removeprefix("rejected_")], count)
            elif bare in _LOST or bare.startswith(("refused_", "dropped_")):
                self._dropped.add_metric([*at, bare.removeprefix("dropped_")], count)
            elif bare == "refused":
                continue  # the sum of those that stand with a reason
            elif bare in _LEFT_OUT:
                # Those that the condition failed on are among the unmatched, and have a reason of their own.
                failed = endpoint.counters.get(f"{prefix}condition_errors", 0) if bare == "unmatched" else 0
                self._filtered.add_metric([*at, bare], count - failed)
            elif prefix and bare in {"datagrams", "bytes"}:
                family = self._datagrams if bare == "datagrams" else self._bytes
                family.add_metric([endpoint.name, _DIRECTIONS[prefix]], count)
            elif bare == "outages":
                self._outages.add_metric([endpoint.name], count)
            elif bare == "waiting":
                self._depth.add_metric(at, count)
            elif bare not in _SUMS:
                self._counted.add_metric([*at, counter], count)

    def _rest(self, place: str, counters: Mapping[str, int], name: str = "") -> None:
        for counter, count in _sound(counters):
            self._counted.add_metric([place, name or place, counter], count)

    def _part(self, kind: str, part: Part) -> None:
        at = (kind, part.name)
        too_large = part.counters.get("too_large", 0)
        if part.limit is not None:
            self._limit.add_metric(at, part.limit)
        for counter, count in _sound(part.counters):
            if own := self._own.get(f"{kind}_{counter}"):
                own.add_metric([part.name], count)
            elif counter == "dropped_failed":  # those that are too large are among them, and have a reason of their own
                self._dropped.add_metric([*at, "failed"], count - too_large)
            elif counter.startswith("dropped_") or counter in {"faulty", "missing", "too_large"}:
                self._dropped.add_metric([*at, counter.removeprefix("dropped_")], count)
            elif counter in _LEFT_OUT:
                self._filtered.add_metric([*at, counter], count)
            elif counter in _GAUGES:
                self._depth.add_metric(at, count)
            elif counter not in _SUMS:
                self._counted.add_metric([*at, counter], count)

    def _policy(self, policy: Part) -> None:
        """What a policy has changed; what it let pass and withheld is told by route."""
        changes = {name: count for name, count in policy.counters.items() if name not in {"passed", "withheld"}}
        self._part("policy", Part(policy.name, changes))

    def _rule(self, kind: str, rule: Part) -> None:
        """What the engine counts of a rule, or the runner of its actions."""
        if rule.limit is not None:
            self._limit.add_metric((kind, rule.name), rule.limit)
        for counter, count in _sound(rule.counters):
            if own := self._own.get(f"rule_{counter}"):
                own.add_metric([rule.name], count)
            elif counter.startswith("refused_"):
                self._refused.add_metric([rule.name, counter.removeprefix("refused_")], count)
            elif counter in _RESULTS:
                self._actions.add_metric([rule.name, counter], count)
            elif counter not in _GAUGES:
                self._counted.add_metric([kind, rule.name, counter], count)
        if waiting := [count for counter, count in _sound(rule.counters) if counter in _GAUGES]:
            self._depth.add_metric((kind, rule.name), sum(waiting))


def _sound(counters: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The counters whose names may become labels."""
    return ((name, count) for name, count in counters.items() if _REASON.fullmatch(name))


class Exposition:
    """The metrics of a node and of its process, as text for whoever scrapes them."""

    def __init__(self, take: Callable[[], tuple[Snapshot, float]]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(NodeCollector(take))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def __call__(self, accept: str | None) -> tuple[bytes, str]:
        """The text and its content type, in the form that the ``Accept`` header of a scrape prefers."""
        try:
            encoder, content_type = choose_encoder(accept or "")
        except (TypeError, ValueError):  # it asks for a version that is none
            encoder, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
        return encoder(self.registry), content_type
