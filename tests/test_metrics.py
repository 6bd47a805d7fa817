"""The metrics: what Prometheus' own parsers read in them, and that strangers cannot add to their number."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ports import free_port
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain
from test_docs import rows

import switchcast
from switchcast import Event
from switchcast.app.cli.losses import losses
from switchcast.app.metrics import Exposition
from switchcast.app.snapshot import EndpointState, Part, Snapshot
from switchcast.bus import Bus
from switchcast.endpoints import make_endpoint

ROOT = Path(__file__).parent.parent
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
LABELS_WITH_NAMES = {"endpoint", "source", "route", "sink", "rule", "name"}
DROPPED = {
    f"dropped_{reason}": number for number, reason in enumerate(("overflow", "failed", "closed", "undrained"), 5)
}
QUEUE = {"offered": 100, "delivered": 60, "queued": 14, "gaps": 1} | DROPPED

FULL = Snapshot(
    "fs1",
    "running",
    endpoints=[
        EndpointState(
            "group",
            up=True,
            counters={
                "received_datagrams": 50,
                "received_bytes": 5000,
                "received_delivered": 40,
                "received_unmatched": 3,
                "received_condition_errors": 1,
                "received_ring_overflow": 2,
                "received_rejected_zero_length": 4,
                "received_waiting": 1,
                "sent_datagrams": 9,
                "sent_errors": 8,
                "sent_misread": 7,
            },
        ),
        EndpointState(
            "switch",
            up=False,
            why="connection refused",
            counters={"received": 5, "refused": 6, "refused_permission": 6, "outages": 2, "reconnects": 1, "unsent": 3},
        ),
    ],
    sources=[Part("group", {"received": 40, "refused": 5, "duplicates": 6, "passed": 29, "outages": 1})],
    routes=[Part("group-to-switch", {"refused": 1, "unmatched": 2, "withheld": 3, "faulty": 4, "passed": 19})],
    policies=[Part("cluster", {"passed": 19, "withheld": 3, "rewritten": 7})],
    sinks=[Part("switch", QUEUE | {"sent": 55, "guarded": 5, "too_large": 2, "outages": 3}, limit=16384)],
    taps=[Part("rules", QUEUE, limit=1024)],
    rules=[Part("lamp", {"matched": 9, "fired": 5, "refused_rate": 4, "debounced": 1, "waiting": 2})],
    actions=[
        Part(
            "lamp",
            {"accepted": 5, "done": 3, "failed": 1, "refused_queue_full": 6, "retries": 2, "waiting": 1, "running": 1},
            limit=1024,
        )
    ],
    peers={"up": 2, "returning": 0, "rival": 1, "down": 3, "heartbeats": 77, "own": 4},
    journal={"replayed": 12},
    views=[Part("registrations", {"late": 4, "refused_full": 5}), Part("asked", {"answered": 3})],
    rows={"registrations": {"registered": 321, "doubtful": 7}},
    answering={"switch": False, "other": True},
    doubted={"down": 2},
    reloads={"done": 2, "refused": 1},
    configured_at=1_700_000_000.0,
)


def families(snapshot: Snapshot, accept: str | None = None) -> dict[str, Metric]:
    """What a scrape of ``snapshot`` says, as Prometheus' own parser reads it, by name."""
    text, content_type = Exposition(lambda: (snapshot, 0.25))(accept)
    parse = parse_openmetrics if content_type.startswith("application/openmetrics-text") else parse_plain
    return {family.name: family for family in parse(text.decode())}


def samples(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(snapshot).values()
        for sample in family.samples
    }


