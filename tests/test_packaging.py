"""What a user installs: the package that the tests run against, its parts, its version, and where it runs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import Distribution
from pathlib import Path

import pytest

import switchcast
from switchcast import _native

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def distribution() -> Distribution:
    return importlib.metadata.distribution("switchcast")


def test_the_tests_run_against_the_installed_package(distribution: Distribution) -> None:
    package = Path(switchcast.__file__).parent
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    editable = origin.get("dir_info", {}).get("editable", False)
    if editable and os.environ.get("SWITCHCAST_TESTED") != "wheel":
        assert package == ROOT / "src" / "switchcast"
    else:
        assert package == Path(sysconfig.get_path("platlib")) / "switchcast", (
            "this is not the wheel; after work with `make develop`, run the tests by `make test`"
        )


def test_the_version_stands_in_one_place(distribution: Distribution) -> None:
    crate = tomllib.loads((ROOT / "native" / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
    assert switchcast.__version__ == crate
    assert distribution.version == crate
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dynamic"]


def test_every_public_name_is_there() -> None:
    assert sorted(switchcast.__all__, key=str.casefold) == sorted(set(switchcast.__all__), key=str.casefold)
    assert [name for name in switchcast.__all__ if not hasattr(switchcast, name)] == []


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, switchcast; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "switchcast" in loaded
    assert {"typer", "rich", "pydantic"}.isdisjoint(loaded)


def test_types_reach_the_user() -> None:
    package = Path(switchcast.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "_native.pyi").is_file()


def test_the_native_module_serves_every_python_from_3_11() -> None:
    assert _native.__file__.endswith(".abi3.so")


def test_the_command_is_installed(distribution: Distribution) -> None:
    (command,) = distribution.entry_points.select(group="console_scripts", name="switchcast")
    assert callable(command.load())
    installed = Path(sysconfig.get_path("scripts")) / "switchcast"
    shown = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True).stdout
    assert switchcast.__version__ in shown


def test_the_licence_is_in_the_package(distribution: Distribution) -> None:
    assert distribution.metadata["License-Expression"] == "MIT"
    assert distribution.metadata.get_all("License-File") == ["LICENSE"]


def test_elsewhere_than_linux_it_says_so_in_one_line() -> None:
    script = "import sys; sys.platform = 'darwin'; import switchcast"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    last_line = ended.stderr.splitlines()[-1]
    assert last_line.startswith("ImportError: switchcast runs on Linux only (this is darwin)")


def test_every_extra_is_documented() -> None:
    extras = importlib.metadata.metadata("switchcast").get_all("Provides-Extra") or []
    documented = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", documented, re.MULTILINE) == sorted(extras)
    listed = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("an optional extra named after")[2]
    assert re.findall(r"`(\w+)`", listed.partition(")")[0]) == sorted(extras)


def test_what_the_core_needs_is_documented() -> None:
    needed = [each for each in importlib.metadata.requires("switchcast") or [] if "extra ==" not in each]
    names = sorted(re.split(r"[^\w-]", each, maxsplit=1)[0] for each in needed)
    documented = (ROOT / "docs" / "install.md").read_text(encoding="utf-8").partition("The core needs ")[2]
    assert re.split(", | and ", documented.partition(".")[0]) == names
