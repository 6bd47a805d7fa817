"""Log lines: the two forms, the levels, and that what a stranger wrote can neither begin a line nor move a cursor."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from switchcast.app.logs import LEVELS, LOG_FORMATS, Level, LogFormat, configure
from switchcast.app.status import Warned

log = structlog.get_logger("switchcast")


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "info")
    log.info("sink_up", sink="esl://127.0.0.1:8021", events=3)
    log.warning("zwölf\nZeilen")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    told = datetime.fromisoformat(first.pop("timestamp"))
    assert told.tzinfo == UTC
    assert first == {"event": "sink_up", "level": "info", "sink": "esl://127.0.0.1:8021", "events": 3}
    assert second["event"] == "zwölf\nZeilen"


def test_the_console_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure("console", "info")
    log.info("sink_up", sink="group", reason="it is back")
    out, err = capsys.readouterr()
    assert out == ""
    assert "[info     ] sink_up" in err
    assert "sink=group" in err
    assert "\x1b" not in err


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", LOG_FORMATS)
def test_what_is_below_the_level_is_left_out(form: LogFormat, level: Level, capsys: pytest.CaptureFixture[str]) -> None:
    configure(form, level)
    for each in LEVELS:
        getattr(log, each)(f"said_at_{each}")
    told = capsys.readouterr().err
    assert [each for each in LEVELS if f"said_at_{each}" in told] == list(LEVELS[LEVELS.index(level) :])


def fail(message: str) -> None:
    raise ValueError(message)


@pytest.mark.parametrize("form", LOG_FORMATS)
def test_a_traceback_is_told(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    configure(form, "info")
    try:
        fail("first\n2026-01-01 [error    ] forged \x1b[2J")
    except ValueError:
        log.exception("sink_fault")
    told = capsys.readouterr().err
    assert "ValueError: first" in told
    assert "\x1b" not in told
    assert not [line for line in told.splitlines() if line.startswith("2026-01-01 [error")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.lists(st.text(), max_size=2))
@pytest.mark.parametrize("form", LOG_FORMATS)
def test_a_stranger_writes_no_line_of_his_own(
    form: LogFormat, capsys: pytest.CaptureFixture[str], event: str, value: str, values: list[str]
) -> None:
    capsys.readouterr()
    configure(form, "info")
    log.info(event, value=value, values=values, name=value)
    told = capsys.readouterr().err
    assert told.endswith("\n")
    assert len(told.splitlines()) == 1
    assert not [character for character in told[:-1] if ord(character) < 32 or 127 <= ord(character) < 160]


def test_warnings_are_kept_for_who_asks_later(capsys: pytest.CaptureFixture[str]) -> None:
    kept: list[Warned] = []
    configure("json", "info", keep=kept)
    log.info("sink_up", sink="group")
    log.warning("sink_down", sink="group", error="gone\n\x1b[2J")
    log.error("x" * 5_000)
    assert [line["text"] for line in kept] == ["sink_down sink=group error=gone\\n\\x1b[2J", "x" * 1_000]
    assert kept[0]["at"] > 1_700_000_000
    assert len(capsys.readouterr().err.splitlines()) == 3
