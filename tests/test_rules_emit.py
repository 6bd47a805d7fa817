"""``emit`` and ``log``: the event that a rule makes, and the line that no event can forge."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from acting import EMIT, Emitted, act, adds_up, counts, emitting, journal_counts, keyed, numbered, rule, running


def test_an_event_is_made_and_marked(tmp_path: Path) -> None:
    emitted = Emitted()
    acting = emitting()

    async def main() -> None:
        async with running(tmp_path, acting, emit=emitted) as runner:
            await act(runner, acting, numbered(7, {"Key": "a\tb"}))

    asyncio.run(main())
    ((event, to),) = emitted.events
    assert to == ("group",)
    assert event.items() == [
        ("Event-Name", "CUSTOM"),
        ("Event-Subclass", "test::made"),
        ("Number", "7"),
        ("Key", "a\tb"),
        ("Switchcast-Origin", "fs1.example.com/test"),
        ("Switchcast-Hops", "1"),
    ]


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({"Key": "a\nEvent-Name: x"}, b"", "line_break"),
        ({"Key": "a\rb"}, b"", "line_break"),
        ({"Key": "a\0b"}, b"", "nul"),
        ({"Key": "x" * 100_000}, b"", "too_long"),
        ({}, b"a\0b", "nul"),
        ({}, b"x" * 100_000, "too_long"),
    ],
)
def test_a_value_that_no_header_may_hold_makes_no_event(
    tmp_path: Path, headers: dict[str, str], body: bytes, reason: str
) -> None:
    emitted = Emitted()
    acting = rule(emit=EMIT | {"body": "{body}"}, delivery="at-least-once")

    async def main() -> None:
        async with running(tmp_path, acting, emit=emitted) as runner:
            (result,) = await act(runner, acting, numbered(1, headers, body))
            assert result["outcome"] == "refused"
            assert counts(runner)[f"refused_{reason}"] == 1
            assert adds_up(counts(runner))
            assert journal_counts(runner)["settled"] == 1, "it would be refused again"
            assert await runner.dead_letters() == []

    asyncio.run(main())
    assert emitted.events == []


def test_a_line_in_the_log_needs_no_journal_and_cannot_be_forged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    acting = rule(log={"message": "{h[Key]} of {sender}!", "level": "warning"})

    async def main() -> None:
        async with running(tmp_path / "none", acting) as runner:
            (result,) = await act(runner, acting, keyed(1, "a\n2026 [error] forged\x1b[2J\u202e"))
            assert result["outcome"] == "done"
            assert await runner.dead_letters() == []
            assert await runner.replay() == 0

    asyncio.run(main())
    assert not (tmp_path / "none").exists()
    said = capsys.readouterr().out
    assert "a\\\\n2026 [error] forged\\\\x1b[2J\\\\u202e of !" in said or "a\\n2026 [error] forged\\x1b[2J" in said
    assert sum("rule_message" in line for line in said.splitlines()) == 1
    assert not any(line.startswith("2026 [error]") for line in said.splitlines())