def test_each_counter_becomes_the_metric_that_it_is() -> None:
    told = samples(FULL)
    expected = {
        ("switchcast_ready",): 0,
        ("switchcast_event_loop_lag_seconds",): 0.25,
        ("switchcast_reloads_total", "done"): 2,
        ("switchcast_reloads_total", "refused"): 1,
        ("switchcast_configuration_timestamp_seconds",): 1_700_000_000,
        ("switchcast_peers", "up"): 2,
        ("switchcast_peers", "down"): 3,
        ("switchcast_heartbeats_total",): 77,
        ("switchcast_endpoint_up", "group"): 1,
        ("switchcast_endpoint_up", "switch"): 0,
        ("switchcast_endpoint_outages_total", "switch"): 2,
        ("switchcast_endpoint_datagrams_total", "in", "group"): 50,
        ("switchcast_endpoint_bytes_total", "in", "group"): 5000,
        ("switchcast_endpoint_datagrams_total", "out", "group"): 9,
        ("switchcast_rejected_total", "group", "zero_length"): 4,
        ("switchcast_dropped_total", "group", "endpoint", "ring_overflow"): 2,
        ("switchcast_dropped_total", "group", "endpoint", "condition_errors"): 1,
        ("switchcast_dropped_total", "group", "endpoint", "errors"): 8,
        ("switchcast_dropped_total", "switch", "endpoint", "refused_permission"): 6,
        ("switchcast_dropped_total", "switch", "endpoint", "unsent"): 3,
        ("switchcast_filtered_total", "group", "endpoint", "unmatched"): 2,
        ("switchcast_source_received_total", "group"): 40,
        ("switchcast_source_passed_total", "group"): 29,
        ("switchcast_source_outages_total", "group"): 1,
        ("switchcast_filtered_total", "group", "source", "refused"): 5,
        ("switchcast_filtered_total", "group", "source", "duplicates"): 6,
        ("switchcast_route_passed_total", "group-to-switch"): 19,
        ("switchcast_filtered_total", "group-to-switch", "route", "withheld"): 3,
        ("switchcast_dropped_total", "group-to-switch", "route", "faulty"): 4,
        ("switchcast_sink_sent_total", "switch"): 55,
        ("switchcast_sink_offered_total", "switch"): 100,
        ("switchcast_sink_outages_total", "switch"): 3,
        ("switchcast_filtered_total", "switch", "sink", "guarded"): 5,
        ("switchcast_dropped_total", "switch", "sink", "overflow"): 5,
        ("switchcast_dropped_total", "switch", "sink", "too_large"): 2,
        ("switchcast_dropped_total", "switch", "sink", "failed"): 6 - 2,
        ("switchcast_queue_events", "switch", "sink"): 14,
        ("switchcast_queue_limit_events", "switch", "sink"): 16384,
        ("switchcast_queue_events", "rules", "tap"): 14,
        ("switchcast_rule_matched_total", "lamp"): 9,
        ("switchcast_rule_fired_total", "lamp"): 5,
        ("switchcast_rule_refused_total", "rate", "lamp"): 4,
        ("switchcast_rule_refused_total", "queue_full", "lamp"): 6,
        ("switchcast_rule_actions_total", "done", "lamp"): 3,
        ("switchcast_rule_actions_total", "failed", "lamp"): 1,
        ("switchcast_queue_events", "lamp", "rule"): 2,
        ("switchcast_queue_events", "lamp", "action"): 2,
        ("switchcast_queue_limit_events", "lamp", "action"): 1024,
        ("switchcast_counted_total", "retries", "lamp", "action"): 2,
        ("switchcast_counted_total", "reconnects", "switch", "endpoint"): 1,
        ("switchcast_counted_total", "rewritten", "cluster", "policy"): 7,
        ("switchcast_counted_total", "own", "peers", "peers"): 4,
        ("switchcast_counted_total", "replayed", "journal", "journal"): 12,
        ("switchcast_view_rows", "registered", "registrations"): 321,
        ("switchcast_view_rows", "doubtful", "registrations"): 7,
        ("switchcast_counted_total", "refused_full", "registrations", "view"): 5,
        ("switchcast_counted_total", "late", "registrations", "view"): 4,
        ("switchcast_counted_total", "answered", "asked", "view"): 3,
        ("switchcast_switch_answering", "switch"): 0,
        ("switchcast_switch_answering", "other"): 1,
        ("switchcast_nodes_doubted", "down"): 2,
        ("switchcast_nodes_doubted", "lost"): 0,
    }
    assert not [key for key in told if "cluster" in key and ("withheld" in key or "passed" in key)]  # the route tells
    by_values = {(name, *sorted(values)): value for (name, *values), value in told.items()}
    assert {key: by_values.get((key[0], *sorted(key[1:]))) for key in expected} == expected


