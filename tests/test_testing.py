"""The helpers that users' own tests are built with."""

from __future__ import annotations

import asyncio
import itertools

import switchcast
from switchcast import Event
from switchcast.app.cli.live_cluster import LiveCluster
from switchcast.testing import ManualClock, simulated_switch

PATIENCE = 20.0


def test_a_simulated_switch_fires_what_it_is_told_to() -> None:
    async def main() -> None:
        async with (
            simulated_switch() as switch,
            switchcast.open(switch.url, bindings="HEARTBEAT CUSTOM test::x", role="source") as source,
            asyncio.timeout(PATIENCE),
        ):
            fired = switch.fire("HEARTBEAT", {"Session-Count": "3"})
            batches = source.batches()
            assert await anext(batches) == [fired]
            assert fired["Session-Count"] == "3"
            assert fired["Core-UUID"] == switch.switch.core_uuid
            await batches.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_time_passes_when_it_is_told_to() -> None:
    async def main() -> None:
        async with (
            simulated_switch() as switch,
            switchcast.open(switch.url, bindings="HEARTBEAT", role="source") as source,
            asyncio.timeout(PATIENCE),
        ):
            switch.pass_time(61.0)
            heard: list[Event] = []
            async for batch in source.batches():
                heard += batch
                if len(heard) == 3:
                    break
            times = [event.timestamp for event in heard if event.timestamp is not None]
            assert [later - earlier for earlier, later in itertools.pairwise(times)] == [20_000_000] * 2

    asyncio.run(main())


def test_an_event_that_a_client_fires_is_heard_once() -> None:
    async def main() -> None:
        async with (
            simulated_switch() as switch,
            switchcast.open(switch.url, bindings="NOTIFY TRAP", role="source") as source,
            asyncio.timeout(PATIENCE),
        ):
            await source.send([Event("NOTIFY", {"X-Number": "1"})])
            switch.fire("TRAP")
            heard: list[str] = []
            async for batch in source.batches():
                heard += [event.name for event in batch]
                if "TRAP" in heard:
                    break
            assert heard == ["NOTIFY", "TRAP"]

    asyncio.run(main())


def test_a_live_cluster_too_passes_a_fired_event_on_once() -> None:
    async def main() -> None:
        async with LiveCluster("sim://?nodes=1&cps=0&speed=0&for=200s") as cluster, asyncio.timeout(PATIENCE):
            port = cluster.servers[0].port
            async with switchcast.open(f"esl://:ClueCon@127.0.0.1:{port}", bindings="NOTIFY", role="source") as client:
                await client.send([Event("NOTIFY", {"X-Number": "1"})])
                names = [event.name async for batch in cluster.batches() for event in batch]
                assert names.count("NOTIFY") == 1
                batches = client.batches()
                assert [event["X-Number"] for event in await anext(batches)] == ["1"]
                await batches.aclose()  # type: ignore[attr-defined]
                assert cluster.fired[cluster.switches[0].name] == len(names)

    asyncio.run(main())


def test_a_manual_clock_wakes_sleepers_in_order() -> None:
    async def main() -> None:
        clock = ManualClock()
        woken: list[float] = []

        async def sleeper(seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(seconds)

        tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (3.0, 1.0, 2.0)]
        await asyncio.sleep(0)
        clock.advance(2.5)
        await asyncio.sleep(0)
        assert woken == [1.0, 2.0]
        tasks[0].cancel()
        clock.advance(10)
        assert clock.time() == 12.5
        await asyncio.wait(tasks)
        assert woken == [1.0, 2.0]

    asyncio.run(main())
