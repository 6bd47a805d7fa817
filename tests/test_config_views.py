"""The ``[views]`` table: what it takes, what it says of mistakes, and that the environment reaches into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from configurations import lay_out, loaded, outcome

from switchcast.views.picture import ViewsSettings

MISTAKES = [
    ("[views]\nmost = 0", 2, "views.most: 0: out of range; at least 1 is allowed"),
    ("[views]\nregistrations = 500", 2, "views.registrations: 500: write a table"),
    ("[views]\ntimeout = '5s'", 2, "views.timeout: unknown key; it belongs into [views.nodes]"),
    (
        "[views]\nforget = '5h'",
        2,
        "views.forget: unknown key; it belongs into [views.nodes] or [views.presence] or [views.calls]",
    ),
    ("[views]\nmultipl = 'yes'", 2, "views.multipl: unknown key; there are ask, refresh, voicemail, most, nodes"),
    ("[views.node]", 1, "views.node: unknown key; did you mean nodes?"),
    ("[views.nodes]\ntimeout = 0", 2, "views.nodes.timeout: 0: a length of time is more than 0"),
    ("[views.nodes]\nforgot = '1h'", 2, "views.nodes.forgot: unknown key; did you mean forget?"),
    ("[views.registrations]\nmost = 10", 2, "views.registrations.most: unknown key; there are grace, multiple"),
    ("[views.registrations]\nmultiple = true", 2, "views.registrations.multiple: true: none of auto, yes, no"),
    (
        "[views.calls]\nquiet = '2d'",
        1,
        "views.calls: quiet (172800s) is longer than forget (86400s): a leg would be gone before it is doubtful",
    ),
]


@pytest.mark.parametrize(("text", "line", "said"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_is_told_with_its_place_and_its_mend(text: str, line: int, said: str, tmp_path: Path) -> None:
    path = lay_out(tmp_path, text)
    told = str(outcome(path))
    assert told.startswith(f"{path}:{line}: {said}")
    assert "\n" not in told


def test_the_environment_reaches_the_tables_inside(tmp_path: Path) -> None:
    environ = {"SWITCHCAST_VIEWS__NODES__TIMEOUT": "2m", "SWITCHCAST_VIEWS__MOST": "5"}
    views = loaded(tmp_path, "[views.nodes]\nforget = '1h'", environ).views
    assert (views.nodes.timeout, views.nodes.forget, views.most) == (120.0, 3600.0, 5)
    told = outcome(lay_out(tmp_path, ""), {"SWITCHCAST_VIEWS__NODES__TIMOUT": "2m"})
    assert "did you mean SWITCHCAST_VIEWS__NODES__TIMEOUT?" in str(told)


def test_how_often_is_asked_makes_no_other_picture() -> None:
    before = ViewsSettings()
    assert before.same_picture(ViewsSettings(refresh=5.0, voicemail=False))
    others: list[dict[str, object]] = [
        {"most": 5},
        {"ask": []},
        {"calls": {"forget": 9000}},
        {"nodes": {"timeout": 30}},
    ]
    for other in others:
        assert not before.same_picture(ViewsSettings.model_validate(other))