def test_the_build_and_the_process_are_told() -> None:
    told = families(FULL)
    (build,) = told["switchcast_build_info"].samples
    assert build.labels["version"] == switchcast.__version__
    assert build.labels["node"] == "fs1"
    assert told["process_resident_memory_bytes"].samples[0].value > 1_000_000
    assert told["process_open_fds"].samples[0].value > 0


@pytest.mark.parametrize("snapshot", [FULL, Snapshot("fs1", "starting")], ids=["full", "empty"])
def test_both_formats_tell_the_same(snapshot: Snapshot) -> None:
    plain = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(snapshot).values()
        for sample in family.samples
        if sample.name.startswith("switchcast_")
    }
    openmetrics = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(snapshot, OPENMETRICS).values()
        for sample in family.samples
        if sample.name.startswith("switchcast_")
    }
    assert plain == openmetrics
    assert plain


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4"),
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0"),
        (f"text/html,{OPENMETRICS};q=0.5,*/*;q=0.1", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text; version=soon", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=1.x", "text/plain; version=0.0.4"),
        ("text/plain; version=", "text/plain"),
        (";=;,=,;", "text/plain; version=0.0.4"),
    ],
)
def test_a_scrape_gets_the_form_that_it_asks_for(accept: str | None, content_type: str) -> None:
    text, given_type = Exposition(lambda: (FULL, 0.0))(accept)
    assert given_type.startswith(content_type)
    assert b"switchcast_ready" in text


@given(st.text(max_size=60))
def test_no_accept_header_is_too_odd(accept: str) -> None:
    text, content_type = Exposition(lambda: (Snapshot("fs1", "running"), 0.0))(f"application/openmetrics-text;{accept}")
    assert b"switchcast_ready 1.0" in text
    assert content_type.isprintable()


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
counters = st.dictionaries(
    st.one_of(
        st.sampled_from([*DROPPED, "received", "refused", "rejected_x", "waiting", "x" * 70, "A", "a b", ""]), names
    ),
    st.integers(0, 2**63),
)
parts = st.lists(
    st.builds(Part, names, counters, st.none() | st.integers(1, 2**31)), max_size=3, unique_by=lambda p: p.name
)


@given(names, parts, parts, parts, parts)
def test_any_name_and_count_can_be_read_back(
    node: str, sources: list[Part], sinks: list[Part], rules: list[Part], taps: list[Part]
) -> None:
    snapshot = Snapshot(node, "running", sources=sources, sinks=sinks, rules=rules, taps=taps)
    told = families(snapshot, OPENMETRICS)
    assert told["switchcast_build"].samples[0].labels["node"] == node
    shown = {sample.labels["source"] for sample in told["switchcast_source_received"].samples}
    assert shown == {part.name for part in sources if "received" in part.counters}


def hostile(number: int) -> Event:
    """An event that is another at each number, in everything that a label might be made of."""
    unlike = f'{number}"}} 1\n# HELP x y\\'
    return Event.from_headers(
        {
            "Event-Name": "CUSTOM",
            "Event-Subclass": f"evil::{unlike}",
            "Multicast-Sender": f"sender-{unlike}",
            "Core-UUID": f"00000000-0000-4000-8000-{number:012x}",
            "Unique-ID": f"{number:032x}",
            "Caller-Caller-ID-Number": f"+4930{number:08d}",
            f"variable_{number}": unlike,
        }
    )


def scrape_after(events: int) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """The series that are told after ``events`` hostile events and as many hostile datagrams over real sockets."""

    async def scraped() -> Snapshot:
        url = f"udp://127.0.0.1:{free_port()}"
        bus = Bus()
        queue = bus.subscribe("rules", limit=1)
        async with switchcast.open(url, role="source") as source, switchcast.open(url, role="sink") as sink:
            batches = source.batches()
            for number in range(events):
                await sink.send([hostile(number)])
            received = 0
            while received < events:
                batch = await anext(batches)
                received += len(batch)
                await bus.publish(batch)
            await source.close()
            await bus.close()
            return Snapshot(
                "fs1",
                "running",
                endpoints=[EndpointState("group", up=True, counters={**source.counters(), **sink.counters()})],
                taps=[Part("rules", queue.counters(), limit=1)],
            )

    snapshot = asyncio.run(scraped())
    assert dict(snapshot.endpoints[0].counters)["received_datagrams"] == events
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in families(snapshot).values()
        for sample in family.samples
        if sample.name.startswith("switchcast_")
    }


