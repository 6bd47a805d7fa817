"""``docs/configuration.md``: its keys and defaults are the code's, and its examples can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from configurations import lay_out
from pydantic import BaseModel

from switchcast.app.api.settings import ApiSettings
from switchcast.app.config import load
from switchcast.app.config.model import (
    ControlSettings,
    EndpointSettings,
    FileSettings,
    LoggingSettings,
    MetricsSettings,
    NodeSettings,
    RouteSettings,
)
from switchcast.app.config.stock_xml import PARAMS
from switchcast.quantities import parse_duration
from switchcast.views.calls import CallsSettings
from switchcast.views.nodes import NodesSettings
from switchcast.views.peers import PeersSettings
from switchcast.views.picture import ViewsSettings
from switchcast.views.presence import PresenceSettings
from switchcast.views.registrations import RegistrationsSettings

PAGE = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
TABLES: list[tuple[str, type[BaseModel]]] = [
    ("node", NodeSettings),
    ("log", LoggingSettings),
    ("metrics", MetricsSettings),
    ("api", ApiSettings),
    ("control", ControlSettings),
    ("peers", PeersSettings),
    ("views", ViewsSettings),
    ("views.nodes", NodesSettings),
    ("views.registrations", RegistrationsSettings),
    ("views.presence", PresenceSettings),
    ("views.calls", CallsSettings),
    ("endpoints", EndpointSettings),
    ("route", RouteSettings),
]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under ``heading``."""
    section = re.split(r"^#+ ", PAGE.split(f" {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@pytest.mark.parametrize(("heading", "model"), TABLES)
def test_every_key_is_documented_with_its_default(heading: str, model: type[BaseModel]) -> None:
    documented = {row[0].strip("`"): row[2] for row in rows(heading)}
    fields = {field.alias or key: field for key, field in model.model_fields.items()}
    assert list(documented) == list(fields)
    for key, said in documented.items():
        default = fields[key].get_default(call_default_factory=True)
        if isinstance(default, float):
            assert parse_duration(said) == default
        elif re.fullmatch(r"`[^`]*`|\d+|true|false", said):
            assert said.strip("`") == str(default).lower() or said.strip("`") == default or key == "name"


def test_every_table_is_documented() -> None:
    assert set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)) == set(FileSettings.model_fields)


def test_every_param_of_the_modules_file_is_documented() -> None:
    documented = [name for row in rows("The module's own file") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(documented) == sorted(PARAMS)


@pytest.mark.parametrize("page", ["docs/configuration.md", "README.md"])
def test_the_examples_can_be_read(page: str, tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / page).read_text(encoding="utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert examples
    for text in examples:
        braced = text.replace("{", "{{").replace("}", "}}").replace("/etc/switchcast/", "{folder}/")
        configuration = load(lay_out(tmp_path, braced), {})
        assert configuration.routes[0].policy == "cluster"
        assert configuration.warnings == ()