def test_what_strangers_send_makes_no_series() -> None:
    few, many = scrape_after(1), scrape_after(200)
    assert few == many
    values = {value for _, labels in many for key, value in labels if key in LABELS_WITH_NAMES}
    assert values == {"group", "rules", "peers", "journal"} & values
    assert not [
        value for _, labels in many for _, value in labels if "evil" in value or "sender" in value or "+49" in value
    ]


def test_a_counter_named_by_a_stranger_is_left_out() -> None:
    foul = {"refused_+4930123": 1, "rejected_" + "x" * 80: 1, "dropped_a b": 1, 'x"} 1': 1}
    snapshot = Snapshot(
        "fs1", "running", endpoints=[EndpointState("group", up=True, counters=foul)], rules=[Part("r", foul)]
    )
    assert not [key for key in samples(snapshot) if any(each in " ".join(key) for each in ("4930", "xxx", "a b", '"'))]


@pytest.mark.parametrize(
    "url", ["udp://127.0.0.1:4242", "esl://127.0.0.1:8021", "memory:m", "sim://?nodes=1", "file:x.jsonl"]
)
def test_what_an_endpoint_counts_as_lost_is_dropped_or_rejected_here(url: str) -> None:
    async def counted() -> Mapping[str, int]:
        endpoint = make_endpoint(url)
        try:
            if url.startswith("udp:"):
                await endpoint.open_source()
            return endpoint.counters()
        finally:
            await endpoint.close()

    every = dict.fromkeys(asyncio.run(counted()), 7)
    told = samples(Snapshot("fs1", "running", endpoints=[EndpointState("e", up=True, counters=every)]))
    reasons = {
        value
        for key in told
        if key[0] in {"switchcast_dropped_total", "switchcast_rejected_total"}
        for value in key[1:]
    }
    lost = {name.removeprefix("rejected_") for name in losses(every)} - {"refused"}
    assert lost <= reasons


def test_what_is_not_sorted_in_is_told_by_its_own_name() -> None:
    told = samples(Snapshot("fs1", "running", sinks=[Part("archive", {"rotations": 4})]))
    assert [value for key, value in told.items() if "rotations" in key] == [4]


def documented() -> dict[str, tuple[str, set[str]]]:
    """Every metric of the page with its type and labels."""
    return {
        row[0]: (row[1], set(re.findall(r"\w+", row[2])) - {"none"})
        for row in rows("monitoring.md", "Metrics", "metric")
    }


def test_every_metric_is_documented_and_no_other() -> None:
    exported = {
        sample.name: (family.type, {label for each in family.samples for label in each.labels})
        for family in families(FULL).values()
        for sample in family.samples
        if family.name.startswith("switchcast_")
    }
    assert documented() == exported


def test_every_metric_explains_itself() -> None:
    for name, family in families(FULL).items():
        assert family.documentation, name
        if name.startswith("switchcast_"):
            assert family.documentation.endswith("."), name


def test_alerts_speak_of_metrics_that_there_are() -> None:
    rules = (ROOT / "packaging" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:switchcast|process)_[a-z_]+", rules))
    exported = {sample.name for family in families(FULL).values() for sample in family.samples}
    assert len(named) > 5
    assert named <= exported
    labels = {label for family in families(FULL).values() for sample in family.samples for label in sample.labels}
    assert set(re.findall(r"\$labels\.(\w+)", rules)) <= labels | {"instance"}
    alerts = [block.splitlines() for block in rules.split("      - alert: ")[1:]]
    for block in alerts:
        keys = {line.split(":")[0].strip() for line in block[1:] if re.match(r" {8}\w+:", line)}
        assert {"expr", "labels", "annotations"} <= keys, block[0]
    assert len({block[0] for block in alerts}) == len(alerts)


def test_without_the_extra_it_is_named() -> None:
    script = "import sys; sys.modules['prometheus_client'] = None; import switchcast.app.metrics"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "switchcast.errors.MissingExtra: [metrics] in the configuration needs an optional dependency: "
        "pip install 'switchcast[metrics]'"
    )
